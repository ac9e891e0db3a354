package alert

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mtguard/control/store"
)

// site is a receiver over HTTP that the test breaks and mends.
type site struct {
	*httptest.Server
	answer atomic.Pointer[http.HandlerFunc] // nil: 200

	mu   sync.Mutex
	got  []string // IDs of the messages that were taken, in order
	seen []string // those of all that came
	last *http.Request
	body []byte
}

func newSite(t testing.TB) *site {
	s := new(site)
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	var m Message
	json.Unmarshal(body, &m)
	s.mu.Lock()
	s.last, s.body = r, body
	s.seen = append(s.seen, m.ID)
	s.mu.Unlock()
	if h := s.answer.Load(); h != nil {
		(*h)(w, r)
		return
	}
	s.mu.Lock()
	s.got = append(s.got, m.ID)
	s.mu.Unlock()
	io.WriteString(w, "thanks")
}

func (s *site) does(h http.HandlerFunc) {
	if h == nil {
		s.answer.Store(nil)
		return
	}
	s.answer.Store(&h)
}

func (s *site) taken() []string { s.mu.Lock(); defer s.mu.Unlock(); return slices.Clone(s.got) }
func (s *site) came() int       { s.mu.Lock(); defer s.mu.Unlock(); return len(s.seen) }

// hook is a webhook at the site.
func (s *site) hook(name string) Receiver {
	return Receiver{Name: name, Kind: KindWebhook, URL: s.URL + "/hook/s3cr3t-path"}
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

func TestWhatFailsIsDeliveredOnceItWorks(t *testing.T) {
	for name, fault := range map[string]http.HandlerFunc{
		"500": status(500),
		"404": status(404),
		"429": func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Retry-After", "1"); w.WriteHeader(429) },
		"400": status(400),
		"redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		},
		"cut off": func(w http.ResponseWriter, _ *http.Request) { panic(http.ErrAbortHandler) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, b := newSite(t), newBench(t)
			s.does(fault)
			b.configure(s.hook("hook"))
			b.run()
			b.notify("m", 3)
			eventually(t, "an attempt", func() bool { return s.came() > 0 })
			if got := s.taken(); len(got) != 0 {
				t.Fatalf("taken: %q", got)
			}
			s.does(nil)
			eventually(t, "all are delivered", func() bool { return len(s.taken()) == 3 && b.waiting("hook") == 0 })
			if got := s.taken(); !slices.Equal(got, []string{"m0", "m1", "m2"}) {
				t.Errorf("delivered %q", got)
			}
			if s.last.URL.Path != "/hook/s3cr3t-path" {
				t.Errorf("it went to %s", s.last.URL.Path)
			}
		})
	}
}

// TestRedirectsAreNotFollowed: who answers from elsewhere is not who was meant.
func TestRedirectsAreNotFollowed(t *testing.T) {
	s, other := newSite(t), newSite(t)
	s.does(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
	})
	if a := s.hook("h").test(t.Context(), sample(), identity{}); a.OK || !strings.Contains(a.Answer, "redirects are not followed") || other.came() != 0 {
		t.Errorf("%+v, and the other was asked %d times", a, other.came())
	}
}

func TestAReceiverThatHangsHoldsUpNobodyElse(t *testing.T) {
	hang, good, b := newSite(t), newSite(t), newBench(t)
	let := make(chan struct{})
	hang.does(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-let:
		case <-r.Context().Done():
		}
	})
	defer close(let)
	b.configure(hang.hook("hangs"), good.hook("good"))
	b.run()
	b.notify("m", 20)
	eventually(t, "the good one has all", func() bool { return len(good.taken()) == 20 })
	if n := b.waiting("hangs"); n != 20 {
		t.Errorf("%d wait for the one that hangs", n)
	}
}

