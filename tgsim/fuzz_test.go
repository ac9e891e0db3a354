package tgsim

import (
	"bytes"
	"io"
	"strings"
	"testing"
)

// FuzzPacket: whatever is read as a packet is written back as the same bytes
// (but for the quick-ack bit), and no length field makes a reader take more
// memory than the limit.
func FuzzPacket(f *testing.F) {
	for _, kind := range []framing{abridged, intermediate, padded} {
		for _, n := range []int{4, 0x7e * 4, 0x7f * 4} {
			f.Add(byte(kind), must(appendPacket(nil, kind, make([]byte, n), 0))(f))
		}
	}
	f.Add(byte(padded), []byte("\x05\x00\x00\x80abcde"))
	f.Add(byte(abridged), []byte{0x7f, 1, 0, 0, 1, 2, 3, 4})
	f.Add(byte(intermediate), []byte{0, 0, 0, 0x7f})
	f.Fuzz(func(t *testing.T, kind byte, wire []byte) {
		k := framing(kind)
		if k != abridged && k != intermediate && k != padded {
			t.Skip()
		}
		r := bytes.NewReader(wire)
		payload, quick, err := readPacket(r, k, nil)
		if err == io.EOF && len(wire) > 0 {
			t.Fatalf("%v: a clean end inside %x", k, wire)
		}
		if cap(payload) > maxPacket {
			t.Fatalf("%v: %d bytes of memory", k, cap(payload))
		}
		if err != nil {
			return
		}
		used := wire[:len(wire)-r.Len()]
		if k == padded { // what padding was put in cannot be told: compare the length only
			if len(used) != 4+len(payload) {
				t.Fatalf("padded: %d bytes used for %d", len(used), len(payload))
			}
			return
		}
		again, err := appendPacket(nil, k, payload, 0)
		if err != nil {
			t.Fatalf("%v: %d bytes read, not written: %v", k, len(payload), err)
		}
		if quick {
			at := map[framing]int{abridged: 0, intermediate: 3}[k]
			again[at] |= 0x80
		}
		if !bytes.Equal(again, used) {
			t.Fatalf("%v: read %x, wrote %x", k, used, again)
		}
	})
}

// FuzzMessage: a message read and written again is the same message, with or
// without padding behind it.
func FuzzMessage(f *testing.F) {
	f.Add(message{op: opPing, body: []byte("hello")}.append(nil), byte(15))
	f.Add(message{op: opFetch, a: 1 << 30, b: 7}.append(nil), byte(0))
	f.Add([]byte("\x6c\xfe\xff\xff"), byte(3))
	f.Fuzz(func(t *testing.T, b []byte, pad byte) {
		m, err := parseMessage(b)
		if err != nil {
			return
		}
		again := m.append(nil)
		n, err := parseMessage(append(again, make([]byte, pad&15)...))
		if err != nil || n.op != m.op || n.a != m.a || n.b != m.b || !bytes.Equal(n.body, m.body) {
			t.Fatalf("%+v became %+v, %v", m, n, err)
		}
	})
}

// FuzzFlight: a size, once told, never changes with more bytes; no stranger's
// answer passes; the other readers of records agree with it.
func FuzzFlight(f *testing.F) {
	var v struct{ Cases []struct{ Answer hexBytes } }
	readVectors(f, "faketls_answer.json", &v)
	for _, c := range v.Cases {
		f.Add([]byte(c.Answer))
	}
	secret, random := testSecret(), make([]byte, 32)
	f.Fuzz(func(t *testing.T, b []byte) {
		if checkFlight(b, secret, random) == nil {
			t.Fatal("an answer without the secret passes")
		}
		known, failed := 0, false
		step := max(1, len(b)/64)
		for n := 0; n <= len(b); n += step {
			size, err := flightSize(b[:n])
			if failed && err == nil || known > 0 && size != known {
				t.Fatalf("after %d bytes: size %d, %v; before: size %d, failed %v", n, size, err, known, failed)
			}
			known, failed = size, err != nil
		}
		list, rest := Records(b)
		total := len(rest)
		for _, r := range list {
			total += recordHeader + len(r.Payload)
		}
		if total != len(b) {
			t.Fatalf("%d bytes in records and rest, of %d", total, len(b))
		}
		if h, err := ParseServerHello(b); err == nil && len(h.SessionID) > 255 {
			t.Fatalf("session id of %d", len(h.SessionID))
		}
		if known > 0 && known <= len(b) && len(list) < 3 {
			t.Fatalf("an answer of %d records", len(list))
		}
		shape(b)
	})
}

// FuzzRecordReader: cutting bytes into records and stripping them is identity,
// and garbage never yields more than it holds.
func FuzzRecordReader(f *testing.F) {
	f.Add([]byte("some bytes"), 3)
	f.Add([]byte("\x17\x03\x03\x00\x02ab\x17\x03\x03\x00\x00"), 1)
	f.Fuzz(func(t *testing.T, b []byte, size int) {
		size = 1 + size&0x3fff
		got, err := io.ReadAll(&recordReader{r: bytes.NewReader(appendRecords(nil, b, size))})
		if err != nil || !bytes.Equal(got, b) {
			t.Fatalf("%d bytes in records of %d: %d bytes back, %v", len(b), size, len(got), err)
		}
		got, err = io.ReadAll(&recordReader{r: bytes.NewReader(b)})
		if len(got) > len(b) || err == nil && len(got) > 0 && !bytes.Equal(b[recordHeader:recordHeader+1], got[:1]) {
			t.Fatalf("%x gives %x, %v", b, got, err)
		}
	})
}

// FuzzHello: the test relay's reader, which judges our hellos, takes what it
// returns and nothing else.
func FuzzHello(f *testing.F) {
	var v struct{ Cases []helloVector }
	readVectors(f, "faketls_hello.json", &v)
	for _, c := range v.Cases {
		f.Add([]byte(c.Hello), 600)
	}
	f.Fuzz(func(t *testing.T, b []byte, size int) {
		h, err := readHello(bytes.NewReader(b))
		if !bytes.HasPrefix(b, h.raw) {
			t.Fatal("read what was not there")
		}
		if err != nil {
			return
		}
		// Cut into records anew, it is the same hello.
		again, err := readHello(bytes.NewReader(splitRecords(h.joined, 100+size&0x1fff)))
		if err != nil || !bytes.Equal(again.joined, h.joined) || again.name != h.name {
			t.Fatalf("cut anew: %v, %q in place of %q", err, again.name, h.name)
		}
	})
}

// FuzzSecret: no text makes a client without a 16-byte key, and no error
// repeats the text.
func FuzzSecret(f *testing.F) {
	f.Add("dd4aa64c177c5cd517d10a3ccc87024392")
	f.Add("tg://proxy?server=a&port=443&secret=7kqmTBd8XNUX0Qo8zIcCQ5JmcuKE")
	f.Fuzz(func(t *testing.T, text string) {
		for _, parse := range []func(string) (*Client, error){FromLink, func(s string) (*Client, error) { return NewClient("p:1", s) }} {
			c, err := parse(text)
			if err != nil && len(text) > 8 && strings.Contains(err.Error(), text) {
				t.Fatalf("error repeats the secret: %v", err)
			}
			if err == nil && (len(c.Secret) != 16 || (c.Domain != "") != (c.Transport == FakeTLS)) {
				t.Fatalf("%q gives %+v", text, c)
			}
		}
	})
}
