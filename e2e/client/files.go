package client

import (
	"context"
	"crypto/sha256"
	"fmt"
	"sync"

	"github.com/gotd/td/tg"
)

// Sizes of a file part. gotd's fake TLS writes each message as one record and a proxy takes at most 16,640 bytes in
// one, so a message with its headers and padding has to stay below that; Telegram's own limit is 512 KiB.
const (
	FakeTLSPart = 12 << 10
	LargePart   = 512 << 10
)

// window is the number of calls under way at once, as an application's uploader has them.
const window = 4

// Upload sends data as a file in parts of the given size. step, which may be nil, is called after each part, on
// another goroutine, with the number of bytes that the server has acknowledged; its error ends the transfer.
func Upload(ctx context.Context, c *tg.Client, id int64, data []byte, part int, step func(done int) error) error {
	total := (len(data) + part - 1) / part
	return each(ctx, total, func(ctx context.Context, i int) (int, error) {
		b := data[i*part : min((i+1)*part, len(data))]
		ok, err := c.UploadSaveBigFilePart(ctx, &tg.UploadSaveBigFilePartRequest{
			FileID: id, FilePart: i, FileTotalParts: total, Bytes: b,
		})
		if err != nil {
			return 0, fmt.Errorf("upload part %d of %d: %w", i, total, err)
		}
		if !ok {
			return 0, fmt.Errorf("upload part %d of %d: the server says no", i, total)
		}
		return len(b), nil
	}, step)
}

// Download fetches a file of the given size and returns its SHA-256. step is as for Upload.
func Download(ctx context.Context, c *tg.Client, id int64, size, part int, step func(done int) error) ([sha256.Size]byte, error) {
	whole := make([]byte, size)
	total := (size + part - 1) / part
	err := each(ctx, total, func(ctx context.Context, i int) (int, error) {
		want := whole[i*part : min((i+1)*part, size)]
		r, err := c.UploadGetFile(ctx, &tg.UploadGetFileRequest{
			Location: &tg.InputDocumentFileLocation{ID: id}, Offset: int64(i * part), Limit: part,
		})
		if err != nil {
			return 0, fmt.Errorf("download part %d of %d: %w", i, total, err)
		}
		f, ok := r.(*tg.UploadFile)
		if !ok || len(f.Bytes) != len(want) {
			return 0, fmt.Errorf("download part %d of %d: a %T, not %d bytes", i, total, r, len(want))
		}
		return copy(want, f.Bytes), nil
	}, step)
	return sha256.Sum256(whole), err
}

// each calls f for 0 to n-1, a window of calls at a time, and stops at the first error.
func each(ctx context.Context, n int, f func(ctx context.Context, i int) (int, error), step func(done int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var (
		wg         sync.WaitGroup
		mu         sync.Mutex
		next, done int
	)
	for range window {
		wg.Go(func() {
			for ctx.Err() == nil {
				mu.Lock()
				i := next
				next++
				mu.Unlock()
				if i >= n {
					return
				}
				got, err := f(ctx, i)
				if err != nil {
					cancel(err)
					return
				}
				mu.Lock()
				done += got
				if step != nil {
					if err := step(done); err != nil {
						cancel(err)
					}
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}
