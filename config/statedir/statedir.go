// Package statedir keeps the few files that must survive a restart: the default
// user's secret, a note of how the node last ran, from which `mtguard link`
// prints the links that `mtguard run` printed, the replay memories, and the master key
// of the store. It is no store and knows nothing of what a secret, a key or a memory
// looks like.
//
//	dir, err := statedir.Open(file.State.Dir, file.Explicit("state.dir"))
//	text, err := dir.DefaultSecret(create)
//	err = dir.WriteRun(statedir.Run{Listen: addrs})
//	err = dir.Replace("hellos.replay", cache.Export)
//
// A *Dir holds only names; any number of goroutines and processes may use one
// directory at a time. Files appear whole or not at all, and belong to the owner of the
// directory, also when root writes them.
package statedir

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"mtguard/config/disk"
)

// Dir is a state directory that exists.
type Dir struct {
	path string
	note string
}

const (
	secretName = "default.secret"
	runName    = "run.json"

	maxSecret = 4 << 10
	maxRun    = 1 << 20
)

// Open makes sure that the directory exists, private to its owner when it is made,
// and can be written. When it cannot and nobody chose it explicitly, a directory of the
// user's own is taken instead and Note says so.
func Open(dir string, explicit bool) (*Dir, error) {
	err := prepare(dir)
	if err == nil {
		return &Dir{path: dir}, nil
	}
	if explicit {
		return nil, fmt.Errorf("state directory %w", err)
	}
	own, ownErr := userDir()
	if ownErr == nil {
		ownErr = prepare(own)
	}
	if ownErr != nil {
		return nil, fmt.Errorf("state directory %w; and %w", err, ownErr)
	}
	return &Dir{path: own, note: fmt.Sprintf("the state directory is %s: %v", own, err)}, nil
}

// Find returns the directory Open would return, without making one: for commands that
// only read. The error is fs.ErrNotExist when there is none.
func Find(dir string, explicit bool) (*Dir, error) {
	err := usable(dir)
	if err == nil {
		return &Dir{path: dir}, nil
	}
	if own, ownErr := userDir(); ownErr == nil && !explicit && usable(own) == nil {
		return &Dir{path: own}, nil
	}
	return nil, fmt.Errorf("state directory %w", err)
}

func usable(dir string) error {
	info, err := os.Stat(dir)
	switch {
	case err != nil:
		return named(dir, err)
	case !info.IsDir():
		return named(dir, syscall.ENOTDIR)
	}
	return writable(dir)
}

// Path returns the directory's name.
func (d *Dir) Path() string { return d.path }

// Note says why another directory than the one asked for is used, or nothing.
func (d *Dir) Note() string { return d.note }

func userDir() (string, error) {
	if base := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(base) {
		return filepath.Join(base, "mtguard"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(home, ".local", "state", "mtguard"), nil
}

func prepare(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return named(dir, err)
	}
	return writable(dir)
}

// writable tries, because mode bits know nothing of read-only mounts and ACLs. It
// writes a byte, so that a full disk is noticed now.
func writable(dir string) error {
	probe, err := os.CreateTemp(dir, ".probe-*")
	if err != nil {
		return named(dir, err)
	}
	defer os.Remove(probe.Name())
	_, err = probe.Write([]byte{0})
	if closeErr := probe.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return named(dir, err)
	}
	return nil
}

// DefaultSecret returns the default user's secret. When there is none yet, create
// makes it and it is kept for ever after. Of several callers at once, in one process or
// many, all get the same secret.
func (d *Dir) DefaultSecret(create func() (string, error)) (string, error) {
	text, err := d.ReadDefaultSecret()
	if !errors.Is(err, fs.ErrNotExist) {
		return text, err
	}
	if text, err = create(); err != nil {
		return "", err
	}
	err = d.write(secretName, []byte(text+"\n"), false)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("default secret: %w", err)
	}
	// What was read back is what every later start will use, also when another
	// process was faster.
	return d.ReadDefaultSecret()
}

// ReadDefaultSecret returns the secret without making one; the error is fs.ErrNotExist
// when there is none.
func (d *Dir) ReadDefaultSecret() (string, error) {
	name := filepath.Join(d.path, secretName)
	data, info, err := read(name, maxSecret)
	if err != nil {
		return "", fmt.Errorf("default secret: %w", err)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("default secret: %s can be read by others (mode %04o): chmod 600 %s; if it may have been read, remove it and a new one is made", name, info.Mode().Perm(), name)
	}
	text := strings.TrimSpace(string(data))
	if text == "" {
		return "", fmt.Errorf("default secret: %s is empty: remove it and a new one is made, with new links", name)
	}
	return text, nil
}

// Run is how a node last ran, as far as links depend on it. It holds no secret.
type Run struct {
	// Config is the absolute path of the configuration file, "" for none.
	Config string `json:"config"`
	// Listen holds the addresses in use, with the ports the system chose.
	Listen []string `json:"listen"`
	// PublicAddress is the effective proxy.public_address.
	PublicAddress string `json:"public_address"`
	// Transports and Domains are the effective proxy.transports and cover.domains.
	Transports []string `json:"transports"`
	Domains    []string `json:"domains"`
	// AdminSocket is the path of the socket that commands talk to, "" for none.
	AdminSocket string `json:"admin_socket"`
}

