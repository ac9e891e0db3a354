package aead

import (
	"fmt"
	"testing"
)

// The table of the package comment:
//
//	go test -run '^$' -bench 'Records/.*/16384' ./security/aead
//	GODEBUG=cpu.aes=off go test -run '^$' -bench 'Records/.*/16384' ./security/aead
func BenchmarkRecords(b *testing.B) {
	for _, s := range Suites() {
		for _, size := range []int{256, 1400, 16384} {
			b.Run(fmt.Sprintf("%v/%d/seal", s, size), func(b *testing.B) { benchmarkRecords(b, s, size, false) })
			b.Run(fmt.Sprintf("%v/%d/open", s, size), func(b *testing.B) { benchmarkRecords(b, s, size, true) })
		}
	}
}

// benchmarkRecords seals or opens one record again and again: the counter is put back, which costs nothing beside the rest.
func benchmarkRecords(b *testing.B, s Suite, size int, open bool) {
	out, in := pair(b, s)
	text, ad := make([]byte, size), make([]byte, 5)
	record, err := out.Seal(nil, text, ad)
	must(b, record, err)
	b.SetBytes(int64(size))
	b.ReportAllocs()
	for b.Loop() {
		if open {
			in.d.seq = 0
			_, err = in.Open(text[:0], record, ad)
		} else {
			out.d.seq = 0
			_, err = out.Seal(record[:0], text, ad)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkBlobs(b *testing.B) {
	k := testKey(b)
	lookup := ring(k)
	for _, s := range Suites() {
		for _, size := range []int{32, 16384} {
			text := make([]byte, size)
			blob, err := Seal(nil, s, k, purpose, text, nil)
			must(b, blob, err)
			room := make([]byte, 0, len(blob))
			b.Run(fmt.Sprintf("%v/%d/seal", s, size), func(b *testing.B) {
				b.SetBytes(int64(size))
				b.ReportAllocs()
				for b.Loop() {
					Seal(room, s, k, purpose, text, nil)
				}
			})
			b.Run(fmt.Sprintf("%v/%d/open", s, size), func(b *testing.B) {
				b.SetBytes(int64(size))
				b.ReportAllocs()
				for b.Loop() {
					if _, err := Open(room, lookup, purpose, blob, nil); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func BenchmarkRekey(b *testing.B) {
	out, _ := pair(b, AES256GCM)
	for b.Loop() {
		out.Rekey()
	}
}
