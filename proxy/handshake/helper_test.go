package handshake

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"

	"mtguard/mtproto"
	"mtguard/mtproto/faketls"
	"mtguard/mtproto/obfs2"
	"mtguard/proxy/auth"
	"mtguard/security/keys"
	"mtguard/security/policy"
	"mtguard/security/replay"
	"mtguard/security/usage"
	"mtguard/telemetry/stats"
	"mtguard/tgsim"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const domain = "www.example.com"

var (
	secret   = []byte("0123456789abcdef")
	stranger = []byte("fedcba9876543210")
	peer     = netip.MustParseAddr("192.0.2.7")
)

// script is a connection whose peer's part is written down: pieces is what each
// read finds, end the error of the read behind them.
type script struct {
	net.Conn
	pieces   [][]byte
	end      error
	given    []byte // what was read so far
	written  []byte
	writes   int
	writeErr error
}

func (s *script) Read(b []byte) (int, error) {
	if len(s.pieces) == 0 {
		return 0, s.end
	}
	n := copy(b, s.pieces[0])
	s.given = append(s.given, b[:n]...)
	if s.pieces[0] = s.pieces[0][n:]; len(s.pieces[0]) == 0 {
		s.pieces = s.pieces[1:]
	}
	return n, nil
}

func (s *script) Write(b []byte) (int, error) {
	if s.writeErr != nil {
		return 0, s.writeErr
	}
	s.writes++
	s.written = append(s.written, b...)
	return len(b), nil
}

// play is a script that ends in order.
func play(pieces ...[]byte) *script { return &script{pieces: pieces, end: io.EOF} }

// bytewise cuts b into single bytes.
func bytewise(b []byte) [][]byte { return slices.Collect(slices.Chunk(b, 1)) }

// place is a listener as Accept sees it, and the key and account of its one user.
type place struct {
	snap    *policy.Snapshot
	auth    *auth.Authenticator
	ring    *keys.Ring
	account *usage.Account
	judge   judge
	t       testing.TB
}

// judge refuses what it is told to, and notes what it was asked.
type judge struct {
	hello, client bool // refuse it
	asked         []string
}

func (j *judge) Hello(h *faketls.ClientHello) bool {
	j.asked = append(j.asked, "hello for "+h.ServerName())
	return !j.hello
}

func (j *judge) Client(g *auth.Grant, t mtproto.Transport) bool {
	j.asked = append(j.asked, fmt.Sprint(g.User(), " by ", t))
	return !j.client
}

func (p *place) acceptor() *Acceptor {
	return &Acceptor{Policy: p.snap, Auth: p.auth, Cover: p, Judge: &p.judge}
}

func (place) Profile() faketls.Profile {
	return faketls.Profile{Flight: 2000, Group: faketls.X25519MLKEM768}
}

func newPlace(t testing.TB, served ...mtproto.Transport) *place {
	t.Helper()
	p := &place{ring: keys.NewRing(), account: new(usage.Account), t: t}
	p.put(keys.Active)
	p.snap = &policy.Snapshot{Keys: p.ring.Set(), ServerNames: map[string]struct{}{domain: {}}, Skew: 10 * time.Minute}
	for _, transport := range served {
		p.snap.Transports[transport] = true
	}
	p.restart(time.Now().Add(-time.Hour))
	return p
}

