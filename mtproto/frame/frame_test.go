package frame

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"

	"mtguard/mtproto"
)

type hexBytes []byte

func (h *hexBytes) UnmarshalText(text []byte) (err error) {
	*h, err = hex.DecodeString(string(text))
	return err
}

type vector struct {
	Transport string   `json:"transport"`
	Length    int      `json:"payload_len"`
	Header    hexBytes `json:"header"`
	Payload   hexBytes `json:"payload"`
	SHA256    hexBytes `json:"payload_sha256"`
}

func vectors(t testing.TB) []vector {
	t.Helper()
	raw, err := os.ReadFile("testdata/client_framing.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Frames []vector }
	if err := json.Unmarshal(raw, &file); err != nil || len(file.Frames) != 18 {
		t.Fatalf("%d frames, %v", len(file.Frames), err)
	}
	return file.Frames
}

func framingOf(t testing.TB, name string) mtproto.Framing {
	for f := mtproto.Abridged; f <= mtproto.Padded; f++ {
		if f.String() == name {
			return f
		}
	}
	t.Fatalf("unknown framing %q", name)
	return 0
}

// payloadOf is the vector's packet. The file holds the short ones; of the others only
// the length matters to the framing, and they are made here.
func payloadOf(t testing.TB, v vector) []byte {
	if v.Payload == nil {
		return bytes.Repeat([]byte{0x5a}, v.Length)
	}
	if sum := sha256.Sum256(v.Payload); len(v.Payload) != v.Length || !bytes.Equal(sum[:], v.SHA256) {
		t.Fatalf("payload %x is not that of the file", v.Payload)
	}
	return v.Payload
}

// drain feeds stream in pieces and copies what comes out.
func drain(d *Decoder, stream []byte, next func() int) (frames []Frame, err error) {
	for len(stream) > 0 {
		piece := bytes.Clone(stream[:min(next(), len(stream))])
		stream = stream[len(piece):]
		for len(piece) > 0 {
			f, n, err := d.Next(piece)
			if err != nil {
				return frames, err
			}
			piece = piece[n:]
			if f.Payload == nil {
				if len(piece) > 0 {
					return frames, fmt.Errorf("%d bytes left without a frame", len(piece))
				}
				continue
			}
			f.Payload, f.Padding = bytes.Clone(f.Payload), bytes.Clone(f.Padding)
			frames = append(frames, f)
		}
	}
	return frames, nil
}

func TestVectors(t *testing.T) {
	for _, v := range vectors(t) {
		f, payload := framingOf(t, v.Transport), payloadOf(t, v)
		got, err := Append(nil, f, payload, nil)
		if want := append(bytes.Clone(v.Header), payload...); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s %d: header %x, %v, want %x", v.Transport, v.Length, got[:min(len(got), 4)], err, v.Header)
		}
		for _, ack := range []bool{false, true} {
			wire := append(bytes.Clone(v.Header), payload...)
			if ack {
				RequestAck(wire, f)
			}
			for _, size := range []int{1, 3, 1 << 20} {
				frames, err := drain(NewDecoder(f, 0), wire, func() int { return size })
				if err != nil || len(frames) != 1 || !bytes.Equal(frames[0].Payload, payload) ||
					len(frames[0].Padding) != 0 || frames[0].QuickAck != ack {
					t.Errorf("%s %d, ack %v, in pieces of %d: %d frames, %v", v.Transport, v.Length, ack, size, len(frames), err)
				}
			}
		}
	}
}

func TestPadding(t *testing.T) {
	payload := bytes.Repeat([]byte{1}, 40)
	for n := range MaxPadding + 1 {
		padding := bytes.Repeat([]byte{2}, n)
		wire, err := Append([]byte("before"), mtproto.Padded, payload, padding)
		if err != nil || string(wire[:6]) != "before" {
			t.Fatalf("padding of %d: %x, %v", n, wire, err)
		}
		frames, err := drain(NewDecoder(mtproto.Padded, 0), wire[6:], func() int { return 5 })
		if err != nil || len(frames) != 1 {
			t.Fatalf("padding of %d: %d frames, %v", n, len(frames), err)
		}
		// Whole words of padding look like payload (the paper's example: 88 + 11 arrive as 96).
		want := append(bytes.Clone(payload), padding[:n&^3]...)
		if got := frames[0]; !bytes.Equal(got.Payload, want) || len(got.Padding) != n%4 {
			t.Errorf("padding of %d: payload of %d, padding of %d, want %d and %d", n, len(got.Payload), len(got.Padding), len(want), n%4)
		}
	}
}

