package preview

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"mtguard/mtproto"
	"mtguard/telemetry/stats"
)

var at = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

func anyRecord(t *rapid.T) Record {
	addr := netip.Addr{}
	if b := rapid.SampledFrom([]int{0, 4, 16}).Draw(t, "bytes"); b > 0 {
		addr, _ = netip.AddrFromSlice(rapid.SliceOfN(rapid.Byte(), b, b).Draw(t, "address"))
	}
	open := rapid.Int64Range(0, maxSpan).Draw(t, "open")
	return Record{
		At:        time.UnixMicro(rapid.Int64Range(0, maxMicro).Draw(t, "at")).UTC(),
		Open:      time.Duration(open) * time.Microsecond,
		Handshake: time.Duration(rapid.Int64Range(0, open).Draw(t, "handshake")) * time.Microsecond,
		Addr:      addr,
		Privacy:   Privacy(rapid.IntRange(0, int(Full)).Draw(t, "privacy")),
		User:      rapid.StringMatching(`[A-Za-z0-9._-]{0,64}`).Draw(t, "user"),
		Key:       rapid.StringMatching(`[0-9a-f]{0,16}`).Draw(t, "key"),
		Transport: mtproto.Transport(rapid.IntRange(0, int(mtproto.FakeTLS)).Draw(t, "transport")),
		Result:    rapid.SampledFrom(results[:]).Draw(t, "result"),

		Hello:      Hello(rapid.IntRange(0, int(HelloUnnamed)).Draw(t, "hello")),
		KeyShare:   rapid.Bool().Draw(t, "key share"),
		ServerName: rapid.StringMatching(`[a-z0-9.-]{0,30}`).Draw(t, "server name"),
		JA4:        rapid.StringMatching(`|t1[0-3][di][0-9]{4}h2_[0-9a-f]{12}_[0-9a-f]{12}`).Draw(t, "ja4"),
	}
}

func TestWhatHasNoRoomIsLeftOut(t *testing.T) {
	r := Record{At: at, User: strings.Repeat("u", 64), Key: "0123456789abcdef", Hello: HelloNamed, ServerName: strings.Repeat("n", 31), JA4: "no fingerprint at all, but so long!!"}
	slot := make([]byte, slotSize)
	if !encode(slot, 1, &r) {
		t.Fatal("there is no room for a record")
	}
	got, ok := decode(slot, text)
	if !ok || got.User != r.User || got.Key != r.Key || got.ServerName != "" || got.Hello != HelloUnnamed || got.JA4 != "" {
		t.Errorf("%+v, %v", got, ok)
	}
}

func text(b []byte) string { return string(b) }

func TestARecordComesBackAsItWas(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want, slot := anyRecord(t), make([]byte, slotSize)
		number := rapid.Uint64Range(1, maxNumber).Draw(t, "number")
		if !encode(slot, number, &want) {
			t.Fatalf("no room for %+v", want)
		}
		if n, ok := numberOf(slot); !ok || n != number {
			t.Fatalf("number %d, %v; want %d", n, ok, number)
		}
		if got, ok := decode(slot, text); !ok || !reflect.DeepEqual(got, want) {
			t.Fatalf("got %+v, %v\nwant %+v", got, ok, want)
		}
		slot[rapid.IntRange(0, slotSize-1).Draw(t, "torn")] ^= byte(rapid.IntRange(1, 255).Draw(t, "bits"))
		if _, ok := numberOf(slot); ok {
			t.Fatal("a torn slot is taken for a good one")
		}
	})
}

func TestEveryResultHasANumberOnDisk(t *testing.T) {
	for r := stats.ResultOK; r <= stats.ResultError; r++ {
		slot := make([]byte, slotSize)
		encode(slot, 1, &Record{At: at, Result: r})
		if got, ok := decode(slot, text); !ok || got.Result != r {
			t.Errorf("%v comes back as %v, %v", r, got.Result, ok)
		}
	}
}

