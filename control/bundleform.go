package control

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"mtguard/control/advisory"
	"mtguard/control/store"
	"mtguard/security/access"
	"mtguard/security/auditlog"
	"mtguard/security/policy"
)

// bundle is the text of a bundle, read. See parseBundle.
type bundle struct {
	text     string
	number   int64
	time     time.Time
	lists    []store.List // Name, Origin, Level and Every alone
	document *policy.Document
	policy   string // the document's text
}

// openBundle takes the signed form. Signatures of others beside the key's do not
// matter.
func openBundle(signed []byte, key string) (*bundle, error) {
	if len(signed) > maxBundle {
		return nil, fmt.Errorf("it is longer than %d KiB", maxBundle>>10)
	}
	text, err := advisory.OpenNote(signed, key)
	if err != nil {
		return nil, err
	}
	return parseBundle(text)
}

// parseBundle reads
//
//	mtguard policy bundle
//	number 12
//	time 2026-11-26T12:00:00Z
//	list drop none 6h https://lists.example.com/drop.netset
//
//	schema = 1
//	…
//
// with any number of lists up to maxBundleLists, and no other way to write the
// lines above the empty one. Below it is a policy document, of which what it gives
// is laid over the policy in force.
func parseBundle(text string) (*bundle, error) {
	head, document, found := strings.Cut(text, "\n\n")
	lines := strings.Split(head, "\n")
	number, at, err := advisory.ParseHead(lines, bundleTitle)
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, errors.New("it has no empty line above the document")
	}
	b := &bundle{text: text, policy: document, number: number, time: at}
	if len(lines)-3 > maxBundleLists {
		return nil, fmt.Errorf("it has more than %d lists", maxBundleLists)
	}
	names := make(map[string]bool)
	for i, line := range lines[3:] {
		list, err := parseBundleList(line)
		if err == nil && names[list.Name] {
			err = fmt.Errorf("list %s comes twice", list.Name)
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", i+4, err)
		}
		names[list.Name] = true
		b.lists = append(b.lists, list)
	}
	if b.document, err = policy.Parse("bundle", []byte(document)); err != nil {
		return nil, errors.New(briefly(err))
	}
	return b, nil
}

// parseBundleList reads "list NAME LEVEL EVERY ADDRESS". A file of this machine is
// no business of a publisher's.
func parseBundleList(line string) (list store.List, err error) {
	words := strings.Split(line, " ")
	if len(words) != 5 || words[0] != "list" {
		return list, errors.New("want list, its name, level, how often it is read and its address")
	}
	if list.Name = words[1]; !listName.MatchString(list.Name) {
		return list, errors.New("a list's name has 1 to 64 letters, digits, dots, dashes or underscores")
	}
	if list.Level, err = access.ParseLevel(words[2]); err != nil {
		return list, err
	}
	every, err := ParseDuration(words[3])
	if list.Every = time.Duration(every); err != nil || list.Every < minListEvery || list.Every > maxBundleAge {
		return list, fmt.Errorf("a list is read every %v to %v", Duration(minListEvery), Duration(maxBundleAge))
	}
	if list.Origin = words[4]; filepath.IsAbs(list.Origin) || len(list.Origin) > store.MaxText || checkOrigin(list.Origin) != nil {
		return list, errors.New("a list of a bundle has an https address without a password")
	}
	return list, nil
}

// briefly says on one line what is wrong: of a document, the first problem.
func briefly(err error) string {
	text := err.Error()
	if e, ok := errors.AsType[*policy.Error](err); ok {
		text = e.Problems[0].String()
		if more := len(e.Problems) - 1; more > 0 {
			text += fmt.Sprintf(" (and %s more)", plural(more, "problem"))
		}
	}
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
	return auditlog.Clip(text, auditlog.MaxReason)
}

func (b *bundle) digest() string {
	sum := sha256.Sum256([]byte(b.text))
	return hex.EncodeToString(sum[:])
}

// readBundle reads a bundle from where it comes from, a byte more than it may have
// at most.
func readBundle(ctx context.Context, origin string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, bundleTimeout)
	defer cancel()
	var body io.ReadCloser
	var err error
	if filepath.IsAbs(origin) {
		body, err = openRegular(origin)
	} else {
		body, err = download(ctx, origin)
	}
	if err != nil {
		return nil, err
	}
	defer body.Close()
	return io.ReadAll(io.LimitReader(body, maxBundle+1))
}

// openRegular opens a file, and nothing that could keep us waiting.
func openRegular(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		f.Close()
		return nil, fmt.Errorf("%s is no file", path)
	}
	return f, nil
}
