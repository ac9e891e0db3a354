package auditlog_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"

	"mtguard/security/auditlog"
)

func Example() {
	// Once: a key. The private half stays with the proxy, the public half goes to whoever will verify.
	private, public, _ := note.GenerateKey(rand.Reader, "proxy.example/audit")
	signer, _ := note.NewSigner(private)

	// With every change, in its transaction.
	var state auditlog.State
	var rows []auditlog.Row
	at := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	for i, user := range []string{"nadia", "omar", "lin"} {
		row, next, err := auditlog.Append(state, auditlog.Entry{
			Time: at.Add(time.Duration(i) * time.Minute), Actor: "uid 0", Action: "key.rotate", Object: "user " + user,
			Outcome: auditlog.Done, Reason: "lost phone", Details: []auditlog.Detail{{Key: "overlap", Value: "168h"}},
		})
		if err != nil {
			fmt.Println(err)
			return
		}
		rows, state = append(rows, row), next
	}
	fmt.Println(string(rows[1].Canonical))

	// Now and then, and for an export.
	signed, _ := auditlog.Sign(state, signer)
	var file bytes.Buffer
	if err := auditlog.Export(&file, all(rows), [][]byte{signed}); err != nil {
		fmt.Println(err)
		return
	}

	// Elsewhere, with the file and the public key.
	key, _ := note.NewVerifier(public)
	with := auditlog.Evidence{Keys: []note.Verifier{key}}
	report := auditlog.VerifyExport(bytes.NewReader(file.Bytes()), with)
	fmt.Println(report.Err(), report.Intact, report.Witnessed)

	edited := strings.Replace(file.String(), "user omar", "user lina", 1)
	report = auditlog.VerifyExport(strings.NewReader(edited), with)
	fmt.Println(report.Err())

	with.Checkpoints = [][]byte{signed}
	report = auditlog.Verify(all(rows[:2]), with)
	fmt.Println(report.Err())
	// Output:
	// {"v":1,"seq":2,"time":"2026-03-01T09:01:00.000000000Z","actor":"uid 0","action":"key.rotate","object":"user omar","outcome":"done","reason":"lost phone","details":{"overlap":"168h"}}
	// <nil> 3 3
	// auditlog: row 2 edited: its hash is not that of its content behind the row before
	// auditlog: row 3 truncated: a checkpoint tells of 3 rows
}

// all is where a store would read its rows.
func all(rows []auditlog.Row) iter.Seq2[auditlog.Row, error] {
	return func(yield func(auditlog.Row, error) bool) {
		for row := range slices.Values(rows) {
			if !yield(row, nil) {
				return
			}
		}
	}
}