// numbered makes records that can be told apart.
func numbered(from, n int) []Record {
	list := make([]Record, n)
	for i := range list {
		list[i] = Record{At: at.Add(time.Duration(from+i) * time.Second), User: "user" + strconv.Itoa(from+i)}
	}
	return list
}

func users(t *testing.T, r *ring) string {
	t.Helper()
	var all []string
	if err := r.read(r.last, func(record Record) bool {
		all = append(all, strings.TrimPrefix(record.User, "user"))
		return true
	}); err != nil {
		t.Fatal(err)
	}
	return strings.Join(all, " ")
}

func open(t *testing.T, path string, slots int) *ring {
	t.Helper()
	r, err := openRing(path, int64(slots+1)*slotSize)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.f.Close() })
	return r
}

func write(t *testing.T, r *ring, list []Record) {
	t.Helper()
	if n, err := r.write(list); err != nil || n != len(list) {
		t.Fatalf("%d of %d written, %v", n, len(list), err)
	}
}

func TestTheNewestTakeThePlaceOfTheOldest(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ring")
	r := open(t, path, 4)
	write(t, r, numbered(1, 3))
	if got := users(t, r); got != "1 2 3" {
		t.Errorf("before it is full: %s", got)
	}
	write(t, r, numbered(4, 7))
	if got := users(t, r); got != "7 8 9 10" {
		t.Errorf("after it ran over twice: %s", got)
	}
	info, err := os.Stat(path)
	if err != nil || info.Size() != 5*slotSize || info.Mode().Perm() != 0o600 {
		t.Errorf("the file: %v, %v", info, err)
	}
	r = open(t, path, 4)
	if got := users(t, r); got != "7 8 9 10" {
		t.Errorf("opened anew: %s", got)
	}
	write(t, r, numbered(11, 1))
	if got := users(t, r); got != "8 9 10 11" {
		t.Errorf("and written on: %s", got)
	}
}

func TestTornRecordsAreLeftOut(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ring")
	r := open(t, path, 8)
	write(t, r, numbered(1, 10)) // 9 and 10 lie where 1 and 2 were
	tear := func(index uint64, keep int) {
		if _, err := r.f.WriteAt(bytes.Repeat([]byte{0xa5}, slotSize-keep), r.offset(index)+int64(keep)); err != nil {
			t.Fatal(err)
		}
	}
	tear(4, 60) // 5
	tear(1, 0)  // 10, the newest
	r = open(t, path, 8)
	if got := users(t, r); got != "3 4 6 7 8 9" && got != "4 6 7 8 9" {
		t.Errorf("left are %s", got)
	}
	write(t, r, numbered(20, 1))
	if got := users(t, r); got != "3 4 6 7 8 9 20" {
		t.Errorf("after another: %s", got)
	}
}

func TestARecordWithoutRoomIsLeftOut(t *testing.T) {
	r := open(t, filepath.Join(t.TempDir(), "ring"), 8)
	list := numbered(1, 3)
	list[1].User = strings.Repeat("x", maxText+1)
	if n, err := r.write(list); n != 2 || err != nil {
		t.Errorf("%d written, %v", n, err)
	}
	if got := users(t, r); got != "1 3" {
		t.Errorf("got %s", got)
	}
}

func TestAFileThatIsSomethingElseIsRefusedAndKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ring")
	const letter = "Dear Sir or Madam, this is a letter and no ring."
	if err := os.WriteFile(path, []byte(letter), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openRing(path, 1<<12); !errors.Is(err, ErrForeign) {
		t.Errorf("got %v", err)
	}
	if b, _ := os.ReadFile(path); string(b) != letter {
		t.Error("it was changed")
	}
	if _, err := openRing(t.TempDir(), 1<<12); err == nil {
		t.Error("a directory is a ring")
	}
}

