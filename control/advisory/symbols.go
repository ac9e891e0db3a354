package advisory

import (
	"bytes"
	"debug/elf"
	"debug/macho"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// Symbols are the names of all functions in a binary, also of those that were inlined and of those of a stripped one: the
// runtime needs them for stack traces. What the linker left out because nothing calls it is not among them. The zero Symbols knows
// nothing.
type Symbols struct{ names []byte } // the section with the table; every name ends with a zero byte

const maxSymbols = 128 << 20

// ReadSymbols reads the names from the running program's file.
func ReadSymbols() (Symbols, error) {
	path, err := os.Executable()
	if err != nil {
		return Symbols{}, err
	}
	f, err := os.Open(path)
	if err != nil {
		return Symbols{}, err
	}
	defer f.Close()
	return readSymbols(f)
}

// readSymbols reads the names from an ELF or a Mach-O file.
func readSymbols(f io.ReaderAt) (Symbols, error) {
	data, err := lineTable(f)
	if err != nil {
		return Symbols{}, err
	}
	s := Symbols{data}
	// Every program has these. Where they are not found the table is not what it is taken for, and absence proves nothing.
	if !s.Function("main.main") || !s.Function("runtime.gopanic") {
		return Symbols{}, errors.New("the table of functions is of an unknown form")
	}
	return s, nil
}

func lineTable(f io.ReaderAt) ([]byte, error) {
	if e, err := elf.NewFile(f); err == nil {
		for _, name := range []string{".gopclntab", ".data.rel.ro.gopclntab"} {
			if section := e.Section(name); section != nil && section.Size <= maxSymbols {
				return section.Data()
			}
		}
	} else if m, err := macho.NewFile(f); err == nil {
		if section := m.Section("__gopclntab"); section != nil && section.Size <= maxSymbols {
			return section.Data()
		}
	}
	return nil, errors.New("the binary has no table of functions that is known here")
}

// Known reports whether anything is known; if not, absence proves nothing.
func (s Symbols) Known() bool { return len(s.names) > 0 }

// Function reports whether there is code of a function or method, such as "crypto/tls.(*Conn).Read", or of an instance of a
// generic one, or of a function within it.
func (s Symbols) Function(name string) bool {
	for _, end := range []string{"\x00", "[", ".", "-fm\x00"} {
		if bytes.Contains(s.names, []byte("\x00"+name+end)) {
			return true
		}
	}
	return false
}

// Package reports whether there is code of a package.
func (s Symbols) Package(path string) bool {
	return bytes.Contains(s.names, []byte("\x00"+prefix(path)+"."))
}

// Symbol reports whether there is code of what vulnerability data calls "Read" or "Conn.Read" of a package.
func (s Symbols) Symbol(path, symbol string) bool {
	receiver, method, ok := strings.Cut(symbol, ".")
	if !ok {
		return s.Function(prefix(path) + "." + symbol)
	}
	of := prefix(path) + "."
	return s.Function(of+receiver+"."+method) || s.Function(of+"(*"+receiver+")."+method) ||
		s.instance(of+receiver+"[", "]."+method) || s.instance(of+"(*"+receiver+"[", "])."+method)
}

// instance looks for a method of a generic type: between head and tail its name has the types that it was made for.
func (s Symbols) instance(head, tail string) bool {
	for rest := s.names; ; {
		_, after, found := bytes.Cut(rest, []byte("\x00"+head))
		if !found {
			return false
		}
		name, _, _ := bytes.Cut(after, []byte{0})
		if _, within, ok := bytes.Cut(name, []byte(tail)); ok && (len(within) == 0 || within[0] == '.' || within[0] == '-') {
			return true
		}
		rest = after
	}
}

// prefix is how the linker writes a package's path: dots behind the last slash, and what is no printable ASCII, escaped.
func prefix(path string) string {
	slash := strings.LastIndexByte(path, '/')
	var b strings.Builder
	for i := range len(path) {
		if c := path[i]; c <= ' ' || c == '.' && i > slash || c == '%' || c == '"' || c >= 0x7f {
			fmt.Fprintf(&b, "%%%02x", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}
