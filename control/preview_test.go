package control

import (
	"context"
	"errors"
	"iter"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"mtguard/control/preview"
	"mtguard/mtproto"
	"mtguard/security/access"
	"mtguard/security/policy"
)

// recorded gives the plane these connections, seconds before now.
func (b *bench) recorded(load ...preview.Record) {
	b.parts.Records = func(since time.Time) iter.Seq[preview.Record] {
		return func(yield func(preview.Record) bool) {
			for _, r := range load {
				if !r.End().Before(since) && !yield(r) {
					return
				}
			}
		}
	}
}

func (b *bench) visit(user, addr string, before time.Duration) preview.Record {
	r := preview.Record{
		At: b.clock().Add(-before), Handshake: 50 * time.Millisecond, Open: 10 * time.Minute, Addr: netip.MustParseAddr(addr), Privacy: preview.Full,
		User: user, Transport: mtproto.Classic,
	}
	if k := b.live.Load().Keys.ByUser(user); k != nil {
		r.Key = string(k.ID())
	}
	return r
}

func (b *bench) preview(q PreviewQuery) PreviewReport {
	b.t.Helper()
	r, err := b.Preview(context.Background(), q)
	if err != nil {
		b.t.Fatalf("%+v: %v", q, err)
	}
	return r
}

func refusedBy(r PreviewReport, control string) (n int, users string) {
	for _, c := range r.Controls {
		if c.Control == control {
			var names []string
			for _, u := range c.Users {
				names = append(names, u.User)
			}
			return c.Refused, strings.Join(names, " ")
		}
	}
	return -1, ""
}

func TestPreviewSaysWhichUsersWouldBeRefused(t *testing.T) {
	b := newBench(t)
	b.add("alice")
	b.add("bob")
	b.recorded(
		b.visit("alice", "192.0.2.1", 48*time.Hour),
		b.visit("alice", "192.0.2.1", 9*time.Minute), b.visit("alice", "192.0.2.1", 8*time.Minute), b.visit("bob", "192.0.2.2", 7*time.Minute),
		b.visit("gone", "192.0.2.3", 6*time.Minute), b.visit("gone", "192.0.2.3", 5*time.Minute),
	)
	before := b.live.Load()
	r := b.preview(PreviewQuery{Document: "schema = 1\n[connections]\nper_user = 1\nper_key = 1\nread_only = 1\n[controls.\"conns.user\"]\nmode = \"enforce\"\n"})
	if n, users := refusedBy(r, policy.ConnsUser); n != 2 || users != "alice" || r.Refused != 2 || r.KnownRefused != 1 || r.UsersRefused != 1 || r.RefusedNow != 0 {
		t.Errorf("%d of %s: %+v", n, users, r)
	}
	if r.Connections != 5 || r.Users != 2 {
		t.Errorf("of a day: %+v", r)
	}
	r = b.preview(PreviewQuery{Control: policy.EncryptionRequired, Document: "schema = 1\n[encryption]\ntransports = [\"faketls\"]\n", Since: 72 * time.Hour})
	if n, users := refusedBy(r, policy.EncryptionRequired); n != 6 || users != "alice bob" {
		t.Errorf("%d of %s: %+v", n, users, r)
	}
	r = b.preview(PreviewQuery{Document: "schema = 1\n[connections]\nper_user = 1\nper_key = 1\nread_only = 1\n"})
	if n, _ := refusedBy(r, policy.ConnsUser); n != 0 {
		t.Errorf("in monitor %d are refused", n)
	}
	if b.live.Load() != before {
		t.Error("a preview published something")
	}
}

func TestPreviewOfOneControlStandsOnThePolicyInForce(t *testing.T) {
	b := newBench(t)
	b.add("alice")
	b.recorded(b.visit("alice", "192.0.2.1", 9*time.Minute), b.visit("alice", "192.0.2.1", 8*time.Minute))
	b.apply(SetPolicy{Document: "schema = 1\n[connections]\nper_user = 1\nper_key = 1\nread_only = 1\n"}, Options{Reason: "test"})
	b.apply(BreakGlass{}, Options{Reason: "test"})
	for _, c := range []struct {
		q    PreviewQuery
		want int
	}{
		{PreviewQuery{Control: policy.ConnsUser}, 1},
		{PreviewQuery{Control: policy.ConnsUser, Mode: "enforce"}, 1},
		{PreviewQuery{Control: policy.ConnsUser, Mode: "monitor"}, 0},
		{PreviewQuery{Control: policy.ConnsAddr}, 0},
	} {
		if n, _ := refusedBy(b.preview(c.q), policy.ConnsUser); n != c.want {
			t.Errorf("%+v: %d are refused", c.q, n)
		}
	}
}

func TestPreviewJudgesByTheGeographyOfTheDocument(t *testing.T) {
	b := newBench(t)
	b.add("alice")
	b.recorded(b.visit("alice", "192.0.2.1", time.Minute))
	const document = "schema = 1\n[geography]\nunknown = \"deny\"\n"
	r := b.preview(PreviewQuery{Document: document, Control: policy.GeoCountry})
	want := 0
	if b.preview(PreviewQuery{Control: policy.GeoCountry}).Refused != 0 {
		t.Error("without a document somebody is refused")
	}
	b.apply(SetPolicy{Document: document + "[controls.\"geo.country\"]\nmode = \"enforce\"\n"}, Options{Reason: "test", Force: true})
	if d := b.live.Load().Access.Check(access.Query{Addr: netip.MustParseAddr("192.0.2.1"), Now: b.clock()}); d.Level == access.None {
		want = 1
	}
	if r.Refused != want {
		t.Errorf("%d are refused, and by the policy in force then %d", r.Refused, want)
	}
	if want == 0 {
		t.Error("the document refuses nobody")
	}
}

func TestPreviewRefusesWhatMakesNoSense(t *testing.T) {
	b := newBench(t)
	kindOf := func(q PreviewQuery) Kind {
		t.Helper()
		_, err := b.Preview(context.Background(), q)
		e, ok := errors.AsType[*Error](err)
		if !ok {
			t.Fatalf("%+v: %v", q, err)
		}
		return e.Kind
	}
	if k := kindOf(PreviewQuery{Control: policy.ConnsUser}); k != Refused {
		t.Errorf("without records: %v", k)
	}
	b.recorded()
	for _, q := range []PreviewQuery{
		{}, {Document: "nonsense"}, {Document: "schema = 1\n[connections]\nper_user = -1\n"}, {Control: policy.ConnsTotal},
		{Control: policy.BytesUser}, {Control: policy.ConnsUser, Mode: "sometimes"}, {Control: policy.ConnsUser, Percent: 101},
		{Control: policy.ConnsUser, Since: -time.Hour},
	} {
		if k := kindOf(q); k != Invalid {
			t.Errorf("%+v: %v", q, k)
		}
	}
	if k := kindOf(PreviewQuery{Control: "conns.nobody"}); k != NotFound {
		t.Errorf("no control: %v", k)
	}
	if r := b.preview(PreviewQuery{Control: policy.ConnsUser}); r.Connections != 0 || !slices.Contains(r.NotJudged, policy.BytesUser) {
		t.Errorf("of nothing: %+v", r)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := b.Preview(ctx, PreviewQuery{Control: policy.ConnsUser}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}
