package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// maxSecretFile is more than any secret has: 17 bytes and a domain of 182, in hex.
const maxSecretFile = 4096

// SecretInfo is what a parser of secrets tells about one without giving it away.
type SecretInfo struct {
	// Domain is the server name inside an ee secret, else "".
	Domain string
	// ID is the same for equal keys and reveals nothing of them.
	ID string
}

// CheckAccess refuses a file with secrets in it that others than its owner can read.
// The node and `config check` ask; commands that only read need not.
func (f *File) CheckAccess() error {
	i := slices.IndexFunc(f.Users, func(u User) bool { return !u.Secret.IsZero() && u.SecretFile == "" })
	if i < 0 || f.Path() == "" {
		return nil
	}
	info, err := os.Stat(f.Path())
	if err != nil {
		return err
	}
	if !readableByOthers(info) {
		return nil
	}
	message := fmt.Sprintf("this file holds a secret and can be read by others (mode %04o)", info.Mode().Perm())
	p := f.source().problem(fmt.Sprintf("user[%d].secret", i), message, "")
	p.Hint = "chmod 600 " + f.Path() // as it was given: nothing of the file's content
	return f.report([]Problem{p})
}

// LoadSecrets reads every secret_file into the user's Secret and lets parse look at
// every secret. It refuses what parse refuses, a domain that cover.domains lacks, and
// one key for two users. parse must not put the secret into its error. On failure,
// an *Error, the Users are unchanged.
func (f *File) LoadSecrets(parse func(text string) (SecretInfo, error)) error {
	users := slices.Clone(f.Users)
	owner := make(map[string]string, len(users))
	var problems []Problem
	for i := range users {
		user := &users[i]
		path := fmt.Sprintf("user[%d].secret", i)
		if user.SecretFile != "" {
			path += "_file"
			text, message, hint := f.readSecret(user.SecretFile)
			if message != "" {
				p := f.source().problem(path, "", "")
				p.Message, p.Hint = message, hint // safe already: a name with long words is no secret
				problems = append(problems, p)
				continue
			}
			user.Secret = NewSecret(text)
		}
		info, err := parse(user.Secret.Reveal())
		switch taken := owner[info.ID]; {
		case err != nil:
			problems = append(problems, f.source().problem(path, fmt.Sprintf("user %s: %v", user.Name, err), "`mtguard generate-secret` makes a good one"))
			continue
		case taken != "":
			problems = append(problems, f.source().problem(path, fmt.Sprintf("user %s has the same secret as user %s", user.Name, taken), "a secret tells users apart: give each one of his own"))
		case info.ID != "":
			owner[info.ID] = user.Name
		}
		if info.Domain != "" && !slices.Contains(f.Cover.Domains, info.Domain) {
			problems = append(problems, f.source().problem(path,
				fmt.Sprintf("user %s has a secret for the server name %s, which cover.domains lacks", user.Name, info.Domain), "add it to cover.domains, or use the 32 hex digits alone"))
		}
	}
	if err := f.report(problems); err != nil {
		return err
	}
	f.Users = users
	return nil
}

func (f *File) readSecret(name string) (text, message, hint string) {
	if !filepath.IsAbs(name) {
		name = filepath.Join(filepath.Dir(f.Path()), name)
	}
	// Somebody may have put the secret itself where its file's name belongs.
	dir, base := filepath.Split(name)
	shown := "secret_file: " + dir + safe(base)
	info, err := os.Stat(name)
	switch {
	case err != nil:
		return "", shown + ": " + reason(err), ""
	case !info.Mode().IsRegular():
		return "", shown + " is no regular file", ""
	case readableByOthers(info):
		return "", fmt.Sprintf("%s can be read by others (mode %04o)", shown, info.Mode().Perm()), "chmod 600 " + dir + safe(base)
	}
	file, err := os.Open(name)
	if err != nil {
		return "", shown + ": " + reason(err), "the node runs as a user who cannot read it"
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxSecretFile+1))
	switch text = strings.TrimSpace(string(data)); {
	case err != nil:
		return "", shown + ": " + reason(err), ""
	case len(data) > maxSecretFile:
		return "", shown + " is larger than a secret can be", "it holds the secret and nothing else"
	case text == "":
		return "", shown + " is empty", "it holds the secret and nothing else"
	case strings.ContainsAny(text, "\r\n"):
		return "", shown + " holds several lines", "it holds the secret and nothing else"
	}
	return text, "", ""
}

// reason is an error of the system without the name of the file.
func reason(err error) string {
	if path, ok := errors.AsType[*fs.PathError](err); ok {
		return path.Err.Error()
	}
	return err.Error()
}

// readableByOthers looks at the mode bits, which other systems do not keep.
func readableByOthers(info fs.FileInfo) bool {
	return runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0
}
