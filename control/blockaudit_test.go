package control

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"mtguard/control/store"
)

// blockRows are the audit rows of automatic blocks.
func (b *bench) blockRows() (list []string) {
	b.t.Helper()
	err := b.store.View(context.Background(), func(tx *store.Tx) error {
		for row, err := range allRows(tx) {
			if err != nil {
				return err
			}
			if text := string(row.Canonical); strings.Contains(text, "threat.block") && strings.Contains(text, "attacks") {
				list = append(list, text)
			}
		}
		return nil
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return list
}

// TestStrangersDoNotFillTheAuditLog: however many blocks are made, there is one row of them a minute, and it tells of all, over a restart too.
func TestStrangersDoNotFillTheAuditLog(t *testing.T) {
	b := newBench(t)
	n := 0
	batch := func(size int) {
		var list []string
		for range size {
			n++
			list = append(list, fmt.Sprintf("100.64.%d.%d/32", n>>8, n&255))
		}
		b.autoBlock(time.Hour, list...)
	}
	expect := func(what string, rows int, last ...string) {
		t.Helper()
		got := b.blockRows()
		if len(got) != rows {
			t.Fatalf("%s: %d rows, want %d", what, len(got), rows)
		}
		for _, text := range last {
			if !strings.Contains(got[rows-1], text) {
				t.Errorf("%s: the last row has no %s: %s", what, text, got[rows-1])
			}
		}
	}
	batch(1)
	expect("the first is told at once", 1, "100.64.0.1/32", "probe_scan: noise")
	for range 30 {
		batch(2)
		b.pass(time.Second)
	}
	expect("within a minute", 1)
	b.restart()
	b.pass(time.Minute)
	expect("after it", 2, "60 addresses", "block.10", "100.64.0.2/32 for 1h")
	b.pass(10 * time.Minute)
	expect("when nothing happens", 2)
	before := n
	for range 60 {
		batch(3)
		b.pass(10 * time.Second)
	}
	b.pass(time.Minute)
	rows := b.blockRows()[2:]
	if len(rows) < 9 || len(rows) > 11 {
		t.Errorf("%d rows of ten minutes", len(rows))
	}
	told := 0
	for _, text := range rows {
		var k int
		at := strings.Index(text, " addresses")
		fmt.Sscanf(text[strings.LastIndexAny(text[:at], "\":= ")+1:at], "%d", &k)
		told += k
	}
	if told != n-before {
		t.Errorf("rows tell of %d blocks, and %d were made", told, n-before)
	}
}
