package main

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// pty opens a terminal and the end from which it is looked at.
func pty(t *testing.T) (screen, user *os.File) {
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skip("no terminals here: ", err)
	}
	t.Cleanup(func() { screen.Close() })
	number, err := unix.IoctlGetInt(int(screen.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(screen.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		user, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	}
	if err == nil {
		err = unix.IoctlSetWinsize(int(user.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 90})
	}
	if err != nil {
		t.Skip("no terminals here: ", err)
	}
	t.Cleanup(func() { user.Close() })
	return screen, user
}

// TestTopOnATerminal: on a real one, ended by SIGTERM and by a key, it is left as it was found.
func TestTopOnATerminal(t *testing.T) {
	for name, end := range map[string]struct {
		by   func(screen *os.File)
		code int
	}{
		"SIGTERM": {func(*os.File) { syscall.Kill(os.Getpid(), syscall.SIGTERM) }, 130},
		"Ctrl-C":  {func(screen *os.File) { screen.Write([]byte{3}) }, 130},
		"q":       {func(screen *os.File) { screen.Write([]byte("q")) }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("TERM", "xterm")
			_, socket := watchedNode(t)
			screen, user := pty(t)
			before, err := unix.IoctlGetTermios(int(user.Fd()), unix.TCGETS)
			if err != nil {
				t.Skip(err)
			}
			shown := make(chan string, 1)
			drawn := make(chan struct{})
			go func() {
				var all strings.Builder
				b := make([]byte, 4096)
				for waiting := true; ; {
					n, err := screen.Read(b)
					if all.Write(b[:n]); waiting && strings.Contains(all.String(), "replay_burst") {
						waiting = false
						close(drawn)
					}
					if err != nil || strings.Contains(all.String(), termLeave) {
						shown <- all.String()
						return
					}
				}
			}()
			code := make(chan int)
			go func() {
				a := &app{stdin: user, stdout: user, stderr: &strings.Builder{}}
				code <- a.execute([]string{"top", "--server", socket})
			}()
			select {
			case <-drawn:
			case <-time.After(20 * time.Second):
				t.Fatal("nothing was drawn")
			}
			end.by(screen)
			if got := <-code; got != end.code {
				t.Errorf("exit code %d, want %d", got, end.code)
			}
			text := <-shown
			if !strings.HasPrefix(text, termEnter) || !strings.HasSuffix(text, termLeave) || strings.Contains(text, "\x1b[2J for") {
				t.Errorf("on the screen: %q", text)
			}
			after, err := unix.IoctlGetTermios(int(user.Fd()), unix.TCGETS)
			if err != nil || *after != *before {
				t.Errorf("the terminal is another: %+v, was %+v (%v)", after, before, err)
			}
			screen.Write([]byte("\n")) // whoever still reads may end
		})
	}
}

// onScreen is what has come to a terminal.
type onScreen struct {
	mu   sync.Mutex
	text strings.Builder
	more chan struct{}
}

func (s *onScreen) read(screen *os.File) {
	b := make([]byte, 4096)
	for {
		n, err := screen.Read(b)
		s.mu.Lock()
		s.text.Write(b[:n])
		s.mu.Unlock()
		select {
		case s.more <- struct{}{}:
		default:
		}
		if err != nil {
			return
		}
	}
}

// after waits until text stands behind the first from bytes, and returns where it ends.
func (s *onScreen) after(t *testing.T, from int, text string) int {
	t.Helper()
	late := time.After(20 * time.Second)
	for {
		s.mu.Lock()
		all := s.text.String()
		s.mu.Unlock()
		if i := strings.Index(all[from:], text); i >= 0 {
			return from + i + len(text)
		}
		select {
		case <-s.more:
		case <-late:
			t.Fatalf("no %q in %q", text, all[from:])
		}
	}
}

// TestTopTakesKeysAndSizes on a real terminal: a filter, an arrow, which means nothing, another size.
func TestTopTakesKeysAndSizes(t *testing.T) {
	t.Setenv("TERM", "xterm")
	_, socket := watchedNode(t)
	screen, user := pty(t)
	s := &onScreen{more: make(chan struct{}, 1)}
	go s.read(screen)
	code := make(chan int)
	go func() {
		a := &app{stdin: user, stdout: user, stderr: &strings.Builder{}}
		code <- a.execute([]string{"top", "--server", socket})
	}()
	at := s.after(t, 0, "rate.accept")
	screen.Write([]byte("/rate"))
	at = s.after(t, at, "/rate_")
	screen.Write([]byte("\x1b[A")) // up: not the end of the filter, and no letter of it
	screen.Write([]byte("\r"))
	at = s.after(t, at, "only rate (Esc: all)")
	if err := unix.IoctlSetWinsize(int(user.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 16, Col: 40}); err != nil {
		t.Skip(err)
	}
	syscall.Kill(os.Getpid(), syscall.SIGWINCH) // the terminal of the test's process is another
	at = s.after(t, at, "CONTROL             REFUSED/S  WOULD/S"+termLine)
	screen.Write([]byte("q"))
	if got := <-code; got != 0 {
		t.Errorf("exit code %d", got)
	}
	s.after(t, at, termLeave)
	screen.Write([]byte("\n")) // whoever still reads may end
}
