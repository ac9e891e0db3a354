package wire

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestHeaderOpensWithoutSecret(t *testing.T) {
	t.Parallel()
	order := Order{Op: Download, Checked: true, Bytes: 1 << 40, Chunk: 16384, Rate: 2_000_000}
	h, key := NewHeader(nil, TagPadded, -4, nil)
	up := key.Up()
	sealed := order.Append(nil)
	up.XORKeyStream(sealed, sealed)

	tag, dc, opened, ok := OpenHeader(h)
	if !ok || tag != TagPadded || dc != -4 {
		t.Fatalf("OpenHeader gives tag %x, DC %d, %t", tag, dc, ok)
	}
	streams := opened.Streams()
	streams.Up.XORKeyStream(sealed, sealed)
	got, err := ParseOrder(sealed)
	if err != nil || got != order {
		t.Fatalf("order arrives as %+v (%v), want %+v", got, err, order)
	}
	if len(sealed) != OrderSize {
		t.Fatalf("order is %d bytes long", len(sealed))
	}
}

func TestHeaderWithSecretDoesNotOpenWithoutIt(t *testing.T) {
	t.Parallel()
	h, _ := NewHeader(nil, TagPadded, 2, make([]byte, 16))
	if _, _, _, ok := OpenHeader(h); ok {
		t.Fatal("a header made with a secret opens without one")
	}
}

func TestDeframerAtAnySplit(t *testing.T) {
	t.Parallel()
	payload := make([]byte, 3*RecordPayload+17)
	Pattern(payload, 0)
	stream := AppendRecords(nil, payload)
	if int64(len(stream)) != RecordedSize(int64(len(payload))) {
		t.Fatalf("%d bytes on the wire, RecordedSize says %d", len(stream), RecordedSize(int64(len(payload))))
	}
	for range 200 {
		var strip, count Deframer
		var got []byte
		counted := 0
		for rest := slices.Clone(stream); len(rest) > 0; {
			n := min(1+rand.IntN(4000), len(rest))
			c, err := count.Count(rest[:n])
			if err != nil {
				t.Fatal(err)
			}
			counted += c
			k, err := strip.Strip(rest[:n])
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, rest[:k]...)
			rest = rest[n:]
		}
		if counted != len(payload) || !bytes.Equal(got, payload) {
			t.Fatalf("%d bytes counted and %d stripped of %d", counted, len(got), len(payload))
		}
	}
}

func TestDeframerRefuses(t *testing.T) {
	t.Parallel()
	for name, header := range map[string][]byte{
		"alert":     {0x15, 3, 3, 0, 2},
		"version":   {0x17, 3, 1, 0, 2},
		"too large": {0x17, 3, 3, 0x40, 1},
		"empty":     {0x17, 3, 3, 0, 0},
	} {
		var d Deframer
		if _, err := d.Count(header); err == nil {
			t.Errorf("%s: record is taken", name)
		}
	}
}

func TestAnswerIsVerified(t *testing.T) {
	t.Parallel()
	secret := []byte("0123456789abcdef")
	hello := NewHellos("www.example.com", secret).Append(nil, time.Now())
	answer := []byte{0x16, 3, 3, 0, 40, 2, 0, 0, 36, 3, 3}
	answer = append(answer, make([]byte, 34)...)
	answer = append(answer, ChangeCipherSpec...)
	answer = AppendRecord(answer, []byte("flight"))
	if n, whole := AnswerSize(answer); !whole || n != len(answer) {
		t.Fatalf("AnswerSize gives %d, %t for %d bytes", n, whole, len(answer))
	}
	if VerifyAnswer(secret, Random(hello), answer) == nil {
		t.Fatal("an answer without digest is taken")
	}
	if VerifyAnswer(secret, Random(hello), answer[:len(answer)-1]) == nil {
		t.Fatal("a cut answer is taken")
	}
}

func TestHellosDiffer(t *testing.T) {
	t.Parallel()
	h := NewHellos("www.example.com", make([]byte, 16))
	a, b := h.Append(nil, time.Now()), h.Append(nil, time.Now())
	if bytes.Equal(Random(a), Random(b)) {
		t.Fatal("two hellos have the same random: a proxy must take the second for a replay")
	}
	if len(a) < 1700 || len(a) > 1850 {
		t.Fatalf("a hello of %d bytes; applications of 2026 send 1,710 to 1,830", len(a))
	}
}

func TestPatternTellsOffsets(t *testing.T) {
	t.Parallel()
	b := make([]byte, 100)
	Pattern(b, 1000)
	if !IsPattern(b, 1000) || IsPattern(b, 1001) {
		t.Fatal("pattern does not depend on the offset")
	}
}
