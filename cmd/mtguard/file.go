package main

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// Commands whose answer is a file take its name with -o, where others take a form.

// written is what --json prints of a file that a command wrote.
type written struct {
	File  string `json:"file"`
	Bytes int64  `json:"bytes"`
}

// produce writes what fill writes to a file, or to standard output when there is no name, and
// says so.
func (c *call) produce(file string, fill func(io.Writer) error) error {
	if file == "" || file == "-" {
		switch {
		case c.format != formTable:
			return &usageError{errors.New("--json tells of a file"), "name it with -o"}
		case isTerminal(c.app.stdout):
			return &usageError{errors.New("standard output is a terminal"), "name a file with -o, or redirect: > FILE"}
		}
		return fill(c.app.stdout)
	}
	n, err := newFile(file, fill)
	if err != nil {
		return err
	}
	return answer(c, []written{{file, n}}, func() error {
		if !c.quiet {
			fmt.Fprintf(c.app.stdout, "%s: %s\n", file, sizeText(n))
		}
		return nil
	})
}

// newFile makes a private file of what fill writes, on disk when it returns, and none when fill
// fails. It never overwrites: what is there may be the only copy. A name that means a form
// to other commands' -o is taken for a slip.
func newFile(name string, fill func(io.Writer) error) (size int64, err error) {
	if name == formTable || name == formJSON || name == formLines {
		return 0, &usageError{fmt.Errorf("-o %s: here it is the name of a file", name), "./" + name + " if it shall be called that; for a form: --json"}
	}
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return 0, err
	}
	defer func() {
		if err = errors.Join(err, file.Close()); err != nil {
			os.Remove(name)
		}
	}()
	count := &counter{w: file}
	if err := fill(count); err != nil {
		return 0, err
	}
	return count.n, file.Sync()
}

// counter counts what goes through it.
type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, err
}

// beginning is the first most bytes of a file, or of standard input when it is "-", and how a
// message names it.
func (c *call) beginning(file string, most int64) (text []byte, name string, err error) {
	in, name := c.app.stdin, "standard input"
	if file != "-" {
		opened, err := os.Open(file)
		if err != nil {
			return nil, file, err
		}
		defer opened.Close()
		in, name = opened, file
	}
	text, err = io.ReadAll(io.LimitReader(in, most))
	return text, name, err
}
