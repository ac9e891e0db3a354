package stats

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// process is a registry over counters of a process that has just begun.
func process(c *Counters, extra ...Family) prometheus.Gatherer {
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(NewCollector(c, extra...))
	return r
}

func gather(t *testing.T, g prometheus.Gatherer) []*dto.MetricFamily {
	t.Helper()
	families, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
	return families
}

// valuesOf are the values of one metric by its labels.
func valuesOf(families []*dto.MetricFamily, name string) map[string]float64 {
	found := make(map[string]float64)
	for _, v := range List(families, name) {
		found[keyOf(v.Labels)] = v.Value
	}
	return found
}

func dropsOf(m map[string]uint64) Family {
	return EventDrops(func(yield func(string, uint64)) {
		for name, n := range m {
			yield(name, n)
		}
	})
}

func TestTotalsGoOnOverRestarts(t *testing.T) {
	var file bytes.Buffer
	for restart := range 3 {
		var c Counters
		var l Lasting
		if restart > 0 {
			if unended, err := l.Import(&file); err != nil || unended != 0 {
				t.Fatalf("restart %d: %d unended, %v", restart, unended, err)
			}
		}
		c.Accepted()
		c.Ended(StateHandshake, OutcomeRelayed)
		c.Handshake("faketls", ResultOK, 1)
		c.RelayBytes(100, 1000)
		c.Open.Set(0)
		// Whoever listens is another one each time.
		families := gather(t, l.Over(process(&c, dropsOf(map[string]uint64{fmt.Sprintf("listener%d", restart): 7}))))
		n := float64(restart + 1)
		for name, want := range map[string]map[string]float64{
			"relay_bytes_total":          {`direction="down",`: 1000 * n, `direction="up",`: 100 * n},
			"connections_accepted_total": {"": n},
			"connections_total": {`outcome="relayed",`: n, `outcome="covered",`: 0, `outcome="denied",`: 0, `outcome="limited",`: 0,
				`outcome="error",`: 0},
			"connections_open": {"": 0},
		} {
			if got := valuesOf(families, name); fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("restart %d: %s is %v, want %v", restart, name, got, want)
			}
		}
		if got := valuesOf(families, "events_dropped_total"); len(got) != restart+1 || got[`subscriber="listener0",`] != 7 {
			t.Errorf("restart %d: dropped %v", restart, got)
		}
		if got := valuesOf(families, "handshake_duration_seconds"); got[""] != 1e-9 {
			t.Errorf("restart %d: a histogram is %v: it should have begun anew", restart, got)
		}
		file.Reset()
		if err := l.Export(&file, families); err != nil {
			t.Fatal(err)
		}
	}
}

// TestWhatACrashCutOffHasFailed: connections that were open have no other end.
func TestWhatACrashCutOffHasFailed(t *testing.T) {
	var c Counters
	for range 5 {
		c.Accepted()
	}
	c.Ended(StateHandshake, OutcomeCovered)
	c.Ended(StateHandshake, OutcomeError)
	var file bytes.Buffer
	var l Lasting
	if err := l.Export(&file, gather(t, l.Over(process(&c)))); err != nil {
		t.Fatal(err)
	}
	if unended, err := l.Import(&file); err != nil || unended != 3 {
		t.Fatalf("%d unended, %v", unended, err)
	}
	families := gather(t, l.Over(process(new(Counters))))
	ended := valuesOf(families, "connections_total")
	if accepted := valuesOf(families, "connections_accepted_total")[""]; accepted != 5 || ended[`outcome="error",`] != 4 || ended[`outcome="covered",`] != 1 {
		t.Errorf("%v accepted, ended %v", accepted, ended)
	}
}

func TestDamagedTotalsAreNotBelieved(t *testing.T) {
	var c Counters
	c.Accepted()
	c.RelayBytes(5, 5)
	var file bytes.Buffer
	var l Lasting
	if err := l.Export(&file, gather(t, process(&c))); err != nil {
		t.Fatal(err)
	}
	good := file.Bytes()
	for name, bad := range map[string][]byte{
		"empty":          nil,
		"cut":            good[:len(good)/2],
		"cut by a byte":  good[:len(good)-1],
		"another digit":  bytes.Replace(good, []byte(`"value":5`), []byte(`"value":9`), 1),
		"another format": bytes.Replace(good, []byte("totals 1"), []byte("totals 2"), 1),
		"too long":       append(bytes.Clone(good), bytes.Repeat([]byte(" "), lastingBytes)...),
		"negative":       signed(`{"mtguard_x_total":[{"value":-1}]}`),
		"of others":      signed(`{"process_x_total":[{"value":1}]}`),
		"more ended":     signed(`{"mtguard_connections_total":[{"labels":{"outcome":"error"},"value":1}]}`),
		"no list":        signed(`[1]`),
		"too many":       signed(`{"mtguard_x_total":[` + strings.Repeat(`{"value":1},`, lastingSeries) + `{"value":1}]}`),
	} {
		if _, err := l.Import(bytes.NewReader(bad)); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got := valuesOf(gather(t, l.Over(process(new(Counters)))), "relay_bytes_total"); got[`direction="up",`] != 0 {
		t.Errorf("damaged totals were taken: %v", got)
	}
}

// signed is a body as Export would have written it.
func signed(body string) []byte {
	var b bytes.Buffer
	writeTotals(&b, []byte(body))
	return b.Bytes()
}

// TestWhatNothingCountsAnyMoreIsBounded: names that come and go do not pile up.
func TestWhatNothingCountsAnyMoreIsBounded(t *testing.T) {
	var l Lasting
	var file bytes.Buffer
	drops := make(map[string]uint64)
	for i := range 500 {
		drops[fmt.Sprint("listener", i)] = 1
	}
	if err := l.Export(&file, gather(t, process(new(Counters), dropsOf(drops)))); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Import(&file); err != nil {
		t.Fatal(err)
	}
	got := valuesOf(gather(t, l.Over(process(new(Counters), dropsOf(map[string]uint64{"listener0": 1})))), "events_dropped_total")
	if len(got) != 1+gonePerFamily || got[`subscriber="listener0",`] != 2 {
		t.Errorf("%d series, %v of the one that is there", len(got), got[`subscriber="listener0",`])
	}
}

func FuzzTotals(f *testing.F) {
	var file bytes.Buffer
	var l Lasting
	families, _ := process(new(Counters)).Gather()
	if err := l.Export(&file, families); err != nil {
		f.Fatal(err)
	}
	f.Add(file.Bytes())
	f.Add(signed(`{"mtguard_connections_accepted_total":[{"value":3}]}`))
	f.Add(signed(`{"mtguard_relay_bytes_total":[{"labels":{"direction":"up"},"value":3},{"labels":null,"value":1e300}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, b := range [][]byte{data, signed(string(data))} {
			var l Lasting
			if _, err := l.Import(bytes.NewReader(b)); err != nil {
				continue
			}
			families, err := l.Over(process(new(Counters))).Gather()
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range List(families, "") {
				if v.Value < 0 {
					t.Errorf("%s is %v", v.Name, v.Value)
				}
			}
			var again bytes.Buffer
			if err := l.Export(&again, families); err != nil {
				t.Fatal(err)
			}
			if _, err := new(Lasting).Import(&again); err != nil {
				t.Errorf("what was imported cannot be again: %v", err)
			}
		}
	})
}