func TestAFileOfAnotherKindBeginsAnew(t *testing.T) {
	for name, change := range map[string]func([]byte) []byte{
		"another version":    func(b []byte) []byte { b[len(magic)]++; return b },
		"a torn header":      func(b []byte) []byte { b[headerSize-1]++; return b },
		"half a header":      func(b []byte) []byte { return b[:len(magic)+2] },
		"nothing but zeroes": func(b []byte) []byte { clear(b); return b },
		"empty":              func(b []byte) []byte { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "ring")
			write(t, open(t, path, 8), numbered(1, 3))
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, change(b), 0o644); err != nil {
				t.Fatal(err)
			}
			r := open(t, path, 8)
			if got := users(t, r); got != "" {
				t.Errorf("left are %s", got)
			}
			write(t, r, numbered(5, 1))
			if got := users(t, open(t, path, 8)); got != "5" {
				t.Errorf("opened anew: %s", got)
			}
		})
	}
	path := filepath.Join(t.TempDir(), "ring")
	write(t, open(t, path, 8), numbered(1, 3))
	if got := users(t, open(t, path, 4)); got != "" {
		t.Errorf("of another size: %s", got)
	}
	if info, _ := os.Stat(path); info.Size() != 5*slotSize {
		t.Errorf("it has %d bytes", info.Size())
	}
}

func TestAFileForOthersIsMadePrivate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ring")
	write(t, open(t, path, 8), numbered(1, 3))
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	r := open(t, path, 8)
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o600 {
		t.Errorf("it is %v", info.Mode())
	}
	if got := users(t, r); got != "1 2 3" {
		t.Errorf("left are %s", got)
	}
}

// FuzzRing reads files that anything may have happened to.
func FuzzRing(f *testing.F) {
	const slots = 6
	path := filepath.Join(f.TempDir(), "ring")
	r, err := openRing(path, (slots+1)*slotSize)
	if err != nil {
		f.Fatal(err)
	}
	r.write(append(numbered(1, 8), Record{At: at, Addr: netip.MustParseAddr("2001:db8::1"), User: "alice", Key: "0011", Open: time.Hour, Transport: mtproto.FakeTLS}))
	b, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b, true, false)
	f.Add(b, true, true)
	f.Add(b[slotSize:slotSize*3], true, true)
	f.Add([]byte{}, false, false)
	header := r.header()
	path = filepath.Join(f.TempDir(), "ring") // one for all: making files is most of the work
	f.Fuzz(func(t *testing.T, b []byte, whole, sound bool) {
		if whole { // else the header stands in the way of what is behind it
			b = append(append([]byte(nil), header...), b[min(len(b), headerSize):]...)
		} else {
			b = bytes.Clone(b)
		}
		for at := slotSize; sound && at+slotSize <= len(b); at += slotSize { // else nothing gets past the checksums
			binary.LittleEndian.PutUint32(b[at:], crc32.Checksum(b[at+4:at+slotSize], castagnoli))
		}
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := openRing(path, (slots+1)*slotSize)
		if err != nil {
			return
		}
		defer r.f.Close()
		n := 0
		check := func(record Record) bool {
			n++
			if len(record.User)+len(record.Key) > maxText || record.Open < record.Handshake || record.Handshake < 0 || record.End().Before(record.At) {
				t.Fatalf("%+v", record)
			}
			slot := make([]byte, slotSize)
			if !encode(slot, 1, &record) {
				t.Fatalf("no room for %+v", record)
			}
			if again, ok := decode(slot, text); !ok || !reflect.DeepEqual(again, record) {
				t.Fatalf("%+v came back as %+v", record, again)
			}
			return true
		}
		if err := r.read(r.last, check); err != nil || n > slots {
			t.Fatalf("%d records, %v", n, err)
		}
		if _, err := r.write(numbered(1, 1)); err != nil {
			t.Fatal(err)
		}
		found := false
		r.read(r.last, func(record Record) bool { found = record.User == "user1"; return true })
		if !found {
			t.Fatal("what is written now is not there")
		}
	})
}