// TestNothingIsLostToAKill: what was taken over by Notify is delivered by the next
// process, and nothing that was delivered and forgotten comes again.
func TestNothingIsLostToAKill(t *testing.T) {
	s, b := newSite(t), newBench(t)
	b.configure(s.hook("hook"))
	b.run()
	b.notify("a", 5)
	eventually(t, "the first are delivered", func() bool { return len(s.taken()) == 5 && b.waiting("hook") == 0 })
	s.does(status(503))
	b.notify("b", 5)
	before := s.came()
	eventually(t, "an attempt", func() bool { return s.came() > before })
	b.kill()

	b.open()
	b.configure(s.hook("hook"))
	if n := b.waiting("hook"); n != 5 {
		t.Fatalf("%d wait after the restart, want 5", n)
	}
	s.does(nil)
	b.run()
	eventually(t, "all are delivered", func() bool { return len(s.taken()) == 10 })
	if got := fmt.Sprint(s.taken()); got != "[a0 a1 a2 a3 a4 b0 b1 b2 b3 b4]" {
		t.Errorf("delivered %s", got)
	}
}

// TestADuplicateHasTheSameID: it was taken, and the answer did not reach us.
func TestADuplicateHasTheSameID(t *testing.T) {
	s, b := newSite(t), newBench(t)
	var once sync.Once
	s.does(func(w http.ResponseWriter, _ *http.Request) { once.Do(func() { panic(http.ErrAbortHandler) }) })
	b.configure(s.hook("hook"))
	b.run()
	b.notify("m", 1)
	eventually(t, "it comes twice", func() bool { return s.came() >= 2 })
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seen[0] != "m0" || s.seen[1] != "m0" {
		t.Errorf("it came as %q", s.seen)
	}
}