// put moves alice's key to a state; a revoked one becomes a tripwire.
func (p *place) put(state keys.State) {
	p.t.Helper()
	parsed, err := keys.ParseSecret(hex.EncodeToString(secret))
	if err == nil {
		err = p.ring.Put(keys.Spec{ID: parsed.ID(), User: "alice", State: state, Secret: parsed, Tripwire: true, Account: p.account})
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

// held is how many leases and places are out.
func (p *place) held() (leases, open int) {
	parsed, err := keys.ParseSecret(hex.EncodeToString(secret))
	if err != nil {
		p.t.Fatal(err)
	}
	open, _ = p.account.Open()
	return p.ring.Key(parsed.ID()).Leases(), open
}

// restart forgets what was seen, as of a process that began at start.
func (p *place) restart(start time.Time) {
	p.auth = auth.New(replay.New(1<<12, start), replay.New(1<<12, start), new(stats.Counters))
}

var all = []mtproto.Transport{mtproto.FakeTLS, mtproto.Secure, mtproto.Classic}

// accept demands that a client holds its grant, which it gives back, and a failure
// nothing.
func (p *place) accept(s *script) (*Client, *Failure) {
	client, failure := p.acceptor().Accept(s, peer, make([]byte, 0, 4096))
	want := 0
	if client != nil {
		want = 1
	}
	if leases, open := p.held(); leases != want || open != want {
		p.t.Errorf("%v: %d leases and %d places are held, want %d", failure, leases, open, want)
	}
	if client != nil {
		client.Grant.Release()
	}
	return client, failure
}

func newHello(t testing.TB, change ...func(*tgsim.Client)) []byte {
	t.Helper()
	c := &tgsim.Client{Secret: secret, Domain: domain}
	for _, f := range change {
		f(c)
	}
	hello, err := c.NewHello()
	if err != nil {
		t.Fatal(err)
	}
	return hello
}

func classicForm(c *tgsim.Client) { c.Hello = tgsim.HelloClassic }

func clock(offset time.Duration) func(*tgsim.Client) {
	return func(c *tgsim.Client) { c.Clock = func() time.Time { return time.Now().Add(offset) } }
}

// sign signs a changed hello anew.
func sign(hello, secret []byte) []byte {
	b := slices.Clone(hello)
	random := b[11:43]
	clear(random)
	mac := hmac.New(sha256.New, secret)
	mac.Write(b)
	copy(random, mac.Sum(nil))
	last := binary.LittleEndian.Uint32(random[28:]) ^ uint32(time.Now().Unix())
	binary.LittleEndian.PutUint32(random[28:], last)
	return b
}

// withoutSuites turns every TLS 1.3 suite that a hello offers into an older one.
func withoutSuites(t testing.TB, hello []byte) []byte {
	t.Helper()
	b := slices.Clone(hello)
	at := 44 + int(b[43])
	end := at + 2 + int(binary.BigEndian.Uint16(b[at:]))
	for at += 2; at < end; at += 2 {
		if b[at] == 0x13 {
			b[at], b[at+1] = 0xc0, 0x2b
		}
	}
	return sign(b, secret)
}

func newInit(t testing.TB, f mtproto.Framing, secret []byte) []byte {
	t.Helper()
	for {
		init, err := obfs2.NewInit(rand.Reader, obfs2.Header{Framing: f, DC: -4}, secret)
		if err != nil {
			t.Fatal(err)
		}
		if init[0] != 0x16 || init[1] != 3 { // once in 65,536: in pieces it is taken for TLS
			return init[:]
		}
	}
}

// record wraps payload as a client does.
func record(payload []byte) []byte {
	return append([]byte{0x17, 3, 3, byte(len(payload) >> 8), byte(len(payload))}, payload...)
}

var changeCipher = []byte{0x14, 3, 3, 0, 1, 1}

func join(parts ...[]byte) []byte { return slices.Concat(parts...) }

// splitRecords cuts a hello of one record into records of at most size bytes.
func splitRecords(hello []byte, size int) (out []byte) {
	for part := range slices.Chunk(hello[5:], size) {
		out = append(out, hello[0], hello[1], hello[2], byte(len(part)>>8), byte(len(part)))
		out = append(out, part...)
	}
	return out
}

// checkClient demands alice with this transport and framing, DC -4 and these bytes behind the init.
func checkClient(t testing.TB, c *Client, f *Failure, want mtproto.Transport, framing mtproto.Framing, payload []byte) {
	t.Helper()
	if f != nil {
		t.Fatalf("refused: %v", f.Result)
	}
	if c.Grant.User() != "alice" || c.Transport != want || c.Header != (obfs2.Header{Framing: framing, DC: -4}) {
		t.Errorf("%v, %v, %+v", c.Grant.Key(), c.Transport, c.Header)
	}
	if string(c.Payload) != string(payload) {
		t.Errorf("payload %x, want %x", c.Payload, payload)
	}
	if (c.Unwrap != nil) != (want == mtproto.FakeTLS) {
		t.Errorf("deframer: %v", c.Unwrap)
	}
}

// checkAnswer holds the bytes sent to a client against its rule (protocol paper
// 4.9): three records in one write, signed.
func checkAnswer(t testing.TB, s *script, hello []byte) {
	t.Helper()
	records, rest := tgsim.Records(s.written)
	if s.writes != 1 || len(records) != 3 || len(rest) > 0 || records[0].Type != 22 || records[1].Type != 20 || records[2].Type != 23 {
		t.Fatalf("%d writes, %d records, %d bytes more", s.writes, len(records), len(rest))
	}
	if n := len(records[2].Payload); n != 2000 {
		t.Errorf("flight of %d bytes, want the profile's 2000", n)
	}
	answer := slices.Clone(s.written)
	digest := slices.Clone(answer[11:43])
	clear(answer[11:43])
	mac := hmac.New(sha256.New, secret)
	mac.Write(hello[11:43])
	mac.Write(answer)
	if !hmac.Equal(mac.Sum(nil), digest) {
		t.Error("the answer is not signed with the secret")
	}
}

// String says all but the bytes.
func (f *Failure) String() string {
	if f == nil {
		return "no failure"
	}
	return fmt.Sprintf("%v in %v, %d bytes kept, ended %v, gone %v, answered %v, %v", f.Result, f.Transport, len(f.Read), f.Ended, f.Gone, f.Answered, f.Key)
}
