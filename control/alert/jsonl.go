package alert

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"syscall"
	"time"
)

// jsonl appends a line for each message to a file, which is opened anew each time, so
// that whatever rotates it may do so at any time.
type jsonl struct{ r Receiver }

func (*jsonl) most() int            { return 256 }
func (*jsonl) pause() time.Duration { return 0 }
func (*jsonl) close()               {}

func (j *jsonl) send(_ context.Context, batch []Message) (answer string, err error) {
	at, err := url.Parse(j.r.URL)
	if err != nil {
		return "", err
	}
	var lines []byte
	for _, m := range batch {
		body, err := j.r.body(m)
		if err != nil {
			return "", err
		}
		lines = append(append(lines, body...), '\n')
	}
	// A pipe that nobody reads, or a device, must not hold us.
	file, err := os.OpenFile(at.Path, os.O_RDWR|os.O_APPEND|os.O_CREATE|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	info, err := file.Stat()
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() {
		return "", &failure{text: at.Path + " is no regular file"}
	}
	if torn(file, info.Size()) {
		lines = append([]byte{'\n'}, lines...)
	}
	if _, err := file.Write(lines); err != nil {
		return "", err
	}
	if err := file.Sync(); err != nil {
		return "", err
	}
	return fmt.Sprintf("%d bytes written", len(lines)), nil
}

// torn reports whether the last line of a file has no end: somebody was killed in it.
func torn(file io.ReaderAt, size int64) bool {
	var last [1]byte
	if size == 0 {
		return false
	}
	_, err := file.ReadAt(last[:], size-1)
	return err == nil && last[0] != '\n'
}