func TestAppendRefuses(t *testing.T) {
	for _, c := range []struct {
		name             string
		f                mtproto.Framing
		payload, padding int
	}{
		{"empty packet", mtproto.Intermediate, 0, 0},
		{"packet of 6", mtproto.Abridged, 6, 0},
		{"padding in abridged", mtproto.Abridged, 8, 4},
		{"padding in intermediate", mtproto.Intermediate, 8, 4},
		{"padding of 16", mtproto.Padded, 8, 16},
		{"no framing", 0, 8, 0},
		{"64 MiB", mtproto.Abridged, 64 << 20, 0},
	} {
		got, err := Append([]byte("x"), c.f, make([]byte, c.payload), make([]byte, c.padding))
		if err == nil || string(got) != "x" {
			t.Errorf("%s: %d bytes, %v", c.name, len(got), err)
		}
	}
}

func TestDecoderRefuses(t *testing.T) {
	for _, c := range []struct {
		name  string
		f     mtproto.Framing
		limit int
		wire  string
		want  error
	}{
		{"empty abridged", mtproto.Abridged, 0, "00", errLength},
		{"empty abridged with ack", mtproto.Abridged, 0, "80", errLength},
		{"overlong abridged", mtproto.Abridged, 0, "7f7e0000", errOverlong},
		{"overlong abridged with ack", mtproto.Abridged, 0, "ff010000", errOverlong},
		{"abridged above the limit", mtproto.Abridged, 0, "7f01fc03", errLimit},
		{"abridged above a small limit", mtproto.Abridged, 8, "03", errLimit},
		{"empty intermediate", mtproto.Intermediate, 0, "00000000", errLength},
		{"intermediate of 6", mtproto.Intermediate, 0, "06000000", errLength},
		{"intermediate above the limit", mtproto.Intermediate, 0, "04f00f00", errLimit},
		{"largest intermediate", mtproto.Intermediate, 0, "fcffffff", errLimit},
		{"padded of 3", mtproto.Padded, 0, "03000000", errLength},
		{"padded above the limit", mtproto.Padded, 0, "01f00f00", errLimit},
		{"no framing", 0, 0, "04", errFraming},
	} {
		wire, err := hex.DecodeString(c.wire)
		if err != nil {
			t.Fatal(err)
		}
		d := NewDecoder(c.f, c.limit)
		if _, _, err := d.Next(wire); err != c.want {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		if _, _, err := d.Next([]byte{1, 1, 2, 3, 4}); err != c.want {
			t.Errorf("%s: goes on after the error: %v", c.name, err)
		}
	}
	for f, wire := range map[mtproto.Framing]string{mtproto.Abridged: "\x7f\x00\xfc\x03", mtproto.Padded: "\x00\xf0\x0f\x00"} {
		if _, n, err := NewDecoder(f, 0).Next([]byte(wire)); n != 4 || err != nil {
			t.Errorf("%v: a packet of exactly the limit: %d, %v", f, n, err)
		}
	}
}

// TestDecoderMemory: a claimed length costs nothing until its bytes come, and a big
// packet's buffer is not kept.
func TestDecoderMemory(t *testing.T) {
	d := NewDecoder(mtproto.Intermediate, 0)
	wire, err := Append(nil, mtproto.Intermediate, make([]byte, MaxPayload), nil)
	if err != nil {
		t.Fatal(err)
	}
	d.Next(wire[:100])
	if cap(d.buf) > 1000 {
		t.Errorf("96 bytes of a packet hold %d", cap(d.buf))
	}
	f, n, err := d.Next(wire[100:])
	if n != len(wire)-100 || len(f.Payload) != MaxPayload || err != nil || d.buf != nil {
		t.Errorf("%d, payload of %d, %v; keeps %d", n, len(f.Payload), err, cap(d.buf))
	}
	small, _ := Append(nil, mtproto.Intermediate, make([]byte, 64), nil)
	if n := testing.AllocsPerRun(100, func() {
		d.Next(small[:20])
		d.Next(small[20:])
		d.Next(small)
	}); n != 0 {
		t.Errorf("small packets allocate %v times", n)
	}
}

// FuzzFrame: a stream decodes to the same packets however it is cut, and encoding them
// again gives the stream.
func FuzzFrame(f *testing.F) {
	for n, v := range vectors(f) {
		f.Add(uint8(framingOf(f, v.Transport)), append(bytes.Clone(v.Header), payloadOf(f, v)...), uint64(n))
	}
	f.Add(uint8(mtproto.Padded), []byte("\x07\x00\x00\x80abcdefg\x04\x00\x00\x00abcd\x03"), uint64(1))
	f.Add(uint8(mtproto.Abridged), []byte("\x81abcd\x01abcd\x00"), uint64(2))
	f.Fuzz(func(t *testing.T, kind uint8, stream []byte, seed uint64) {
		const limit = 1 << 16
		framing := mtproto.Framing(kind)
		rng := rand.New(rand.NewPCG(seed, 2))
		longest := 1 + rng.IntN(len(stream)+1)
		whole, wholeErr := drain(NewDecoder(framing, limit), stream, func() int { return len(stream) })
		cut, cutErr := drain(NewDecoder(framing, limit), stream, func() int { return 1 + rng.IntN(longest) })
		if wholeErr != cutErr || len(whole) != len(cut) {
			t.Fatalf("whole: %d packets, %v; cut: %d, %v", len(whole), wholeErr, len(cut), cutErr)
		}
		var again []byte
		for n, p := range whole {
			if q := cut[n]; !bytes.Equal(p.Payload, q.Payload) || !bytes.Equal(p.Padding, q.Padding) || p.QuickAck != q.QuickAck {
				t.Fatalf("packet %d differs", n)
			}
			if len(p.Payload)+len(p.Padding) > limit || len(p.Payload)%4 != 0 || len(p.Padding) > 3 {
				t.Fatalf("packet of %d and %d", len(p.Payload), len(p.Padding))
			}
			start := len(again)
			var err error
			if again, err = Append(again, framing, p.Payload, p.Padding); err != nil {
				t.Fatal(err)
			}
			if p.QuickAck {
				RequestAck(again[start:], framing)
			}
		}
		if !bytes.HasPrefix(stream, again) {
			t.Fatal("packets encode to another stream")
		}
		if tail := len(stream) - len(again); wholeErr == nil && tail > limit+4 {
			t.Fatalf("%d bytes are held back", tail)
		}
	})
}

func BenchmarkNext(b *testing.B) {
	wire, err := Append(nil, mtproto.Padded, make([]byte, 1024), make([]byte, 7))
	if err != nil {
		b.Fatal(err)
	}
	d := NewDecoder(mtproto.Padded, 0)
	b.SetBytes(int64(len(wire)))
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := d.Next(wire); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	payload, buf := make([]byte, 1024), make([]byte, 0, 2048)
	b.SetBytes(1024)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Append(buf, mtproto.Abridged, payload, nil); err != nil {
			b.Fatal(err)
		}
	}
}

func ExampleDecoder() {
	wire, _ := Append(nil, mtproto.Padded, []byte("a packet"), []byte("pad"))
	RequestAck(wire, mtproto.Padded)

	d := NewDecoder(mtproto.Padded, 0)
	for _, piece := range [][]byte{wire[:7], wire[7:]} {
		for len(piece) > 0 {
			f, n, err := d.Next(piece)
			if err != nil {
				return
			}
			piece = piece[n:]
			if f.Payload != nil {
				fmt.Printf("%q, ack %v\n", f.Payload, f.QuickAck)
			}
		}
	}
	// Output: "a packet", ack true
}
