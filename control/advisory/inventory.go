package advisory

import (
	"crypto/fips140"
	"crypto/tls"
	"errors"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"

	"mtguard/security/aead"
)

// Module is a Go module that is embedded in a build.
type Module struct {
	Path    string `json:"path"`
	Version string `json:"version" doc:"as go.mod writes it"`
	Sum     string `json:"sum,omitempty" doc:"hash of the module's files as go.sum writes it; left out: the build does not say"`
	// Crypto is what cryptography it is here for, "" for none.
	Crypto string `json:"crypto,omitempty" doc:"what cryptography it is here for; left out: none"`
}

// Suite is one way of encrypting that the program has.
type Suite struct {
	Name string `json:"name"`
	On   bool   `json:"on" doc:"may be used to seal"`
	Why  string `json:"why,omitempty" doc:"it is not on"`
}

// TLS is what the standard library's TLS does here where the program speaks it: personal pages and downloads.
type TLS struct {
	Least  string   `json:"least" doc:"lowest version that is spoken"`
	Suites []string `json:"suites" doc:"of TLS 1.3; Go lets nobody choose among them"`
}

// Inventory is the cryptography that a binary is made of.
type Inventory struct {
	Program string   `json:"program" doc:"version of mtguard"`
	Go      string   `json:"go" doc:"version of Go, whose standard library holds the ciphers, signatures and TLS"`
	OS      string   `json:"os"`
	Arch    string   `json:"arch"`
	FIPS    FIPS     `json:"fips"`
	TLS     TLS      `json:"tls"`
	Suites  []Suite  `json:"suites" doc:"AEAD suites of sealed files"`
	Modules []Module `json:"modules" doc:"every module that is embedded, those with cryptography first"`
}

// FIPS is the state of Go's FIPS 140-3 module.
type FIPS struct {
	Enabled  bool   `json:"enabled" doc:"only approved algorithms, with self-tests at start"`
	Enforced bool   `json:"enforced" doc:"anything else fails"`
	Version  string `json:"version" doc:"of the module, or latest when the build froze none"`
}

// roles are the modules with cryptography and what they are here for. It is a reviewed list, like
// doc/dependencies.md: the others hash names, file contents and identifiers at most.
var roles = map[string]string{
	"filippo.io/age":                    "backups: X25519, scrypt, ChaCha20-Poly1305",
	"filippo.io/edwards25519":           "curve arithmetic below fake TLS",
	"filippo.io/hpke":                   "backups for a recipient with a hybrid key",
	"github.com/tink-crypto/tink-go/v2": "keysets and sealing at rest",
	"golang.org/x/crypto":               "ChaCha20-Poly1305, XChaCha20-Poly1305, BLAKE2b, scrypt",
	"golang.org/x/mod":                  "signed notes and Merkle proofs: audit log, policy bundles, checksum database",
	"golang.org/x/sys":                  "finds the processor's AES instructions",
}

// noModules stands in reports for the modules of a build that names none, as one without Go modules or a test: they are there all
// the same.
const (
	noModules    = "(modules)"
	noModulesWhy = "this build does not say which modules are in it"
)

// errNoBuildInfo: the linker left out what the binary was built from.
var errNoBuildInfo = errors.New("this binary does not say what it was built from: build it with Go modules")

// Read returns the inventory of the running program. All suites are on in it: which of them a node may use is the node's policy.
func Read() (Inventory, error) {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return Inventory{}, errNoBuildInfo
	}
	return inventory(info), nil
}

func inventory(info *debug.BuildInfo) Inventory {
	v := Inventory{
		Program: orElse(strings.Trim(info.Main.Version, "()"), "unknown"), Go: info.GoVersion, OS: runtime.GOOS, Arch: runtime.GOARCH,
		FIPS: FIPS{Enabled: fips140.Enabled(), Enforced: fips140.Enforced(), Version: fips140.Version()},
		TLS:  TLS{Least: tls.VersionName(tls.VersionTLS12)},
	}
	for _, s := range tls.CipherSuites() {
		if slices.Contains(s.SupportedVersions, tls.VersionTLS13) {
			v.TLS.Suites = append(v.TLS.Suites, s.Name)
		}
	}
	for _, s := range aead.Suites() {
		v.Suites = append(v.Suites, Suite{Name: s.String(), On: true})
	}
	for _, dep := range info.Deps {
		if dep.Replace != nil {
			dep = dep.Replace // its code is what runs
		}
		v.Modules = append(v.Modules, Module{Path: dep.Path, Version: dep.Version, Sum: dep.Sum, Crypto: roles[dep.Path]})
	}
	slices.SortStableFunc(v.Modules, func(a, b Module) int {
		if (a.Crypto == "") != (b.Crypto == "") {
			if a.Crypto != "" {
				return -1
			}
			return 1
		}
		return strings.Compare(a.Path, b.Path)
	})
	return v
}

func orElse(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}