// RemoveDefaultSecret removes the default user's secret, which is kept elsewhere
// by then. None there is no error.
func (d *Dir) RemoveDefaultSecret() error {
	err := os.Remove(filepath.Join(d.path, secretName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return named(d.path, err)
	}
	return disk.SyncDir(d.path)
}

// WriteRun replaces the note of the last run.
func (d *Dir) WriteRun(run Run) error {
	data, err := json.MarshalIndent(run, "", "  ")
	if err != nil {
		return err
	}
	return d.write(runName, append(data, '\n'), true)
}

// ReadRun returns the note of the last run; the error is fs.ErrNotExist when no node
// ran here yet.
func (d *Dir) ReadRun() (Run, error) {
	name := filepath.Join(d.path, runName)
	data, _, err := read(name, maxRun)
	if err != nil {
		return Run{}, err
	}
	var run Run
	if err := json.Unmarshal(data, &run); err != nil {
		return Run{}, fmt.Errorf("%s: %w", name, err)
	}
	return run, nil
}

// Replace makes the file called name of what fill writes, with mode 0600 and in place
// of an older one. When fill or the system fails, the older one stays. fill's own errors
// can be told with errors.Is.
func (d *Dir) Replace(name string, fill func(io.Writer) error) error {
	d.sweep(name)
	final := filepath.Join(d.path, name)
	temp, err := d.temp(name, fill)
	if err != nil {
		return err
	}
	if err := os.Rename(temp, final); err != nil {
		os.Remove(temp)
		return named(final, err)
	}
	return disk.SyncDir(d.path)
}

// OpenFile opens the file called name to be read. The error is fs.ErrNotExist when there
// is none.
func (d *Dir) OpenFile(name string) (io.ReadCloser, error) {
	file, _, err := open(filepath.Join(d.path, name))
	if err != nil {
		return nil, err // no nil *os.File in an interface
	}
	return file, nil
}

func open(name string) (*os.File, fs.FileInfo, error) {
	// Non-blocking, or a FIFO put there would hold the program for ever.
	file, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, named(name, err)
	}
	info, err := file.Stat()
	switch {
	case err != nil:
		err = named(name, err)
	case !info.Mode().IsRegular():
		err = fmt.Errorf("%s is no regular file", name)
	}
	if err != nil {
		file.Close()
		return nil, nil, err
	}
	return file, info, nil
}

func read(name string, limit int64) ([]byte, fs.FileInfo, error) {
	file, info, err := open(name)
	if err != nil {
		return nil, nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err != nil {
		return nil, nil, named(name, err)
	}
	if int64(len(data)) > limit {
		return nil, nil, fmt.Errorf("%s is larger than it can be", name)
	}
	return data, info, nil
}

// write makes a file of mode 0600 appear whole. Without replace an existing one is
// left alone and the error is fs.ErrExist.
func (d *Dir) write(name string, data []byte, replace bool) error {
	fill := func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	}
	if replace {
		return d.Replace(name, fill)
	}
	temp, err := d.temp(name, fill)
	if err != nil {
		return err
	}
	defer os.Remove(temp)
	final := filepath.Join(d.path, name)
	if err = os.Link(temp, final); errors.Is(err, errors.ErrUnsupported) || errors.Is(err, syscall.EPERM) {
		err = exclusive(final, data) // a file system without hard links
	}
	if err != nil {
		return named(final, err)
	}
	return disk.SyncDir(d.path)
}

// temp makes a file of mode 0600 that will become the one called name, and returns what
// it is called meanwhile.
func (d *Dir) temp(name string, fill func(io.Writer) error) (string, error) {
	final := filepath.Join(d.path, name)
	temp, err := os.CreateTemp(d.path, "."+name+"-*")
	if err != nil {
		return "", named(final, err)
	}
	err = adopt(temp, d.path)
	if err == nil {
		err = fill(temp)
	}
	if err == nil {
		err = temp.Sync()
	}
	if closeErr := temp.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		os.Remove(temp.Name())
		return "", named(final, err)
	}
	return temp.Name(), nil
}

// abandoned is the age from which a temporary file is one that a crash left behind.
const abandoned = time.Hour

// sweep removes what crashes left of earlier writes of name. It is no harm if it cannot.
func (d *Dir) sweep(name string) {
	all, _ := os.ReadDir(d.path)
	for _, entry := range all {
		if !strings.HasPrefix(entry.Name(), "."+name+"-") {
			continue
		}
		if info, err := entry.Info(); err == nil && time.Since(info.ModTime()) > abandoned {
			os.Remove(filepath.Join(d.path, entry.Name()))
		}
	}
}

// exclusive creates a file that did not exist. A crash in the middle leaves a short one,
// which readers refuse.
func exclusive(name string, data []byte) error {
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	err = adopt(file, filepath.Dir(name))
	if err == nil {
		_, err = file.Write(data)
	}
	if err == nil {
		err = file.Sync()
	}
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		os.Remove(name)
	}
	return err
}

// named gives an error of the system the name that tells an operator something, instead
// of a temporary one.
func named(name string, err error) error {
	var link *os.LinkError
	var path *fs.PathError
	switch {
	case errors.As(err, &link):
		err = link.Err
	case errors.As(err, &path):
		err = path.Err
	}
	return fmt.Errorf("%s: %w", name, err)
}