func TestWhatIsBeyondTheBoundIsCountedAndSaid(t *testing.T) {
	b := newBench(t)
	b.configure(Receiver{Name: "hook", Kind: KindWebhook, URL: "http://127.0.0.1:9/"})
	body, _ := sample().encode()
	_, err := b.store.Update(t.Context(), func(tx *store.Tx) error {
		for i := range store.MaxOutbox {
			if _, err := tx.AddOutgoing(store.Outgoing{Receiver: "hook", ID: fmt.Sprint("old", i), Body: body, Made: time.Now()}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	b.notify("new", 3)
	r, err := b.Report(t.Context())
	if err != nil || r.Receivers[0].Lost != 3 || r.Receivers[0].Waiting != store.MaxOutbox {
		t.Errorf("%+v, %v", r.Receivers, err)
	}
	if !strings.Contains(b.log.String(), "lost") {
		t.Error("the log does not say so")
	}
	b.look(t.Context())
	b.notify("more", 1)
	b.look(t.Context())
	if r, err = b.Report(t.Context()); err != nil || len(r.Alerts) == 0 || r.Alerts[0].Code != "alerts.lost" {
		t.Errorf("no alert says so: %+v, %v", r.Alerts, err)
	}
}

func TestOnlyWhatIsSevereEnoughIsSent(t *testing.T) {
	s, b := newSite(t), newBench(t)
	r := s.hook("hook")
	r.MinSeverity = High
	b.configure(r)
	b.run()
	for _, severity := range []Severity{Info, Low, Medium, High, Critical} {
		m := sample()
		m.ID, m.Severity = severity.String(), severity
		if err := b.Notify(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the severe ones", func() bool { return len(s.taken()) == 2 })
	if got := fmt.Sprint(s.taken()); got != "[high critical]" {
		t.Errorf("delivered %s", got)
	}
}

// TestSignatures: what doc/alerts.md tells receivers to do finds a good message good and
// anything else not.
func TestSignatures(t *testing.T) {
	// The example of the Standard Webhooks specification.
	if got := Sign("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", []byte(`{"test": 2432232314}`)); got != "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=" {
		t.Errorf("signature %s", got)
	}
	s, b := newSite(t), newBench(t)
	r := s.hook("hook")
	r.Secret = "a key of the receiver's"
	b.configure(r)
	b.run()
	b.notify("m", 1)
	eventually(t, "it comes", func() bool { return len(s.taken()) == 1 })
	h := s.last.Header
	at, err := strconv.ParseInt(h.Get("Webhook-Timestamp"), 10, 64)
	if age := time.Since(time.Unix(at, 0)); err != nil || age < -time.Minute || age > 5*time.Minute {
		t.Errorf("timestamp %q, %v", h.Get("Webhook-Timestamp"), err)
	}
	verify := func(key, id, at string, body []byte) bool {
		return h.Get("Webhook-Signature") == "v1,"+Sign(key, id, at, body)
	}
	if h.Get("Webhook-Id") != "m0" || !verify(r.Secret, "m0", h.Get("Webhook-Timestamp"), s.body) {
		t.Errorf("headers %v do not hold", h)
	}
	changed := slices.Clone(s.body)
	changed[9] ^= 1
	if verify("another key", "m0", h.Get("Webhook-Timestamp"), s.body) || verify(r.Secret, "m1", h.Get("Webhook-Timestamp"), s.body) ||
		verify(r.Secret, "m0", "1", s.body) || verify(r.Secret, "m0", h.Get("Webhook-Timestamp"), changed) {
		t.Error("the signature holds for something else")
	}
}

func TestAlertmanagersForm(t *testing.T) {
	s, b := newSite(t), newBench(t)
	r := Receiver{Name: "am", Kind: KindAlertmanager, URL: s.URL + "/", Secret: "bearer-token"}
	b.configure(r)
	b.run()
	b.notify("m", 1)
	eventually(t, "it comes", func() bool { return s.came() == 1 })
	var list []struct {
		Labels, Annotations map[string]string
		StartsAt            time.Time
		EndsAt              *time.Time
	}
	if err := json.Unmarshal(s.body, &list); err != nil || len(list) != 1 {
		t.Fatalf("%s: %v", s.body, err)
	}
	a := list[0]
	if s.last.URL.Path != "/api/v2/alerts" || s.last.Header.Get("Authorization") != "Bearer bearer-token" ||
		a.Labels["alertname"] != "MtguardProbeScan" || a.Labels["severity"] != "high" || a.Labels["instance"] != "fra1" || a.Labels["about"] != "al-1" ||
		a.Annotations["summary"] != "A scan" || a.Annotations["message_id"] != "m0" || a.Annotations["evidence_prefix"] != "203.0.113.0/24" ||
		!a.StartsAt.Equal(began.Add(-time.Minute)) || a.EndsAt == nil {
		t.Errorf("%s %+v", s.last.URL, a)
	}
	// An alert is active until it is over, and the labels, which say which one it is, stay.
	am := &alertmanager{r: r}
	fires, over := sample(), sample()
	fires.Kind, over.Kind, over.Status, over.Until = KindAlert, KindAlert, Resolved, new(began.Add(time.Hour))
	p, q := am.postable(fires), am.postable(over)
	if p.EndsAt != nil || q.EndsAt == nil || !q.EndsAt.Equal(began.Add(time.Hour)) || fmt.Sprint(p.Labels) != fmt.Sprint(q.Labels) {
		t.Errorf("%+v then %+v", p, q)
	}
}

func TestTelegram(t *testing.T) {
	const token = "110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw"
	s, b := newSite(t), newBench(t)
	s.does(func(w http.ResponseWriter, _ *http.Request) {
		if s.came() == 1 {
			w.WriteHeader(429)
			io.WriteString(w, `{"ok":false,"error_code":429,"description":"Too Many Requests: retry after 2","parameters":{"retry_after":2}}`)
			return
		}
		io.WriteString(w, `{"ok":true,"result":{"message_id":77}}`)
	})
	r := Receiver{Name: "phone", Kind: KindTelegram, URL: s.URL, Secret: token, Chat: "-100123"}
	b.configure(r)
	b.run()
	started := time.Now()
	b.notify("m", 3)
	eventually(t, "all is sent", func() bool { return b.waiting("phone") == 0 && s.came() >= 2 })
	if took := time.Since(started); took < 2*time.Second {
		t.Errorf("sent after %v, though told to wait 2 s", took)
	}
	var sent struct {
		ChatID string `json:"chat_id"`
		Text   string `json:"text"`
	}
	if err := json.Unmarshal(s.body, &sent); err != nil || s.last.URL.Path != "/bot"+token+"/sendMessage" || sent.ChatID != "-100123" ||
		!strings.Contains(sent.Text, "HIGH firing: A scan: 40 hellos") || !strings.Contains(sent.Text, "fra1") {
		t.Errorf("%s %+v, %v", s.last.URL.Path, sent, err)
	}
	for name, test := range map[string]struct {
		code int
		body string
		want string
	}{
		"no JSON":     {200, "<html>", "not as Telegram"},
		"not ok":      {200, `{"ok":false,"description":"chat not found"}`, "chat not found"},
		"bad token":   {401, `{"ok":false,"description":"Unauthorized"}`, "Unauthorized"},
		"other error": {502, "<html>bad gateway</html>", "not as Telegram"},
	} {
		s.does(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(test.code); io.WriteString(w, test.body) })
		if answers, err := b.Test(t.Context(), "phone"); err != nil || answers[0].OK || !strings.Contains(answers[0].Answer, test.want) {
			t.Errorf("%s: %+v, %v", name, answers, err)
		}
	}
	long := make([]Message, 10)
	for i := range long {
		long[i] = sample()
		long[i].Detail = strings.Repeat("😀", 200)
	}
	if text := telegramMessage(long); len([]rune(text)) > telegramText {
		t.Errorf("%d characters", len([]rune(text)))
	}
}

// authority is a certificate authority with a server of its own.
func authority(t testing.TB) (*tls.Config, *x509.CertPool) {
	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	s.StartTLS()
	defer s.Close()
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	return &tls.Config{Certificates: s.TLS.Certificates}, roots
}

// collector takes syslog over TLS; each connection is handled by serve.
func collector(t testing.TB, config *tls.Config, serve func(net.Conn)) string {
	l, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		t.Fatal(err)
	}
	var work sync.WaitGroup
	work.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			work.Go(func() { defer c.Close(); serve(c) })
		}
	})
	t.Cleanup(func() { l.Close(); work.Wait() })
	return "tls://" + l.Addr().String()
}

// frames reads what RFC 5425 sends until the end.
func frames(r io.Reader) (all []string, err error) {
	in := bufio.NewReader(r)
	for {
		digits, err := in.ReadString(' ')
		if err == io.EOF && digits == "" {
			return all, nil
		}
		n, bad := strconv.Atoi(strings.TrimSuffix(digits, " "))
		if err != nil || bad != nil {
			return all, fmt.Errorf("length %q: %v", digits, err)
		}
		b := make([]byte, n)
		if _, err := io.ReadFull(in, b); err != nil {
			return all, err
		}
		all = append(all, string(b))
	}
}

func TestSyslogOverTLS(t *testing.T) {
	config, roots := authority(t)
	var mu sync.Mutex
	var got []string
	var cut atomic.Bool
	cut.Store(true)
	url := collector(t, config, func(c net.Conn) {
		if cut.Load() { // it dies with what it has not read
			io.ReadFull(c, make([]byte, 10))
			plain := c.(*tls.Conn).NetConn().(*net.TCPConn)
			plain.SetLinger(0)
			plain.Close()
			return
		}
		all, err := frames(c)
		if err != nil && !strings.Contains(err.Error(), "bad certificate") {
			t.Errorf("frames: %v", err)
		}
		mu.Lock()
		got = append(got, all...)
		mu.Unlock()
	})
	b := newBench(t)
	b.configure(Receiver{Name: "siem", Kind: KindSyslog, URL: url, Roots: roots})
	b.run()
	b.notify("m", 3)
	eventually(t, "a failure is seen", func() bool { r, _ := b.Report(t.Context()); return r.Receivers[0].Failed > 0 })
	if n := b.waiting("siem"); n != 3 {
		t.Errorf("%d wait after a collector died in the middle, want 3", n)
	}
	cut.Store(false)
	eventually(t, "all are delivered", func() bool { return b.waiting("siem") == 0 })
	mu.Lock()
	defer mu.Unlock()
	if len(got) != 3 {
		t.Fatalf("it read %d messages: %q", len(got), got)
	}
	want := fmt.Sprintf(`<83>1 2026-11-26T12:00:00.000000Z fra1 mtguard %d finding [mtguard@32473 id="m0" about="al-1" code="probe.scan" status="firing" severity="high" title="A scan"] `+"\ufeff{", os.Getpid())
	if !strings.HasPrefix(got[0], want) {
		t.Errorf("it read %q\nwant     %q", got[0], want)
	}
	// A collector that somebody else plays is told nothing.
	b.configure(Receiver{Name: "siem", Kind: KindSyslog, URL: url})
	if answers, err := b.Test(t.Context(), "siem"); err != nil || answers[0].OK || !strings.Contains(answers[0].Answer, "certificate") {
		t.Errorf("%+v, %v", answers, err)
	}
}

func TestSyslogEscapes(t *testing.T) {
	s := &syslog{r: Receiver{}, id: identity{node: "a b\x00ü"}}
	m := sample()
	m.Title, m.At = "a \"quote\", a ] and a \\ and\na line\xff", time.Date(2026, 1, 2, 3, 4, 5, 6_000, time.FixedZone("x", 3600))
	line, err := s.line(m)
	if err != nil || !strings.Contains(string(line), ` title="a \"quote\", a \] and a \\ and a line`+"\ufffd"+`"] `) || strings.Contains(string(line), "\n") ||
		!strings.HasPrefix(string(line), "<83>1 2026-01-02T02:04:05.000006Z ab mtguard ") {
		t.Errorf("%q, %v", line, err)
	}
	m.Status = Resolved
	if line, _ := s.line(m); !strings.HasPrefix(string(line), "<85>1 ") {
		t.Errorf("%q", line)
	}
}

func TestJSONLines(t *testing.T) {
	path := filepath.Join(t.TempDir(), "alerts.jsonl")
	// Somebody was killed in the middle of a line.
	if err := os.WriteFile(path, []byte(`{"id":"torn`), 0o600); err != nil {
		t.Fatal(err)
	}
	b := newBench(t)
	b.configure(Receiver{Name: "file", Kind: KindJSONL, URL: "file://" + path}, Receiver{Name: "ocsf", Kind: KindJSONL, URL: "file://" + path + ".ocsf", Format: FormatOCSF})
	b.run()
	b.notify("m", 3)
	eventually(t, "all is written", func() bool { return b.waiting("file")+b.waiting("ocsf") == 0 })
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	if len(lines) != 4 || lines[0] != `{"id":"torn` {
		t.Fatalf("%q", lines)
	}
	for i, line := range lines[1:] {
		if m, err := decode([]byte(line)); err != nil || m.ID != fmt.Sprint("m", i) || m.Node != "fra1" || m.Version != "v1.2.3" || m.Evidence["hellos"] != "40" {
			t.Errorf("%s: %+v, %v", line, m, err)
		}
	}
	if text, err := os.ReadFile(path + ".ocsf"); err != nil || strings.Count(string(text), `"class_uid":2004`) != 3 {
		t.Errorf("%s, %v", text, err)
	}
	if info, err := os.Stat(path + ".ocsf"); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	// What is no file is none.
	link := filepath.Join(t.TempDir(), "link")
	os.Symlink(path, link)
	for _, bad := range []string{link, "/dev/null", t.TempDir(), path + "/x"} {
		if a := (Receiver{Kind: KindJSONL, URL: "file://" + bad}).test(t.Context(), sample(), identity{}); a.OK {
			t.Errorf("%s was written to", bad)
		}
	}
}

// TestSecretsStandNowhere: whatever a receiver answers, and wherever it fails.
func TestSecretsStandNowhere(t *testing.T) {
	const token, key = "110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw", "the-key-of-signatures"
	s, b := newSite(t), newBench(t)
	s.does(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(500)
		fmt.Fprintf(w, "%s %s %s", r.URL, r.Header, key)
	})
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	all := []Receiver{
		{Name: "a", Kind: KindTelegram, URL: s.URL, Secret: token, Chat: "1"},
		{Name: "b", Kind: KindTelegram, URL: closed.URL, Secret: token, Chat: "1"},
		{Name: "c", Kind: KindWebhook, URL: s.URL + "/s3cr3t-path?k=s3cr3t-query", Secret: key},
		{Name: "d", Kind: KindWebhook, URL: "http://user:s3cr3t-password@" + strings.TrimPrefix(closed.URL, "http://") + "/s3cr3t-path", Secret: key},
		{Name: "e", Kind: KindAlertmanager, URL: s.URL, Secret: key},
	}
	b.configure(all...)
	b.run()
	b.notify("m", 1)
	eventually(t, "all have failed", func() bool {
		r, err := b.Report(t.Context())
		return err == nil && !slices.ContainsFunc(r.Receivers, func(i ReceiverInfo) bool { return i.Problem == "" })
	})
	report, _ := b.Report(t.Context())
	answers, _ := b.Test(t.Context(), "")
	shown, _ := json.Marshal([]any{report, answers, all})
	text := string(shown) + b.log.String() + fmt.Sprintf("%v %+v %#v %s", all, all[0], all[0], Config{Receivers: all})
	for _, secret := range []string{token, key, "s3cr3t"} {
		if i := strings.Index(text, secret); i >= 0 {
			t.Errorf("%q stands in …%s", secret, text[max(0, i-120):i+20])
		}
	}
	for _, a := range answers {
		if a.OK || a.Answer == "" {
			t.Errorf("%+v", a)
		}
	}
}

