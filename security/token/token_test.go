package token

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
)

var kinds = []Kind{API, Session, Code}

func TestParseReadsWhatNewMakes(t *testing.T) {
	seen := make(map[string]bool)
	for _, kind := range kinds {
		for range 100 {
			made := New(kind)
			text := made.Reveal()
			if len(text) != Length || !strings.HasPrefix(text, string(kind)+"_") {
				t.Fatalf("a token of %d characters that begins with %q", len(text), text[:4])
			}
			if seen[made.ID()] || seen[text] {
				t.Fatal("two tokens have the same id")
			}
			seen[made.ID()], seen[text] = true, true
			read, ok := Parse(kind, text)
			if !ok || read != made || read.Kind() != kind {
				t.Fatalf("%v is read as %v", made, read)
			}
			if !made.Digest().Is(read) {
				t.Fatal("a token is not its own digest's")
			}
			for _, other := range kinds {
				if _, ok := Parse(other, text); ok != (other == kind) {
					t.Errorf("a token of kind %s is read as one of kind %s: %v", kind, other, ok)
				}
			}
		}
	}
}

func TestWhatIsNoToken(t *testing.T) {
	good := New(API).Reveal()
	for _, text := range []string{
		"", "mtg_", good + "a", good[1:], good[:Length-1], " " + good[1:], strings.ToUpper(good), strings.Replace(good, "_", "-", 1),
		good[:Length-1] + "0", good[:Length-1] + "=", good[:Length-2] + "é", strings.Repeat("mtg_", 1<<20),
		good[:4] + "_" + good[5:], good[:20] + "a" + good[21:], "mtx" + good[3:],
	} {
		if _, ok := Parse(API, text); ok {
			t.Errorf("%.80q is read as a token", text)
		}
	}
	var none Token
	if none.Digest().Is(none) || none.ID() != "" {
		t.Error("no token is one")
	}
}

// TestNothingPrintsTheSecret looks for the secret in everything that prints.
func TestNothingPrintsTheSecret(t *testing.T) {
	made := New(Session)
	secret := made.Reveal()[Length-secretChars:]
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&out, verb+"\n", made)
		fmt.Fprintf(&out, verb+"\n", struct{ T *Token }{&made}.T)
	}
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "token", made, "in", []Token{made})
	json.NewEncoder(&out).Encode(map[string]any{"t": made, "l": []Token{made}})
	fmt.Fprintf(&out, "%v", Token{})
	if strings.Contains(out.String(), secret) || strings.Contains(out.String(), fmt.Sprintf("%x", secret)) {
		t.Errorf("the secret is printed:\n%s", out.String())
	}
	if !strings.Contains(out.String(), made.ID()) {
		t.Error("the id is not printed")
	}
}

// TestNoMutationIsAccepted changes tokens in every way and asks their digests.
// MTGUARD_MUTATIONS says how many.
func TestNoMutationIsAccepted(t *testing.T) {
	n := 10_000
	if text := os.Getenv("MTGUARD_MUTATIONS"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	r := rand.New(rand.NewPCG(1, 2))
	made := New(API)
	digest, good := made.Digest(), made.Reveal()
	read := 0
	for range n {
		text := Mutate(r, good)
		got, ok := Parse(API, text)
		if ok {
			read++
		}
		if ok && digest.Is(got) {
			t.Fatalf("a token in which something was changed is accepted: %d characters", len(text))
		}
	}
	if read < n/10 {
		t.Errorf("only %d of %d mutations are tokens at all: the digest was hardly asked", read, n)
	}
	if again, ok := Parse(API, good); !ok || !digest.Is(again) {
		t.Error("the token itself is refused")
	}
}

// Mutate returns a text that is not the one given.
func Mutate(r *rand.Rand, text string) string {
	for {
		b := []byte(text)
		switch at := r.IntN(len(b)); r.IntN(6) {
		case 0, 1, 2:
			b[at] = alphabet[r.IntN(len(alphabet))]
		case 3:
			b[at] ^= 1 << r.IntN(8)
		case 4:
			other := r.IntN(len(b))
			b[at], b[other] = b[other], b[at]
		default:
			b = append(b[:at], b[at+1:]...)
		}
		if string(b) != text {
			return string(b)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, kind := range kinds {
		f.Add(string(kind), string(kind)+"_"+strings.Repeat("a", idLength)+"_"+strings.Repeat("7", secretChars))
	}
	f.Add("mtg", "mtg_aaaaaaaaaaaaaaaa-"+strings.Repeat("a", secretChars))
	f.Add("", strings.Repeat("_", Length))
	f.Fuzz(func(t *testing.T, kind, text string) {
		got, ok := Parse(Kind(kind), text)
		if !ok {
			if got != (Token{}) {
				t.Errorf("a text that is no token gives %v", got)
			}
			return
		}
		if got.Reveal() != text || got.ID() != text[4:20] || !got.Digest().Is(got) || len(text) != Length {
			t.Errorf("%q is read as %v", text, got)
		}
		if strings.Contains(fmt.Sprint(got), text[Length-secretChars:]) {
			t.Error("it prints its secret")
		}
	})
}
