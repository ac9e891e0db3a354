package control

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"testing"
	"time"
)

// TestManyUsers says what 10,000 users cost: MTGUARD_LONG=1 go test -run ManyUsers
// -v ./control. Figures decide nothing; what is done does.
func TestManyUsers(t *testing.T) {
	n, some := 300, 50
	if os.Getenv("MTGUARD_LONG") != "" {
		n = 10_000
	}
	b := newBench(t)
	declared := make([]Declared, n)
	for i := range declared {
		declared[i] = Declared{"file-" + strconv.Itoa(i), secretOf(t, "")}
	}
	took := func(what string, f func()) {
		begun := time.Now()
		f()
		t.Logf("%-30s %v", what, time.Since(begun).Round(10*time.Microsecond))
	}
	took("declare all", func() { b.mustLoad(declared...) })
	took("declare all again", func() { b.mustLoad(declared...) })
	took("add 50 by commands", func() {
		for i := range some {
			b.apply(AddUser{Name: fmt.Sprint("user-", i), Level: 2}, Options{})
		}
	})
	took("one change", func() { b.add("one-more") })
	took("rotate all that may", func() {
		if r := b.apply(RotateKeys{All: true}, Options{}); r.Affected != some+1 {
			t.Errorf("rotated %d", r.Affected)
		}
	})
	took("one change", func() { b.add("another") })
	took("tick", func() { b.tick(context.Background()) })
	took("list 50 users", func() { b.Users(context.Background(), UserFilter{}) })
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	took("restart", b.restart)
	runtime.GC()
	runtime.ReadMemStats(&after)
	t.Logf("heap %d KiB with %d users and %d keys", after.HeapInuse>>10, len(b.names), b.live.Load().Keys.Len())
	if got := b.live.Load().Keys.Accepted(); got != n+2*(some+1)+1 {
		t.Errorf("%d keys are accepted after a restart, want %d", got, n+2*(some+1)+1)
	}
}
