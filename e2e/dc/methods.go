package dc

import (
	"bytes"
	"time"

	"github.com/gotd/td/bin"
	"github.com/gotd/td/tg"
	"github.com/gotd/td/tgerr"
)

// file is what saveBigFilePart has brought so far.
type file struct {
	parts [][]byte
	got   int
	whole []byte // all parts, once they are there
}

// call runs the method that b holds and returns its result, or an *tgerr.Error for the client to see. Any other
// error ends the connection.
func (s *Server) call(dc int, b *bin.Buffer) (bin.Encoder, error) {
	if err := unwrap(b); err != nil {
		return nil, err
	}
	kind, err := b.PeekID()
	if err != nil {
		return nil, err
	}
	switch kind {
	case tg.HelpGetConfigRequestTypeID:
		now := int(time.Now().Unix())
		return &tg.Config{ThisDC: dc, Date: now, Expires: now + 3600, DCTxtDomainName: "dc.invalid"}, nil
	case tg.HelpGetNearestDCRequestTypeID:
		return &tg.NearestDC{Country: "ZZ", ThisDC: dc, NearestDC: dc}, nil
	case tg.BotsSendCustomRequestRequestTypeID:
		var r tg.BotsSendCustomRequestRequest
		if err := r.Decode(b); err != nil {
			return nil, err
		}
		return &tg.DataJSON{Data: r.Params.Data}, nil
	case tg.UploadSaveBigFilePartRequestTypeID:
		var r tg.UploadSaveBigFilePartRequest
		if err := r.Decode(b); err != nil {
			return nil, err
		}
		return s.savePart(&r)
	case tg.UploadGetFileRequestTypeID:
		var r tg.UploadGetFileRequest
		if err := r.Decode(b); err != nil {
			return nil, err
		}
		return s.getFile(&r)
	}
	return nil, tgerr.New(400, "METHOD_NOT_FOUND")
}

// unwrap takes off what clients put around their first calls.
func unwrap(b *bin.Buffer) error {
	for {
		kind, err := b.PeekID()
		if err != nil {
			return err
		}
		var inner rest
		switch kind {
		case tg.InvokeWithLayerRequestTypeID:
			err = (&tg.InvokeWithLayerRequest{Query: &inner}).Decode(b)
		case tg.InitConnectionRequestTypeID:
			err = (&tg.InitConnectionRequest{Query: &inner}).Decode(b)
		case tg.InvokeWithoutUpdatesRequestTypeID:
			err = (&tg.InvokeWithoutUpdatesRequest{Query: &inner}).Decode(b)
		default:
			return nil
		}
		if err != nil {
			return err
		}
		b.ResetTo(inner)
	}
}

// rest takes all that is left of a buffer, whatever it is.
type rest []byte

// Decode implements bin.Decoder.
func (r *rest) Decode(b *bin.Buffer) error {
	*r = bytes.Clone(b.Buf)
	b.Skip(len(b.Buf))
	return nil
}

// Encode implements bin.Encoder.
func (r *rest) Encode(b *bin.Buffer) error {
	b.Put(*r)
	return nil
}

// maxParts bounds a file: 64 MiB in parts of 12 KiB and more.
const maxParts = 64 << 20 / (12 << 10)

func (s *Server) savePart(r *tg.UploadSaveBigFilePartRequest) (bin.Encoder, error) {
	if r.FileTotalParts <= 0 || r.FileTotalParts > maxParts || r.FilePart < 0 || r.FilePart >= r.FileTotalParts {
		return nil, tgerr.New(400, "FILE_PARTS_INVALID")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.files[r.FileID]
	if f == nil {
		f = &file{parts: make([][]byte, r.FileTotalParts)}
		s.files[r.FileID] = f
	}
	switch {
	case len(f.parts) != r.FileTotalParts:
		return nil, tgerr.New(400, "FILE_PARTS_INVALID")
	case f.parts[r.FilePart] != nil: // sent again because the answer was slow
		if !bytes.Equal(f.parts[r.FilePart], r.Bytes) {
			return nil, tgerr.New(400, "FILE_PART_CHANGED")
		}
		return &tg.BoolTrue{}, nil
	}
	f.parts[r.FilePart] = r.Bytes
	f.got++
	if f.got == len(f.parts) {
		f.whole = bytes.Join(f.parts, nil)
		var at int
		for i, p := range f.parts { // one copy in memory is enough
			f.parts[i] = f.whole[at : at+len(p)]
			at += len(p)
		}
	}
	return &tg.BoolTrue{}, nil
}

func (s *Server) getFile(r *tg.UploadGetFileRequest) (bin.Encoder, error) {
	at, ok := r.Location.(*tg.InputDocumentFileLocation)
	if !ok {
		return nil, tgerr.New(400, "LOCATION_INVALID")
	}
	whole, ok := s.File(at.ID)
	if !ok {
		return nil, tgerr.New(400, "FILE_ID_INVALID")
	}
	if r.Offset < 0 || r.Offset > int64(len(whole)) || r.Limit <= 0 || r.Limit > 1<<20 {
		return nil, tgerr.New(400, "LIMIT_INVALID")
	}
	part := whole[r.Offset:min(r.Offset+int64(r.Limit), int64(len(whole)))]
	return &tg.UploadFile{Type: &tg.StorageFileUnknown{}, Mtime: 1, Bytes: part}, nil
}

// File returns a file that is complete. It must not be changed.
func (s *Server) File(id int64) ([]byte, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.files[id]
	if f == nil || f.whole == nil {
		return nil, false
	}
	return f.whole, true
}

// Put stores a file for downloads. It must not be changed afterwards.
func (s *Server) Put(id int64, whole []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files[id] = &file{whole: whole}
}

// Forget drops a file.
func (s *Server) Forget(id int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.files, id)
}
