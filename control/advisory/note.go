package advisory

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
)

// OpenNote returns the text of a note of golang.org/x/mod/sumdb/note that the key's owner has signed. Signatures of others beside
// that do not matter.
func OpenNote(signed []byte, key string) (string, error) {
	verifier, err := note.NewVerifier(key)
	if err != nil {
		return "", errors.New("the publisher's key is none")
	}
	n, err := note.Open(signed, note.VerifierList(verifier))
	if _, ok := errors.AsType[*note.InvalidSignatureError](err); ok {
		return "", fmt.Errorf("the signature of %s is wrong", verifier.Name())
	}
	if _, ok := errors.AsType[*note.UnverifiedNoteError](err); ok {
		return "", fmt.Errorf("%s has not signed it", verifier.Name())
	}
	if err != nil {
		return "", errors.New("it is no signed note, or not all of one")
	}
	return n.Text, nil
}

// ParseHead reads the first lines of a text that a publisher signs: a title, "number 12" and "time 2026-11-26T12:00:00Z", with no other
// way to write them.
func ParseHead(lines []string, title string) (number int64, at time.Time, err error) {
	if len(lines) < 3 || lines[0] != title {
		return 0, at, fmt.Errorf("it does not begin with %q, number and time", title)
	}
	text, ok := strings.CutPrefix(lines[1], "number ")
	if number, err = strconv.ParseInt(text, 10, 64); !ok || err != nil || number < 1 || strconv.FormatInt(number, 10) != text {
		return 0, at, errors.New("line 2: want number and a whole number from 1 on")
	}
	text, ok = strings.CutPrefix(lines[2], "time ")
	if at, err = exactTime(text); !ok || err != nil {
		return 0, at, errors.New("line 3: want time and a time like 2026-11-26T12:00:00Z")
	}
	return number, at, nil
}

func exactTime(text string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339, text)
	if err == nil && t.UTC().Format(time.RFC3339) != text {
		err = errors.New("not in UTC")
	}
	return t, err
}
