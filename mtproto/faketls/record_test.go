package faketls

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"
	"unsafe"
)

var ccs = []byte{0x14, 3, 3, 0, 1, 1}

// data is one data record.
func data(payload ...byte) []byte { return append([]byte{0x17, 3, 3}, block(payload)...) }

func concat(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// stripAll feeds the stream in pieces of the sizes that next gives.
func stripAll(stream []byte, next func() int) (payload []byte, err error) {
	var d Deframer
	for len(stream) > 0 && err == nil {
		piece := bytes.Clone(stream[:min(next(), len(stream))])
		stream = stream[len(piece):]
		var n int
		n, err = d.Strip(piece)
		payload = append(payload, piece[:n]...)
	}
	return payload, err
}

func TestStrip(t *testing.T) {
	big := bytes.Repeat([]byte("telegram"), MaxInbound/8)
	for _, c := range []struct {
		name   string
		stream []byte
		want   []byte
		err    error
	}{
		{"nothing", nil, nil, nil},
		{"one record", data(1, 2, 3), []byte{1, 2, 3}, nil},
		{"as clients begin", concat(ccs, data(1, 2), data(3)), []byte{1, 2, 3}, nil},
		{"no change cipher spec", concat(data(1), data(2)), []byte{1, 2}, nil},
		{"empty records", concat(data(), data(1), data(), data(), data(2)), []byte{1, 2}, nil},
		{"late change cipher spec", concat(data(1), ccs, data(2)), []byte{1, 2}, nil},
		{"eight change cipher specs", concat(bytes.Repeat(ccs, 8), data(1)), []byte{1}, nil},
		{"nine change cipher specs", concat(data(1), bytes.Repeat(ccs, 9), data(2)), []byte{1}, faults[faultChangeCipher]},
		{"largest record", data(big...), big, nil},
		{"record above the largest", concat(data(1), data(append(big, 1)...)), []byte{1}, faults[faultSize]},
		{"64 KiB record", []byte{0x17, 3, 3, 0xff, 0xff}, nil, faults[faultSize]},
		{"alert", concat(data(1), []byte{0x15, 3, 3, 0, 2, 2, 70}), []byte{1}, faults[faultType]},
		{"handshake", concat(data(1), []byte{0x16, 3, 3, 0, 1, 1}), []byte{1}, faults[faultType]},
		{"version 3.1", concat(data(1), []byte{0x17, 3, 1, 0, 1, 1}), []byte{1}, faults[faultVersion]},
		{"version 4.3", []byte{0x17, 4, 3, 0, 1, 1}, nil, faults[faultVersion]},
		{"change cipher spec of two bytes", []byte{0x14, 3, 3, 0, 2, 1, 1}, nil, faults[faultChangeCipher]},
		{"empty change cipher spec", []byte{0x14, 3, 3, 0, 0}, nil, faults[faultChangeCipher]},
		{"other content of change cipher spec", concat(data(1), []byte{0x14, 3, 3, 0, 1, 2}, data(3)), []byte{1}, faults[faultChangeCipher]},
		{"half a record", data(1, 2, 3)[:7], []byte{1, 2}, nil},
		{"half a header", concat(data(1), []byte{0x15, 9, 9, 9}), []byte{1}, nil},
	} {
		for _, piece := range []int{1, 2, 3, 5, 7, 1 << 20} {
			got, err := stripAll(c.stream, func() int { return piece })
			if !bytes.Equal(got, c.want) || err != c.err {
				t.Errorf("%s in pieces of %d: %d bytes of payload, %v, want %d, %v", c.name, piece, len(got), err, len(c.want), c.err)
			}
		}
	}
}

func TestStripErrorIsFinal(t *testing.T) {
	var d Deframer
	if n, err := d.Strip([]byte{0x15, 3, 3, 0, 0}); n != 0 || err != faults[faultType] {
		t.Fatalf("alert: %d, %v", n, err)
	}
	for range 2 {
		if n, err := d.Strip(data(1, 2)); n != 0 || err != faults[faultType] {
			t.Errorf("after an error: %d, %v", n, err)
		}
	}
}

func TestStripTouchesNothingBehindItsInput(t *testing.T) {
	stream := concat(ccs, data(1, 2, 3), data(4))
	room := append(bytes.Clone(stream), 0xaa, 0xbb)
	var d Deframer
	n, err := d.Strip(room[:len(stream)])
	if n != 4 || err != nil || !bytes.Equal(room[:n], []byte{1, 2, 3, 4}) || !bytes.Equal(room[len(stream):], []byte{0xaa, 0xbb}) {
		t.Errorf("%d, %v, buffer %x", n, err, room)
	}
}

func TestDeframerIsSmallAndFree(t *testing.T) {
	if size := unsafe.Sizeof(Deframer{}); size > 16 {
		t.Errorf("an idle connection keeps %d bytes, want at most 16", size)
	}
	stream := concat(bytes.Repeat(data(make([]byte, 1000)...), 200))
	buf := bytes.Clone(stream)
	var d Deframer
	if n := testing.AllocsPerRun(50, func() {
		copy(buf, stream)
		if n, err := d.Strip(buf); n != 200_000 || err != nil {
			t.Fatal(n, err)
		}
	}); n != 0 {
		t.Errorf("Strip allocates %v times", n)
	}
}

func TestPutHeader(t *testing.T) {
	for _, n := range []int{0, 1, 255, 256, 2878, MaxPayload} {
		b := []byte{9, 9, 9, 9, 9, 9}
		PutHeader(b, n)
		if want := []byte{0x17, 3, 3, byte(n >> 8), byte(n), 9}; !bytes.Equal(b, want) {
			t.Errorf("PutHeader(%d) = %x, want %x", n, b, want)
		}
	}
	for _, n := range []int{-1, MaxPayload + 1, 1 << 16} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("PutHeader(%d) tears the stream", n)
				}
			}()
			PutHeader(make([]byte, 5), n)
		}()
	}
}

