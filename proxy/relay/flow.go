package relay

import "mtguard/mtproto/faketls"

// recordSize is a full record on the wire: header and the largest payload a
// client takes (protocol paper 4.8).
const recordSize = faketls.HeaderSize + faketls.MaxPayload

// transform takes the records off b and changes the cipher, in place, and
// returns how many payload bytes are left at the start of b. Not for flows
// that wrap.
func (f *Flow) transform(b []byte) (int, error) {
	n := len(b)
	if f.Unwrap != nil {
		var err error
		if n, err = f.Unwrap.Strip(b); err != nil {
			return 0, err
		}
	}
	f.recrypt(b[:n])
	return n, nil
}

// cacheful is how many bytes both ciphers go over before the next: what fits
// the second-level cache, so that the second pass reads it from there.
const cacheful = 64 << 10

// onlyWraps reports whether bytes go through untouched but for records put on.
func (f *Flow) onlyWraps() bool {
	return f.Wrap && f.Unwrap == nil && f.Decrypt == nil && f.Encrypt == nil
}

func (f *Flow) recrypt(b []byte) {
	if f.Decrypt == nil && f.Encrypt == nil {
		return
	}
	for len(b) > 0 {
		piece := b[:min(len(b), cacheful)]
		if f.Decrypt != nil {
			f.Decrypt.XOR(piece)
		}
		if f.Encrypt != nil {
			f.Encrypt.XOR(piece)
		}
		b = b[len(piece):]
	}
}

// wrap turns n payload bytes, read into b with a gap of faketls.HeaderSize bytes
// before each MaxPayload of them, into records. It returns their length.
func (f *Flow) wrap(b []byte, n int) int {
	end := 0
	for n > 0 {
		size := min(n, faketls.MaxPayload)
		faketls.PutHeader(b[end:], size)
		f.recrypt(b[end+faketls.HeaderSize : end+faketls.HeaderSize+size])
		end += faketls.HeaderSize + size
		n -= size
	}
	return end
}

func (f *Flow) rest() {
	f.Decrypt.rest()
	f.Encrypt.rest()
}
