package main

import (
	"io"
	"os"
	"os/signal"
	"strings"
	"sync"

	"golang.org/x/term"
)

// What a terminal is told: the other screen and back, no cursor and again one, home, and to forget the rest of a line or of the screen.
const (
	termEnter = "\x1b[?1049h\x1b[?25l\x1b[2J"
	termLeave = "\x1b[?25h\x1b[?1049l"
	termHome  = "\x1b[H"
	termLine  = "\x1b[K\r\n" // in raw mode a line's end does not return
	termRest  = "\x1b[K\x1b[J"
)

// openTerminal is the screen of these streams; nil when they are none, or one that understands nothing.
func openTerminal(in io.Reader, out io.Writer) watchScreen {
	from, isFile := in.(*os.File)
	to, isFileToo := out.(*os.File)
	if !isFile || !isFileToo || !term.IsTerminal(int(from.Fd())) || !term.IsTerminal(int(to.Fd())) || os.Getenv("TERM") == "dumb" {
		return nil
	}
	return &terminal{in: from, out: to, keys: make(chan byte), resized: make(chan os.Signal, 1), ended: make(chan struct{})}
}

// terminal is a watchScreen on a real terminal.
type terminal struct {
	in, out *os.File
	keys    chan byte
	resized chan os.Signal
	ended   chan struct{}
}

func (t *terminal) Enter() (leave func(), err error) {
	state, err := term.MakeRaw(int(t.in.Fd()))
	if err != nil {
		return nil, err
	}
	notifyResize(t.resized)
	// The reading outlives the screen by one key: nothing can interrupt it, and the program ends then.
	go t.read()
	_, err = t.out.WriteString(termEnter)
	leave = sync.OnceFunc(func() {
		close(t.ended)
		signal.Stop(t.resized)
		t.out.WriteString(termLeave)
		term.Restore(int(t.in.Fd()), state)
	})
	if err != nil {
		leave()
	}
	return leave, err
}

func (t *terminal) read() {
	defer close(t.keys)
	b := make([]byte, 64)
	for {
		n, err := t.in.Read(b)
		if err != nil || n == 0 {
			return
		}
		for _, key := range plainKeys(b[:n]) {
			select {
			case t.keys <- key:
			case <-t.ended:
				return
			}
		}
	}
}

// plainKeys are what was typed without the keys that send a sequence, such as arrows (ECMA-48, 5.4; ESC O and one
// more of the keypad; ESC and a letter of Alt): none has a meaning here, and none is the Escape key.
func plainKeys(typed []byte) (keys []byte) {
	for i := 0; i < len(typed); i++ {
		if typed[i] != keyEscape || i+1 == len(typed) {
			keys = append(keys, typed[i])
			continue
		}
		switch i++; typed[i] {
		case '[':
			for i++; i < len(typed) && (typed[i] < '@' || typed[i] > '~'); i++ {
			}
		case 'O':
			i++
		}
	}
	return keys
}

func (t *terminal) Size() (columns, rows int) {
	columns, rows, err := term.GetSize(int(t.out.Fd()))
	if err != nil || columns <= 0 || rows <= 0 {
		return 80, 24
	}
	return columns, rows
}

func (t *terminal) Draw(picture string) error {
	_, err := t.out.WriteString(termHome + strings.ReplaceAll(picture, "\n", termLine) + termRest)
	return err
}

func (t *terminal) Keys() <-chan byte         { return t.keys }
func (t *terminal) Resized() <-chan os.Signal { return t.resized }