// wholeStream is what a Deframer shall do, written over the whole stream at once.
func wholeStream(b []byte) (payload []byte, failed bool) {
	for specs := 0; len(b) >= HeaderSize; {
		n := int(binary.BigEndian.Uint16(b[3:]))
		body := b[HeaderSize:min(len(b), HeaderSize+n)]
		switch {
		case b[1] != 3 || b[2] != 3:
			return payload, true
		case b[0] == 0x14:
			if specs++; n != 1 || specs > 8 || len(body) == 1 && body[0] != 1 {
				return payload, true
			}
		case b[0] == 0x17 && n <= 16640:
			payload = append(payload, body...)
		default:
			return payload, true
		}
		b = b[HeaderSize+len(body):]
	}
	return payload, false
}

// FuzzDeframer: any split of a stream gives the payload and the verdict of the whole.
func FuzzDeframer(f *testing.F) {
	f.Add(concat(ccs, data(1, 2, 3), data(), data(4)), uint64(1))
	f.Add(concat(data(bytes.Repeat([]byte{7}, 300)...), ccs, []byte{0x15, 3, 3, 0, 2, 2, 70}), uint64(2))
	f.Add(bytes.Repeat(ccs, 9), uint64(3))
	f.Add([]byte{0x17, 3, 3, 0x41, 0x01}, uint64(4))
	for n, c := range load[answerFile](f, "faketls_answer.json").Cases {
		f.Add([]byte(c.Answer[HeaderSize+c.Records[0][1]:]), uint64(n))
	}
	f.Fuzz(func(t *testing.T, stream []byte, seed uint64) {
		want, failed := wholeStream(stream)
		rng := rand.New(rand.NewPCG(seed, 1))
		longest := 1 + rng.IntN(len(stream)+1)
		for name, next := range map[string]func() int{
			"whole":    func() int { return len(stream) },
			"bytewise": func() int { return 1 },
			"random":   func() int { return 1 + rng.IntN(longest) },
		} {
			got, err := stripAll(stream, next)
			if !bytes.Equal(got, want) || (err != nil) != failed {
				t.Fatalf("%s: %d bytes of payload, %v, want %d, failed %v", name, len(got), err, len(want), failed)
			}
		}
	})
}

func BenchmarkStrip(b *testing.B) {
	for _, size := range []int{512, 2878, 16384} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			stream := bytes.Repeat(data(make([]byte, size)...), (256<<10)/(size+HeaderSize))
			// Records are all alike, so that the stripped buffer needs only its headers back.
			buf := bytes.Clone(stream)
			var d Deframer
			b.SetBytes(int64(len(stream)))
			b.ReportAllocs()
			for b.Loop() {
				for at := 0; at < len(buf); at += size + HeaderSize {
					PutHeader(buf[at:], size)
				}
				if _, err := d.Strip(buf); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
