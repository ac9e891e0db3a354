package backup

import (
	"bufio"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"

	"filippo.io/age"
)

// intro is how every age file begins.
const intro = "age-encryption.org/v1\n"

// Open reads what stands before the database and returns a reader of it. What is read is only worth something once the reader has
// returned io.EOF, which it does when size and hash are right and nothing follows. Errors are ErrForeign, ErrIdentity, ErrDamaged, and
// those of r itself.
func Open(r io.Reader, with Identity) (Manifest, io.Reader, error) {
	m, db, err := open(r, with)
	if err != nil {
		return Manifest{}, nil, fmt.Errorf("backup: %w", err)
	}
	return m, db, nil
}

func open(r io.Reader, with Identity) (Manifest, io.Reader, error) {
	from := &source{r: r}
	in := bufio.NewReader(from)
	if err := looksSealed(in); err != nil {
		return Manifest{}, nil, from.orElse(err)
	}
	if len(with.list) == 0 {
		return Manifest{}, nil, fmt.Errorf("%w: none was given", ErrIdentity)
	}
	opened, err := age.Decrypt(in, with.guarded()...)
	if err != nil {
		return Manifest{}, nil, from.orElse(refusal(err, with.kind))
	}
	buffered := bufio.NewReaderSize(opened, maxManifest)
	head, err := buffered.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) || errors.Is(err, io.EOF) {
		return Manifest{}, nil, ErrForeign // an age file of somebody's own
	}
	if err != nil {
		return Manifest{}, nil, from.orElse(damaged(err))
	}
	m, err := manifest(head)
	if err != nil {
		return Manifest{}, nil, err
	}
	return m, &database{from: from, in: buffered, left: m.Size, sum: sha256.New(), want: m.SHA256}, nil
}

// looksSealed tells a file that was cut short from one that was never ours.
func looksSealed(in *bufio.Reader) error {
	start, err := in.Peek(len(intro))
	switch {
	case string(start) == intro:
		return nil
	case len(start) == 0:
		return fmt.Errorf("%w: it is empty", ErrDamaged)
	case err != nil && strings.HasPrefix(intro, string(start)):
		return fmt.Errorf("%w: it is cut short", ErrDamaged)
	}
	return ErrForeign
}

func refusal(err error, k kind) error {
	var wrong wrongKind
	var none *age.NoIdentityMatchError
	switch {
	case errors.As(err, &wrong):
		return fmt.Errorf("%w: it was %w", ErrIdentity, wrong)
	case errors.As(err, &none) && k == masterKind:
		return fmt.Errorf("%w: it was made under another master key, which is needed to open it", ErrIdentity)
	case errors.As(err, &none) && k == passphraseKind:
		return fmt.Errorf("%w: the passphrase is another one", ErrIdentity)
	case errors.As(err, &none):
		return fmt.Errorf("%w: the identities given are none of its recipients'", ErrIdentity)
	}
	return damaged(err)
}

// damaged says no more than whether something is missing: age's own texts speak of chunks and stanzas.
func damaged(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: it is cut short", ErrDamaged)
	}
	return fmt.Errorf("%w: something in it was altered", ErrDamaged)
}

// source remembers the error of what is read from, which is not the backup's fault.
type source struct {
	r   io.Reader
	err error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

func (s *source) orElse(err error) error {
	if s.err != nil {
		return s.err
	}
	return err
}

// database reads what stands behind the manifest.
type database struct {
	from *source
	in   *bufio.Reader
	left int64
	sum  hash.Hash
	want string
	err  error
}

func (d *database) Read(p []byte) (int, error) {
	if d.err != nil || len(p) == 0 {
		return 0, d.err
	}
	if d.left == 0 {
		d.err = d.end()
		return 0, d.err
	}
	n, err := d.in.Read(p[:min(int64(len(p)), d.left)])
	d.sum.Write(p[:n])
	d.left -= int64(n)
	if err != nil {
		d.err = d.from.orElse(damaged(err))
		return n, d.err
	}
	return n, nil
}

func (d *database) end() error {
	_, err := d.in.ReadByte()
	switch {
	case err == nil:
		return fmt.Errorf("%w: there is more in it than it says", ErrDamaged)
	case err != io.EOF:
		return d.from.orElse(damaged(err))
	case sumOf(d.sum) != d.want:
		return fmt.Errorf("%w: the database in it is not the one that it names", ErrDamaged)
	}
	return io.EOF
}

// Verify reads a backup to its end and says what is in it. Errors are those of Open.
func Verify(r io.Reader, with Identity) (Manifest, error) {
	m, db, err := Open(r, with)
	if err != nil {
		return Manifest{}, err
	}
	if _, err := io.Copy(io.Discard, db); err != nil {
		return Manifest{}, fmt.Errorf("backup: %w", err)
	}
	return m, nil
}