func TestAnAnswerHasABound(t *testing.T) {
	s := newSite(t)
	s.does(func(w http.ResponseWriter, r *http.Request) {
		for range 4096 {
			if _, err := w.Write(make([]byte, 64<<10)); err != nil {
				return
			}
		}
		t.Error("256 MiB of an answer were read")
	})
	if a := s.hook("h").test(t.Context(), sample(), identity{}); len(a.Answer) > 400 {
		t.Errorf("%d bytes are shown", len(a.Answer))
	}
}

func TestReceiversThatCannotBe(t *testing.T) {
	good := Receiver{Name: "a", Kind: KindWebhook, URL: "https://hooks.example/x", MinSeverity: Low}
	if err := good.check(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Receiver){
		"no name":        func(r *Receiver) { r.Name = "" },
		"kind":           func(r *Receiver) { r.Kind = "pigeon" },
		"no severity":    func(r *Receiver) { r.MinSeverity = 0 },
		"no url":         func(r *Receiver) { r.URL = "" },
		"scheme":         func(r *Receiver) { r.URL = "gopher://hooks.example" },
		"no host":        func(r *Receiver) { r.URL = "https:///x" },
		"format":         func(r *Receiver) { r.Format = "xml" },
		"no token":       func(r *Receiver) { r.Kind, r.Chat = KindTelegram, "1" },
		"no chat":        func(r *Receiver) { r.Kind, r.Secret = KindTelegram, "1" },
		"syslog":         func(r *Receiver) { r.Kind = KindSyslog },
		"no port":        func(r *Receiver) { r.Kind, r.URL = KindSyslog, "tls://siem.example" },
		"host of a file": func(r *Receiver) { r.Kind, r.URL = KindJSONL, "file://var/log/x" },
	} {
		r := good
		change(&r)
		if err := r.check(); err == nil || strings.Contains(err.Error(), "hooks.example") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := (Config{Receivers: []Receiver{good, good}}).Check(); err == nil {
		t.Error("two of one name")
	}
}
