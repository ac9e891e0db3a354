#!/bin/sh
# Removes one protection at a time from a copy of the tree and expects that some
# test goes red. Prints the table of doc/mutations.md; fails when a mutant lives.
#
#   scripts/mutations.sh           all of them (about six minutes on two cores)
#   scripts/mutations.sh replay    those whose name holds the word
#   scripts/mutations.sh lists, List    the same, and of the tests those that match
#
# A mutation is one line of code in which a text is replaced: see mutate below. One
# whose text is not found, or which does not compile, fails too: adapt it.
set -eu
cd "$(dirname "$0")/.."
GO=${GO:-go}
only=${1:-} tests=${2:-.}
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT INT TERM
git ls-files -co --exclude-standard -z -- . ':!bench' ':!e2e' | xargs -0 tar cf - 2>/dev/null | tar xf - -C "$copy"
cd "$copy"
lived=0

# replace FILE FROM TO: the first line that holds FROM, literally.
replace() {
	FROM=$2 TO=$3 awk '
		!done && (i = index($0, ENVIRON["FROM"])) {
			$0 = substr($0, 1, i-1) ENVIRON["TO"] substr($0, i+length(ENVIRON["FROM"])); done = 1
		}
		{ print }
		END { exit !done }' "$1" >"$copy/mutant" || return 1
	mv "$copy/mutant" "$1"
}

# mutate NAME FILE FROM TO PACKAGES...
mutate() {
	name=$1 file=$2 from=$3 to=$4
	shift 4
	case $name in *"$only"*) ;; *) return 0 ;; esac
	cp "$file" "$copy/original"
	if ! replace "$file" "$from" "$to"; then
		red="**the text is not there any more**" lived=1
	elif ! $GO test -run '^$' "$@" >"$copy/log" 2>&1; then
		red="**does not compile**" lived=1
	elif $GO test -failfast -run "$tests" -timeout 4m "$@" >"$copy/log" 2>&1; then
		red="**none**" lived=1
	else
		red=$(sed -n 's/^ *--- FAIL: \([A-Za-z0-9_]*\)[ (].*/\1/p' "$copy/log" | sort -u | paste -sd' ' -)
		[ -n "$red" ] || red=$(sed -n '/running tests:/{n;s/^[[:space:]]*\([A-Za-z0-9_]*\).*/\1 (never ends)/p;}' "$copy/log")
		if [ -z "$red" ]; then red="**red, but no test says so**" lived=1; fi
	fi
	mv "$copy/original" "$file"
	cell() { printf '%s' "$1" | sed 's/|/\\|/g'; }
	printf '| %s | %s: `%s` → `%s` | %s |\n' "$name" "$file" "$(cell "$from")" "$(cell "${to:- }")" "$red"
}

echo "| removed | how | red |"
echo "| --- | --- | --- |"

auth=proxy/auth/authenticate.go
mutate "replay check of hellos" $auth 'h.ReplayKey(), found.sentAt, now) != replay.Fresh' 'h.ReplayKey(), found.sentAt, now) == 0' ./proxy/auth
mutate "replay check of the init inside TLS" $auth 'FirstSeen(key, now, now) == replay.Fresh' 'FirstSeen(key, now, now) != 0' ./proxy/auth
mutate "replay check of the init inside TLS, unplugged" proxy/handshake/accept.go 'if !r.Auth.FirstInit(' 'if false && !r.Auth.FirstInit(' ./proxy/handshake
mutate "replay memory shared by inits with and without TLS" $auth 'if !h.Timed() {' 'if false {' ./proxy/auth
mutate "replay key without the time" mtproto/faketls/clienthello.go 'return [16]byte(h.random[:16])' 'return [16]byte(h.random[16:])' ./proxy/auth
mutate "replay memory, insertion" security/replay/shard.go 's.cur.put(at, key, sentAt)' '_ = at' ./security/replay ./proxy/auth
mutate "digest check" mtproto/faketls/clienthello.go 'h.random[:digestSize]) != 1' 'h.random[:digestSize]) == 2' ./proxy/handshake
mutate "digest check, all but its first 16 bytes" mtproto/faketls/clienthello.go 'digest[:digestSize], h.random[:digestSize]) != 1' 'digest[:16], h.random[:16]) != 1' ./proxy/handshake
mutate "tag check of an init" mtproto/framing.go 'return 0, false' 'return Padded, true' ./proxy/handshake
mutate "time floor" security/replay/shard.go 'if sentAt < s.floor {' 'if false {' ./proxy/auth
mutate "time floor of the start" security/replay/replay.go 'stamp(start.Add(-time.Second))' 'stamp(start.Add(-time.Hour))' ./proxy/auth
mutate "time floor, rise with what is forgotten" security/replay/shard.go 's.floor = max(s.floor, e.sentAt+1)' '_ = e' ./proxy/auth
mutate "clock window, behind" $auth 'skew > s.Skew || skew < -s.Skew' 'skew < -s.Skew' ./proxy/auth
mutate "clock window, ahead" $auth 'skew > s.Skew || skew < -s.Skew' 'skew > s.Skew' ./proxy/auth
mutate "server name check" proxy/handshake/accept.go '[h.ServerName()]; !ok {' '[h.ServerName()]; false && !ok {' ./proxy/handshake
mutate "transport switch without TLS" proxy/handshake/accept.go 'return now, h.allowed[h.transport()]' 'return now, true' ./proxy/handshake
mutate "framing check inside TLS" proxy/handshake/accept.go '!ok || header.Framing != mtproto.Padded' '!ok' ./proxy/handshake
mutate "early end of garbage" proxy/handshake/accept.go 'got, err := r.c.Read(r.b[len(r.b):cap(r.b)])' 'got, err := io.ReadAtLeast(r.c, r.b[len(r.b):cap(r.b)], n)' ./proxy/handshake
mutate "init that begins like a hello" proxy/handshake/accept.go 'if len(r.b) >= obfs2.InitSize && r.initServed() {' 'if false {' ./proxy/handshake
mutate "init that begins like a hello, no waiting for it" proxy/handshake/accept.go 'if len(r.b) >= obfs2.InitSize && r.initServed() {' 'if r.initServed() {' ./proxy/handshake
mutate "init that begins like a hello, strangers as before" proxy/handshake/accept.go 'client != nil || f.Key != nil {' 'true {' ./proxy/handshake
mutate "trial budget of a prefix" $auth '!s.a.prefixes.Take(narrow, prefixTrials, chunk, s.now).Allowed ||' 'narrow.Bits() == 999 || ' ./proxy/auth
mutate "trial budget in all" $auth '!s.a.all.Take(allTrials, chunk, s.now).Allowed {' 'false {' ./proxy/auth
mutate "memory of returning clients" $auth 'a.recent.note(from, key.ID())' '_ = from' ./proxy/auth
mutate "memory of clients whose user is refused" $auth 'if v.Result == stats.ResultOK || v.Result == stats.ResultUser {' 'if v.Result == stats.ResultOK {' ./proxy/auth
mutate "borrow of a secret while it is tried" $auth 'defer key.Return()' 'key.Return()' ./proxy/auth
mutate "tripwires" $auth 's.among(s.set.Len()-accepted, func' 's.among(0, func' ./proxy/auth
mutate "tripwires behind everybody" $auth 'ok && i < s.set.Accepted() && s.try(i)' 'ok && s.try(i)' ./proxy/auth
grant=proxy/auth/grant.go
mutate "tripwires, report of their use" $grant 'key.Trips().See(from, now)' '_ = from' ./proxy/auth
mutate "state of the key" $grant 'if !ok {' 'if !ok && false {' ./proxy/auth
mutate "account of the user" $grant 'key.Account().Enter(from); refusal != usage.Allowed' 'key.Account().Enter(from); false && refusal != usage.Allowed' ./proxy/auth
mutate "account of the user, lease of who is refused" $grant 'lease.Release()' '' ./proxy/auth
mutate "grant lost with the key" $grant 'state == keys.Revoked || state == keys.Expired' 'state == keys.Expired' ./proxy/auth
mutate "grant lost with the user's standing" $grant 'Standing(); refusal != usage.Allowed' 'Standing(); false && refusal != usage.Allowed' ./proxy/auth
mutate "grant given back once" $grant 'if g == nil || g.back.Swap(true) {' 'if g == nil {' ./proxy/auth
mutate "grant given back after a failed handshake" proxy/handshake/accept.go 'v.Grant.Release() // no session' '' ./proxy/handshake
mutate "meter, rest at the end" proxy/auth/sessions.go 's.count(x, up, down)' '' ./proxy/auth ./proxy
mutate "meter, each byte once" proxy/auth/sessions.go 'x.up, x.down = up, down' '_, _ = up, down' ./proxy/auth
mutate "server name first" $auth 'named := s.set.Named(name)' 'named := s.set.Named("")' ./proxy/auth
mutate "cover splice" proxy/mask.go 'x.splice(f.Read, outcome)' 'x.discard(outcome)' ./proxy
mutate "cover splice, bytes read before" proxy/cover.go 'if _, err := site.Write(said); err != nil {' 'if false {' ./proxy
mutate "cover splice after a limit" proxy/conn.go 'x.mask(&handshake.Failure{Read: early}, stats.OutcomeLimited)' 'x.close(stats.OutcomeLimited)' ./proxy
mutate "loop guard by address" proxy/cover.go 'if !own(addr) {' 'if !own(addr) || true {' ./proxy
mutate "loop guard by our own connections" proxy/mask.go 'if x.loops(read) {' 'if false {' ./proxy
mutate "limit of strangers shown the site" proxy/mask.go 'all > limit' 'all < 0' ./proxy
mutate "limit of strangers read in silence" proxy/mask.go 'x.s.silent.Add(1) > int64(x.Policy.Cover.MaxConnections)' 'x.s.silent.Add(1) < 0' ./proxy
mutate "deadline of strangers read in silence" proxy/mask.go 'context.WithDeadline(x.s.ctx, x.At.Add(wait))' 'context.WithDeadline(x.s.ctx, x.At.Add(100*wait))' ./proxy
mutate "limit of connections" proxy/guard/checks.go 'limit > 0 && c.Open > limit' 'false && c.Open > limit' ./proxy
mutate "limit of connections, unplugged" node/wire.go 'guard.TotalConnections{},' '' ./node
mutate "limit of handshakes" proxy/server.go 'if limit > 0 && h.n > limit {' 'if false {' ./proxy
mutate "limit of handshakes, whose end it is" proxy/server.go 'out := h.oldest' 'out := h.young' ./proxy
mutate "limit per address" proxy/guard/checks.go 'limit > 0 && c.FromAddr > limit' 'false && c.FromAddr > limit' ./proxy
mutate "limit per address, unplugged" node/wire.go 'guard.PerAddress{},' '' ./node
mutate "rate, narrow prefix" proxy/guard/checks.go 'limiter.Check(narrow, limit, c.At); !d.Allowed' 'limiter.Check(narrow, limit, c.At); false && !d.Allowed' ./proxy
mutate "rate, wide prefix" proxy/guard/checks.go 'limit.Times(wideFactor), c.At); !d.Allowed' 'limit.Times(wideFactor), c.At); false && !d.Allowed' ./proxy
mutate "rate, unplugged" node/wire.go 'guard.NewAcceptRate(acceptPrefixes),' '' ./node
flow=telemetry/stats/flow.go
mutate "flow of connections, who came" $flow 'c.accepted.Inc()' '' ./telemetry/stats
mutate "flow of connections, how they end" $flow 'c.Connections.Add(out)' '_ = out' ./telemetry/stats
mutate "flow of connections, what they leave" $flow 'c.in(from).Dec()' '_ = from' ./telemetry/stats
mutate "flow of connections, where they go" $flow 'c.in(to).Inc()' '_ = to' ./telemetry/stats
mutate "flow of connections, one moment" $flow 'defer c.flow.Unlock()' 'c.flow.Unlock()' ./telemetry/stats
mutate "totals over a restart" node/totals.go 'n.totals.lasting.Over(registry)' 'registry' ./node
mutate "totals over a restart, what was open" telemetry/stats/lasting.go 'if open > 0 {' 'if false {' ./telemetry/stats
mutate "totals over a restart, damage" telemetry/stats/lasting.go 'sum != hex.EncodeToString(want[:])' 'len(sum) != len(want)*2' ./telemetry/stats
mutate "history, rows of minutes" node/history.go 'c.sample(now.Add(-time.Minute / 2))' '_ = now' ./node
mutate "history, the rest at the end" node/history.go 'c.sample(time.Now())' '' ./node
mutate "history, growth and not totals" node/history.go 'max(0, v-c.last[i]), v' 'v, v' ./node
mutate "history, a row takes what it had" telemetry/history/history.go 'row := h.read(t, start, b)' 'row := h.read(t, start-t.step, b)' ./telemetry/history ./node
mutate "history, shown at the command line" cmd/mtguard/stats.go 'return c.pastStats(q)' '_ = q' ./cmd/mtguard
mutate "metrics, incidents that began" control/incidents.go 'p.tally.add(1, incidentsMetric, n.Detector, n.Severity)' '_ = n' ./control
mutate "metrics, what was sealed" control/seal.go 'p.sealed(suite.String(), "seal", len(r.Plaintext), err)' '' ./control
mutate "metrics, what was opened" control/seal.go 'p.sealed(suiteOf(r.Sealed), "open", len(plaintext), err)' '' ./control
mutate "metrics, rotations" control/metrics.go 'p.tally.add(1, rotationsMetric, "operator", resultText(err))' '' ./control
mutate "metrics, rotations that were dry" control/metrics.go 'if o.DryRun {' 'if false {' ./control
mutate "metrics, of the control plane" node/totals.go 'n.plane.Families(), ' '' ./node
mutate "metrics, of the node" node/totals.go 'n.ownFamilies(), ' '' ./node
mutate "metrics, series of modes that nobody met" telemetry/stats/collector.go 'if s.took[m].Count() > 0 {' 'if true {' ./telemetry/stats ./node
mutate "metrics, units" control/threat/status.go 'threat_block_longest_seconds' 'threat_block_seconds_max' ./node
mutate "cost of controls, unplugged" proxy/guard/pipeline.go 's.counters.Took(StatsMode(mode), time.Since(began))' '_ = began' ./proxy/guard
mutate "cost of controls, enforced beside monitor" proxy/guard/pipeline.go 's.counters.Took(StatsMode(mode), time.Since(began))' 's.counters.Took(stats.ModeMonitor, time.Since(began))' ./proxy/guard
mutate "cost of controls, of every 16th connection" telemetry/stats/control.go '(connection-1)*0x9E3779B97F4A7C15>>60 == 0' 'connection > 0' ./proxy/guard
mutate "cost of controls, shown" node/manage.go 'micros(stats.ModeEnforce), micros(stats.ModeMonitor)' 'micros(stats.ModeMonitor), micros(stats.ModeMonitor)' ./node
mutate "enforcement" proxy/guard/pipeline.go 'if v.Action != Allow && mode == policy.Enforce {' 'if false {' ./proxy
mutate "PROXY headers from listed peers only" proxy/conn.go 'if contains(snap.ProxyProtocolFrom, x.Addr.Addr()) {' 'if len(snap.ProxyProtocolFrom) > 0 {' ./proxy
mutate "drain, waiting" proxy/server.go 'for s.open.Load() > int64(s.Covered.Open())+s.silent.Load() && ctx.Err() == nil {' 'for false {' ./proxy
mutate "drain, end of the patience" proxy/server.go 'for s.open.Load() > int64(s.Covered.Open())+s.silent.Load() && ctx.Err() == nil {' 'for s.open.Load() > int64(s.Covered.Open())+s.silent.Load() {' ./proxy
mutate "drain, end of sessions" proxy/server.go 's.Engine.Close()' '' ./proxy
mutate "drain, end of handshakes" proxy/server.go 's.half.closeAll()' '' ./proxy
mutate "drain at SIGTERM" node/node.go 'n.server.Shutdown(ctx)' 'stop, now := context.WithCancel(ctx); now(); n.server.Shutdown(stop)' ./node
mutate "reload, users declared in the file" node/node.go 'Users: users, First: first,' 'First: first,' ./node
mutate "grant looked at when the session is listed" proxy/conn.go 'why := live.Grant.Lost(); why != ""' 'why := live.Grant.Lost(); false && why != ""' ./proxy
mutate "grant looked at before the dial" proxy/conn.go 'if x.lost() { // the client' 'if false { // the client' ./proxy
mutate "grant looked at before the first bytes" proxy/conn.go 'if x.lost() { // the DC' 'if false { // the DC' ./proxy
mutate "grant given back at the end" proxy/conn.go 'b.grant.Release()' '' ./proxy
mutate "session tickets of the site in the learnt flight" proxy/coverprobe.go 'if r.writes++; r.writes > 1 {' 'if r.writes++; false {' ./proxy
mutate "asking the site for session tickets, as clients do" proxy/coverprobe.go 'ClientSessionCache: tls.NewLRUClientSessionCache(1)' 'ClientSessionCache: nil' ./proxy
mutate "accept errors are survived" proxy/server.go 'pause = min(max(2*pause' 'return err; pause = min(max(2*pause' ./proxy
# The seed's 2.3 and 3.x: keys, users, sealing, the record of changes.
mutate "keys, a lease on what is not accepted" security/keys/lease.go '!w.state().Accepted()' 'false' ./security/keys ./control
mutate "keys, erasure waits for leases" security/keys/lease.go 'w.borrows() == 0 && w.leases() == 0' 'w.borrows() == 0' ./security/keys
mutate "keys, erasure" security/keys/lease.go 'clear(k.Material())' '_ = k' ./security/keys
mutate "keys, at most two retire" security/keys/generations.go 'g.count(Retiring) >= MaxRetiring' 'false' ./security/keys
mutate "keys, overlap ends" security/keys/generations.go 'case due(x.RetireBy, now):' 'case false:' ./control
mutate "keys, overlap ends early" security/keys/generations.go 'case x.unused(active, now, s.Idle):' 'case false && x.unused(active, now, s.Idle):' ./control
mutate "keys, strength of imported secrets" control/users.go 'err := keys.CheckStrength(secret); err != nil' 'err := keys.CheckStrength(secret); false && err != nil' ./control
mutate "plane, level of the actor" control/apply.go 'if by.Level < c.least() {' 'if false {' ./control
mutate "plane, audit row" control/apply.go 'if err := x.done(c); err != nil {' 'if err := error(nil); err != nil {' ./control
mutate "plane, audit row of a refusal" control/apply.go 'return x.audit(c, auditlog.Refused, e.Text)' 'return nil' ./control
mutate "plane, dry run" control/apply.go 'if x.o.DryRun {' 'if false {' ./control
mutate "plane, idempotency" control/apply.go 'x.repeated(c); done || err != nil' 'x.repeated(c); false && done || err != nil' ./control
mutate "plane, idempotency for the same change only" control/apply.go 'if a.Change != digest(c) {' 'if false {' ./control
mutate "plane, stale revision" control/apply.go 'x.o.IfRevision != 0 && x.o.IfRevision != rev' 'false' ./control
mutate "plane, in force when it is said" control/apply.go 'ended, err := p.follow(ctx, x.result.Revision)' 'ended, err := 0, error(nil)' ./control
mutate "plane, state of keys" control/compile.go 'err := p.ring.Put(keys.Spec{' 'err := error(nil); _ = (keys.Spec{' ./control
mutate "plane, publication" control/compile.go 'p.parts.Live.Publish(&s)' '_ = s' ./control
mutate "plane, end of sessions" control/compile.go 'return p.parts.Sessions.Kill(' 'return (&auth.Sessions{}).Kill(' ./control ./node
mutate "plane, tripwires" control/compile.go 'k.State == keys.Revoked && now.Before(' 'false && now.Before(' ./control
mutate "plane, tripwires end" control/sweep.go 'if k.State == keys.Revoked && !k.Erased && !x.now.Before(' 'if false && !x.now.Before(' ./control
mutate "plane, erasure in the store" control/sweep.go 'gone := p.ring.Sweep()' 'gone := p.ring.Sweep()[:0]' ./control
mutate "plane, expiry of users" control/model.go '!now.Before(u.row.Expires)' 'false' ./control
mutate "plane, level none" control/model.go 'case u.row.Level == access.None:' 'case false && u.row.Level == access.None:' ./control
mutate "plane, disabled users" control/model.go 'case u.row.Disabled:' 'case false:' ./control
mutate "plane, quota" control/model.go 'u.row.QuotaBytes > 0 && u.period != 0 && u.used() >= u.row.QuotaBytes' 'false' ./control
mutate "plane, quota over a restart" control/usage.go 'spent.Up+spent.Down, p.flushed.totals[id]' '0*spent.Up, p.flushed.totals[id]' ./control
mutate "plane, usage counted once" control/usage.go 'p.run, t); err' 'p.run+now.String(), t); err' ./control
mutate "plane, schedule" control/sweep.go 'if at.IsZero() || at.Add(-announce).After(x.now) {' 'if true || at.Add(-announce).After(x.now) {' ./control
mutate "plane, schedule spreads" control/sweep.go 'return latest.Add(-back)' 'return latest.Add(0 * -back)' ./control
mutate "plane, reason of a revocation" control/rotate.go 'err := x.requireReason(); err != nil' 'err := x.requireReason(); false && err != nil' ./control
mutate "plane, clock that jumps" control/clock.go 'if step > jump || step < -jump {' 'if false {' ./control
mutate "plane, users who left the file" control/declare.go 'row.Source == store.FromFile && !wanted[row.Name]' 'false' ./control
mutate "plane, secrets are not used twice" security/keys/generations.go 'return nil, ErrKnown' 'return g, nil' ./control ./security/keys
mutate "plane, revoked keys do not open" control/seal.go 'if err := x.tx.EraseMaterial(k.ID); err != nil {' 'if err := error(nil); err != nil {' ./control
mutate "plane, rewrap after a crash" control/plane.go 'p.finishRewrap(ctx); err != nil' 'error(nil); err != nil' ./control
mutate "plane, old keys of the store are destroyed" control/seal.go 'if err := next.DropOld(vault.Columns); err != nil {' 'if false {' ./control
mutate "plane, who may take a backup" control/snapshot.go 'if err := may(by, access.Superuser' 'if err := may(by, access.None' ./control
mutate "plane, closed pages" control/compile.go 'if page.Closed.IsZero() {' 'if true {' ./control
mutate "store, sealed columns are bound to their place" control/store/sealing.go 'p.table + "|" + p.row' 'p.table + "|"' ./control/store/...
mutate "store, one process" control/store/sqlite/lock.go 'syscall.LOCK_EX' 'syscall.LOCK_SH' ./control/store/sqlite
mutate "store, newer versions" control/store/sqlite/check.go 'version > newest' 'false' ./control/store/sqlite
mutate "vault, associated data" security/vault/ring.go 'sealed[prefixSize:], ad)' 'sealed[prefixSize:], nil)' ./security/vault
mutate "vault, the master key is not printed" security/vault/kek.go 'io.WriteString(s, k.String())' 'io.WriteString(s, k.Encode())' ./security/vault
mutate "master key, readable by others" config/statedir/masterkey.go 'mode&forbidden != 0' 'mode&forbidden == 0o1777' ./config/statedir
mutate "backup, hash of the database" control/backup/open.go 'case sumOf(d.sum) != d.want:' 'case false:' ./control/backup
mutate "backup, logs of the old database" control/backup/restore.go 'x.keepOld, x.clearLogs, x.swap' 'x.keepOld, x.swap' ./control/backup
mutate "pages, guesses near a right address" control/pages/limits.go '!h.guesses.Take(key, nearGuesses, 0, now).Allowed' 'false && !h.guesses.Take(key, nearGuesses, 0, now).Allowed' ./control/pages
mutate "pages, rate of strangers" control/pages/limits.go '!h.rates.Check(narrow, h.strangers, now).Allowed' 'false' ./control/pages
mutate "pages, live addresses stay from the cover site" control/pages/pages.go 'path.replaced(h.mask(path.token))' 'path.replaced(path.token)' ./control/pages
mutate "pages, plain HTTP in private only" control/pages/serve.go '!private(l.Addr())' 'false' ./control/pages
mutate "admin, level of a route" control/admin/scopes.go 'case by.Level >= r.least:' 'case true:' ./control/admin
mutate "audit log, chain" security/auditlog/verify.go 'link(c.State.last, row.Canonical) != row.Hash' 'false' ./security/auditlog
mutate "audit log, checkpoints" security/auditlog/verify.go 'if checkpoint.Root == c.State.Root() {' 'if true {' ./security/auditlog
mutate "aead, purpose" security/aead/derive.go 'label(useDerive, 0, size, purpose, nil)' 'label(useDerive, 0, size, "x", nil)' ./security/aead
# The seed's 4.1, 4.2 and 6.x: who may do how much.
mutate "guard, budget of bytes" security/ratelimit/bytes.go 'return time.Duration(max(next-covered, 0))' 'return 0' ./security/ratelimit ./proxy/relay
mutate "guard, budget of bytes, debt at a new rate" security/ratelimit/bytes.go 'if old == word || old == 0 || word == 0 {' 'if true {' ./security/ratelimit
mutate "guard, pause of a direction" proxy/relay/pause_linux.go 's.way[w].until = int64(now + pause)' '_ = pause' ./proxy/relay
mutate "guard, pause of a direction, without loops" proxy/relay/goroutine.go 'p.pause(pause, budget)' 'p.pause(0*pause, budget)' ./proxy/relay
mutate "guard, pause ends with its budget" proxy/relay/pause_linux.go '&& budget.Owes(at) {' '{' ./proxy/relay
mutate "guard, pause is no silence" proxy/relay/session_linux.go 's.last = l.now // a pause' '_ = 0 // a pause' ./proxy/relay
mutate "guard, judgement of the hello" proxy/handshake/accept.go 'if !r.Judge.Hello(h) {' 'if false {' ./proxy/handshake
mutate "guard, judgement of the client before the answer" proxy/handshake/accept.go 'v.Result == stats.ResultOK && !r.Judge.Client(v.Grant, transport())' 'false' ./proxy/handshake
mutate "guard, grant of whom the judge refuses" proxy/handshake/accept.go 'v.Grant.Release() // refused' '' ./proxy/handshake
mutate "guard, rules on addresses" proxy/guard/levels.go 'return c.barredBy(access.ByAddress, ReasonAddressRule)' 'return Verdict{}' ./proxy
mutate "guard, rules on countries" proxy/guard/levels.go 'return c.barredBy(access.ByCountry, ReasonCountry)' 'return Verdict{}' ./proxy/guard
mutate "guard, rules on hellos" proxy/guard/levels.go 'return c.barredBy(access.ByPattern, ReasonPattern)' 'return Verdict{}' ./proxy
mutate "guard, each control by its own rules" proxy/guard/levels.go 'Ignore: all &^ own' 'Ignore: 0 * own' ./proxy/guard
mutate "guard, level none of a user" proxy/guard/levels.go 'c.Level != access.None {' 'true {' ./proxy
mutate "guard, lower of user and ceiling" proxy/conn.go 'x.Level = min(account.Level(), auth.HelloCeiling' 'x.Level = min(access.Superuser, auth.HelloCeiling' ./proxy
mutate "guard, ceiling of the address" proxy/conn.go 'auth.Ceiling(x.Policy, x.Addr.Addr(), x.User, x.At))' 'access.Superuser)' ./proxy
mutate "guard, budget of a level" proxy/auth/level.go 'x.Throttle.Set(x.Grant.Key().Account().Budgets(l))' '_ = l' ./proxy
mutate "guard, levels of live sessions" proxy/auth/level.go 'return !keep || l == access.None' 'return !keep' ./proxy
mutate "guard, connections of a user who may only read" proxy/auth/level.go 'most <= 0 || rated[account] <= most' 'most <= 0 || rated[account] > 0' ./proxy
mutate "guard, level looked at when the session is listed" proxy/conn.go 'now != x.Policy && !live.Follow(now, time.Now())' 'false && now != x.Policy' ./proxy
mutate "guard, shedding in the order of levels" proxy/auth/level.go 'left <= 0 || x.Level() != l' 'left <= 0' ./proxy
mutate "guard, connections of a network" proxy/guard/checks.go 'limit > 0 && c.FromPrefix > limit' 'limit > 0 && false' ./proxy
mutate "guard, connections of a user" proxy/guard/clients.go 'l.ConnectionsPerUser > 0 && c.UserOpen > l.ConnectionsPerUser' 'false' ./proxy
mutate "guard, connections of a secret" proxy/guard/clients.go 'limit > 0 && c.KeyOpen > limit' 'limit > 0 && false' ./proxy
mutate "guard, addresses of a user" proxy/guard/clients.go 'limit > 0 && c.UserAddrs > limit' 'limit > 0 && false' ./proxy
mutate "guard, allowed transports" proxy/guard/clients.go 'l.Allows(c.Transport, c.At)' 'true' ./proxy
mutate "guard, least transport" proxy/guard/clients.go 'case c.Transport < l.MinTransport:' 'case false:' ./proxy/guard
mutate "guard, age of secrets" proxy/guard/clients.go 'c.At.Sub(c.SecretSince) > l.MaxSecretAge' 'false' ./proxy/guard
mutate "guard, failed handshakes" proxy/guard/failures.go 'd := limiter.Take(narrow, limit, 0, c.At); !d.Allowed' 'd := limiter.Take(narrow, limit, 0, c.At); false && !d.Allowed' ./proxy
mutate "guard, failed handshakes, refund" proxy/guard/failures.go 'limiter.Forget(narrow)' '' ./proxy
mutate "guard, failed handshakes, unplugged" proxy/guard/pipeline.go 'l.Learn(c, r)' '_ = l' ./proxy
mutate "guard, overload" proxy/guard/overload.go 'if below == access.None {' 'if true {' ./proxy/guard
mutate "guard, candidates take nothing from anybody" proxy/guard/checks.go 'if c.candidate != nil {' 'if false {' ./proxy/guard
wire=node/wire.go
mutate "plugged in, overload at the door" $wire 'overload, // by' '// by' ./node
mutate "plugged in, overload by the level" $wire 'overload, // again' '// again' ./node
mutate "plugged in, rules on addresses" $wire 'guard.AddressRules{},' '' ./node
mutate "plugged in, rules on countries" $wire 'guard.OriginRules{},' '' ./node
mutate "plugged in, connections of a network" $wire 'guard.PerNetwork{},' '' ./node
mutate "plugged in, failed handshakes" $wire 'n.failures,' '' ./node
mutate "plugged in, rules on hellos" $wire 'guard.HelloRules{},' '' ./node
mutate "plugged in, level of the user" $wire 'guard.UserLevel{},' '' ./node
mutate "plugged in, allowed transports" $wire 'guard.AllowedTransports{},' '' ./node
mutate "plugged in, least transport" $wire 'guard.MinTransport{},' '' ./node
mutate "plugged in, strength of secrets" $wire 'guard.SecretStrength{},' '' ./node
mutate "plugged in, connections of a user" $wire 'guard.PerUser{},' '' ./node
mutate "plugged in, connections of a secret" $wire 'guard.PerKey{},' '' ./node
mutate "plugged in, addresses of a user" $wire 'guard.AddressesPerUser{},' '' ./node
mutate "overload, its measurement" node/node.go 'n.watchPressure(background)' '_ = n' ./node
mutate "overload, descriptors in use" node/pressure.go 'n.pressure.descriptors.Store(' '_ = (' ./node
mutate "overload, memory in use" node/pressure.go 'n.pressure.memory.Store(' '_ = (' ./node
mutate "overload, end of sessions, last of all" node/pressure.go 'n.sessions.Shed(access.Superuser+1, 1+n.sessions.Count()/shedShare, "overload")' '0' ./node
mutate "overload, no session ends in monitor" node/pressure.go 'mode != policy.Enforce ||' 'mode > policy.Enforce ||' ./node
mutate "read_only, upload budget without bytes.user" proxy/auth/level.go 'r.Level[access.ReadOnly] = rate(' '_ = (' ./proxy ./proxy/auth
mutate "read_only, download is free" security/usage/meters.go 'if way == 1 && access.Level(l) == access.ReadOnly {' 'if false {' ./security/usage
mutate "live, levels after a change" control/compile.go 'ended += p.regrade(now)' '_ = now' ./node ./control
mutate "live, levels after a list" control/lists.go 'p.regrade(now)' '_ = now' ./node ./control
mutate "live, levels when a time comes" control/sweep.go 'p.regrade(now)' '_ = now' ./node ./control
mutate "live, end of a rule is a time to look" control/compile.go 'p.regradeAt = p.table.Next(now)' '_ = now' ./node ./control
mutate "live, end of an exception is a time to look" control/compile.go 'for _, e := range p.exceptions.All() {' 'for _, e := range p.exceptions.All()[:0] {' ./node ./control
mutate "live, end of broken glass is a time to look" control/compile.go 'p.regradeAt = p.glass' '_ = now' ./node ./control
mutate "live, sessions are graded" control/compile.go 'return p.parts.Sessions.Apply(p.parts.Live.Load(), "not allowed any more", now)' 'return 0' ./node ./control
mutate "access, pinned addresses" security/access/check.go '(!pinned || t.hot[i].source == Operator) && t.counts(i, q)' 't.counts(i, q)' ./security/access ./control
mutate "access, time of rules" security/access/check.go 'return !h.timed || t.rules[rule].Active(q.Now)' 'return true' ./security/access ./control
mutate "access, trusted addresses of the file" control/rules.go 'for _, prefix := range p.trusted {' 'for _, prefix := range p.trusted[:0] {' ./control ./node
mutate "access, rules of the geography" control/rules.go 'rules = append(rules, p.effective.GeoRules(access.Standard)...)' '_ = rules' ./control
mutate "access, a new country file is used" control/declare.go 'p.fileLayer, p.trusted, p.geo = f.Policy, f.Trusted, f.Geo' 'p.fileLayer, p.trusted = f.Policy, f.Trusted' ./control ./node
mutate "access, a broken country file changes nothing" node/node.go 'where, err := geo(file)' 'where, _ := geo(file)' ./node
mutate "access, lock-out" control/rules.go 'err := x.guardAgainstLockOut(&row, rule); err != nil' 'err := error(nil); err != nil' ./control
mutate "access, lock-out without force" control/rules.go 'if !x.o.Force {' 'if false {' ./control
mutate "access, lock-out, ten minutes" control/rules.go 'row.ConfirmBy = x.now.Add(confirmWithin)' '_ = confirmWithin' ./control
mutate "access, a rule that nobody feels" control/rules.go 'untilText(row.Until) + x.watched(match, row.Level)' 'untilText(row.Until)' ./control
mutate "access, what is over goes" control/sweep.go 'p.report("expire", p.expire(ctx, now))' '_ = now' ./control
mutate "access, lock-out, end of what nobody confirmed" control/rules.go 'r.Until = row.ConfirmBy' '_ = r' ./control
mutate "access, lock-out, too late to confirm" control/rules.go 'row.ConfirmBy.IsZero() || !x.now.Before(row.ConfirmBy)' 'row.ConfirmBy.IsZero()' ./control
mutate "access, lock-out of peers" control/rules.go 'own = append(own, peers.Addr())' '_ = peers' ./control
mutate "lists, empty" security/access/parselist.go 'l.Len() == 0 && !o.AllowEmpty' 'false' ./security/access
mutate "lists, all of the Internet" security/access/parselist.go 'share > p.o.MaxShare' 'false && share > 0' ./security/access
mutate "lists, shrunk" security/access/list.go 'case was >= shrinkFrom && float64(is) < shrinkTo*float64(was):' 'case false:' ./security/access ./control
mutate "lists, grown" security/access/list.go 'case is >= growsFrom && is > growTo*was:' 'case false:' ./security/access
mutate "lists, shrunk or grown, unplugged" control/lists.go 'err = list.Guard(previous)' '_ = previous' ./control
mutate "lists, last good one over a restart" control/compile.go 'p.restoreLists()' '_ = p' ./control
mutate "lists, last good one is written down" control/lists.go 'err = writeWhole(p.listFile(name), data)' '_ = data' ./control
mutate "lists, read again in their time" control/sweep.go 'range p.dueLists(now) {' 'range p.dueLists(now)[:0] {' ./control
mutate "lists, over TLS alone" control/lists.go 'r.URL.Scheme != "https" || ' '' ./control
mutate "policy, reason to enforce" control/policies.go 'err := x.reasonToEnforce(changes); err != nil' 'err := error(nil); err != nil' ./control
mutate "policy, stale revision" control/policies.go 'return x.current(store.Revision(row.Number))' '_ = row; return nil' ./control
mutate "policy, values of the file" node/node.go 'values, err := layer(file)' 'values, err := layer(new(config.File))' ./node
mutate "policy, exceptions" security/policy/judge.go 'now); ok {' 'now); false && ok {' ./security/policy ./control
mutate "policy, exceptions in what is published" control/compile.go 's.Access, s.Exceptions, s.Glass = p.table, p.exceptions, p.glass' 's.Access, s.Glass = p.table, p.glass' ./control
mutate "policy, exceptions end when they are asked" security/policy/exception.go 'now.Before(s.Until) && !now.Before(s.From)' '!now.Before(s.From)' ./security/policy ./control
mutate "policy, hits of exceptions" security/policy/exception.go 's.use.hits.Add(1)' '_ = now' ./security/policy ./control
mutate "policy, hits of exceptions over a restart" control/usage.go 'f.hits[id] += n - p.counted[id]' '_ = n' ./control
mutate "policy, broken glass" security/policy/judge.go 'if now.Before(s.Glass) {' 'if false {' ./security/policy ./control
mutate "policy, broken glass mends itself" security/policy/judge.go 'if now.Before(s.Glass) {' 'if !s.Glass.IsZero() {' ./security/policy ./control
mutate "policy, broken glass, a day at most" control/policies.go 'if time.Duration(c.For) > maxGlass {' 'if false {' ./control
mutate "policy, bounds of memory have no mode" security/policy/judge.go 'if MemoryBound(control) {' 'if false {' ./security/policy
mutate "rollout, percentage" security/policy/judge.go 'c.Mode == Enforce && c.partial() && ' 'false && ' ./security/policy ./proxy/guard
mutate "rollout, percentage, a lot for each control" security/policy/judge.go 'n += copy(b[n:], control)' '_ = control' ./security/policy
mutate "rollout, percentage over a restart" node/node.go 'n.seed = lots(n.plane.Pseudonyms())' 'n.seed[0] = byte(time.Now().UnixNano())' ./node
mutate "rollout, candidates" proxy/guard/pipeline.go 'p.rehearse(s, c, limits, known, timed)' '_ = known' ./proxy/guard
mutate "rollout, candidates of the policy" security/policy/apply.go 'candidates[name] = &l' '_ = l' ./security/policy
mutate "rollout, gate, unplugged" control/policies.go 'err := x.throughTheGate(control, after.Control(control).Control); err != nil' 'err := error(nil); err != nil' ./control
mutate "rollout, gate, time" control/rollout.go 'case been < g.GateTime:' 'case false:' ./control
mutate "rollout, gate, decisions" control/rollout.go 'case r.Decisions < uint64(g.GateDecisions):' 'case false:' ./control
mutate "rollout, gate, known users" control/rollout.go 'case r.KnownRefused*whole > r.KnownDecisions*uint64(g.GateRefused):' 'case false:' ./control
mutate "rollout, gate, from off" control/rollout.go 'if was.Mode == policy.Off {' 'if false {' ./control
mutate "rollout, gate, audit of who forced it" control/rollout.go 'x.forced(control, waits)' '_ = waits' ./control
mutate "rollout, step back, unplugged" control/sweep.go 'p.report("step back", p.stepBack(ctx, now))' '' ./control
mutate "rollout, step back, what is tolerated" control/rollout.go '-tolerated*decided' '-0*tolerated*decided' ./control
mutate "rollout, step back, not what a rule decides" control/rollout.go 'case policy.AccessLevel, policy.AccessPattern, policy.GeoCountry:' 'case "":' ./control
mutate "rollout, step back, not what is for all" control/rollout.go '0 < share(c) && share(c) < 100' '0 < share(c)' ./control
mutate "rollout, decisions of the node" node/manage.go 'info.KnownRefused += c.KnownDecisions(v, stats.ModeEnforce)' '_ = v' ./node
mutate "bundle, signature" control/advisory/note.go 'if _, ok := errors.AsType[*note.UnverifiedNoteError](err); ok {' 'if e, ok := errors.AsType[*note.UnverifiedNoteError](err); ok { return e.Note.Text, nil }; if false {' ./control/advisory ./control
mutate "bundle, what loosens waits" control/bundle.go 'len(loose) > 0 {' 'false && len(loose) > 0 {' ./control
mutate "bundle, lists that loosen wait" control/bundleweigh.go 'change.Loosens = list.Level > row.Level || moved &&' 'change.Loosens = false && moved &&' ./control
mutate "bundle, older ones" control/bundle.go 'case b.number < s.Number:' 'case false:' ./control
mutate "bundle, too old" control/bundle.go 'case b.number > s.Number && x.now.Sub(b.time) > maxBundleAge:' 'case false:' ./control
mutate "bundle, gate of a rollout" control/bundle.go 'err = x.gates(w)' 'err = nil' ./control
mutate "bundle, approved as it was seen" control/bundle.go 'err := x.current(store.Revision(w.revision)); err != nil' 'err := error(nil); err != nil' ./control
mutate "bundle, looked for in its time" control/sweep.go 'p.report("bundle", p.checkBundles(ctx, now))' '' ./control
mutate "preview, by the policy asked about" control/preview.go 'preview.Run(records, now, &candidate,' 'preview.Run(records, now, now,' ./control
mutate "preview, by the geography asked about" control/preview.go 's.Access, err = access.Compile(rules, options)' '_, err = access.Compile(rules, options)' ./control
mutate "preview, what there is to preview" node/node.go 'n.record(background, &work)' '' ./node
mutate "preview, counts as a node does" control/preview/replay.go 'c.Open, c.FromAddr, c.FromPrefix = r.open.Enter(record.Addr)' 'r.open.Enter(record.Addr)' ./control/preview
mutate "limit check, counts nothing" proxy/guard/ask.go 'limiter.Take(narrow, limit, 0, now)' 'limiter.Take(narrow, limit, 1, now)' ./node
mutate "limit check, connections of an address" node/manage.go 'occupancy.FromAddr(addr), l.ConnectionsPerAddress' '0, l.ConnectionsPerAddress' ./node
mutate "limit check, new connections" node/manage.go 'rates(policy.RateAccept, n.accepts.Ask' 'rates(policy.RateAccept, n.failures.Ask' ./node
mutate "usage, by which transport a user comes" proxy/conn.go 'account.Came(t, x.At)' '_ = account' ./proxy
mutate "advisory, hash of a module" control/advisory/prove.go 'case slices.Contains(lines, want):' 'case len(want) > 0 || slices.Contains(lines, want):' ./control/advisory
mutate "advisory, tree head of before" control/advisory/prove.go 'o.latest, err = o.heads.ReadFile(headName(file))' '_ = headName(file)' ./control/advisory
mutate "advisory, tree head for later" control/advisory/prove.go 'err = o.heads.WriteFile(headName(file), fresh)' '_ = headName(file)' ./control/advisory
mutate "advisory, hash that nobody proved" control/advisory/prove.go 'r.Count(Proven) == len(r.Modules)' 'r.Count(Differs) == 0' ./control/advisory
mutate "advisory, old vulnerability data" control/advisory/scan.go 'if report.Stale && s.Class == Unaffected {' 'if false {' ./control/advisory
mutate "advisory, functions that cannot be listed" control/advisory/scan.go 'case !symbols.Known():' 'case false:' ./control/advisory
mutate "advisory, vulnerability that names no code" control/advisory/scan.go 'case len(a.Specific.Imports) == 0:' 'case false:' ./control/advisory
mutate "advisory, unknown is no pass" control/advisory/scan.go 'r.Count(Reachable) == 0 && r.Count(Unknown) == 0' 'r.Count(Reachable) == 0' ./control/advisory
mutate "advisory, vulnerability that came back" control/advisory/osv.go 'case e.kind == from && c >= 0:' 'case e.kind == from && c >= 0 && e.at == "":' ./control/advisory
mutate "advisory, signature of a file" control/advisory/minisign.go 'if !ed25519.Verify(public, message, s.sig[:]) {' 'if false {' ./control/advisory
mutate "advisory, signature of its comment" control/advisory/minisign.go 's.comment...), s.global[:]) {' 's.comment...), s.global[:]) && false {' ./control/advisory
mutate "advisory, list of releases of before" control/advisory/release.go 'if at.Before(before) {' 'if false {' ./control/advisory
mutate "advisory, list of releases held back" control/advisory/release.go 'now.Sub(at) > maxReleaseAge' 'false' ./control/advisory
mutate "advisory, release that is newer" control/advisory/release.go 'semver.Compare(v, running) > 0' 'false' ./control/advisory
mutate "advisory, place without TLS" control/advisory/source.go 'r.URL.Scheme != "https" || len(via) > maxRedirects' 'len(via) > maxRedirects' ./control/advisory
mutate "advisory, length of an answer" control/advisory/source.go 'int64(len(data)) > most' 'false' ./control/advisory
mutate "advisory, bulletin that allows again" control/advisory/bulletin.go 'if is.Use < was.Use {' 'if false {' ./control/advisory
mutate "advisory, bulletin that forbids later" control/advisory/bulletin.go 'is.From.After(was.From)' 'false' ./control/advisory
mutate "advisory, bulletin that loosens" control/bulletin.go 'if why := b.Loosens(before); why != "" {' 'if why := b.Loosens(before); why == "x" {' ./control
mutate "advisory, bulletin of before" control/bulletin.go 'case b.Number < s.Number:' 'case false:' ./control
mutate "advisory, forbidden suite" control/bulletin.go 'case s.bulletin.Use(suite, s.now) == advisory.Forbidden:' 'case false:' ./control
mutate "advisory, suite that the policy leaves out" control/bulletin.go 'case !slices.Contains(s.policy, suite):' 'case false:' ./control
mutate "advisory, suite of a seal" control/seal.go 'suite, err = allowed.pick(suite)' '_ = suite' ./control
mutate "advisory, bulletins of a node" node/node.go 'n.watcher.checker.Bulletin = n.plane.TakeFetchedBulletin' '' ./node
mutate "advisory, unplugged" node/node.go 'work.Go(func() { n.watcher.run(background) })' '' ./node
# The seed's 5.2: who is told what is wrong, and that it arrives.
mutate "alerts, what failed stays" control/alert/worker.go 'if f := w.deliver(ctx, messages); f != nil {' 'if f := w.deliver(ctx, messages); false && f != nil {' ./control/alert
mutate "alerts, what was delivered is not sent again" control/alert/worker.go 'if !w.gone[b.seq] && len(out) < n {' 'if len(out) < n {' ./control/alert
mutate "alerts, the receiver says how long to wait" control/alert/worker.go 'return max(backOff(w.failures, w.lot), f.after)' 'return backOff(w.failures, w.lot)' ./control/alert
mutate "alerts, pace of a receiver" control/alert/worker.go 'w.pacing = wait > 0' 'w.pacing = false' ./control/alert
mutate "alerts, sent again while active" control/alert/worker.go 'case KindAlertmanager, KindPing:' 'case KindPing:' ./control/alert
mutate "alerts, dead man's ping" control/alert/watch.go 'if a.Severity >= least && !a.Silenced {' 'if a.Severity > Critical {' ./control/alert
mutate "alerts, for" control/alert/engine.go 'if now.Sub(s.pending) < s.c.For {' 'if false {' ./control/alert
mutate "alerts, hysteresis" control/alert/engine.go 'if value > s.clear {' 'if value > s.threshold {' ./control/alert
mutate "alerts, time to keep firing" control/alert/engine.go 'if now.Sub(s.quiet) < s.c.Keep {' 'if false {' ./control/alert
mutate "alerts, IDs after a restart" control/alert/engine.go 's.alert = &active[i]' '_ = i' ./control/alert
mutate "alerts, maintenance windows" control/alert/silence.go '!now.Before(s.From) && now.Before(s.Until)' 'false' ./control/alert
mutate "alerts, least severity of a receiver" control/alert/manager.go 'msg.Severity >= r.MinSeverity' 'true' ./control/alert
mutate "alerts, what is lost is said" control/alert/manager.go 'if err == nil && n > 0 {' 'if false {' ./control/alert
mutate "alerts, memory while the store takes nothing" control/alert/manager.go 'm.hold(e.to, e.m)' '_ = e' ./control/alert
mutate "alerts, bound of a queue" control/store/outbox.go 'o.Receiver, o.Receiver, MaxOutbox)' 'o.Receiver, o.Receiver, 2*MaxOutbox)' ./control/alert
mutate "alerts, redirects" control/alert/http.go 'return http.ErrUseLastResponse' 'return nil' ./control/alert
mutate "alerts, bound of an answer" control/alert/http.go 'io.LimitReader(response.Body, maxAnswer)' 'response.Body' ./control/alert
mutate "alerts, secrets in errors" control/alert/receiver.go 'if len(secret) > 3 {' 'if false {' ./control/alert
mutate "alerts, certificate of a collector" control/alert/receiver.go 'ServerName: host, ' 'ServerName: host, InsecureSkipVerify: true, ' ./control/alert
mutate "alerts, signature over ID and time" control/alert/webhook.go '[]byte(id + "." + timestamp + ".")' 'nil' ./control/alert
mutate "alerts, answer of a collector" control/alert/syslog.go 'io.LimitReader(c, maxAnswer)); err != nil {' 'io.LimitReader(c, maxAnswer)); false && err != nil {' ./control/alert
mutate "alerts, escapes of syslog" control/alert/syslog.go '`"`, `\"`, ' '' ./control/alert
mutate "alerts, incidents in OCSF" control/alert/ocsf.go 'if m.Kind == KindIncident {' 'if false {' ./control/alert
mutate "alerts, unplugged" node/node.go 'work.Go(func() { n.alerts.Run(background) })' '' ./node
# The seed's 2.1: audits.
mutate "audits, unplugged" node/node.go 'work.Go(func() { n.plane.RunAudits(background) })' '' ./node
mutate "audits, checks of keys" control/audit/checks.go 'policyChecks, keyChecks, useChecks' 'policyChecks, useChecks' ./control/audit
mutate "audits, what the node tells" node/manage.go 'Around:    n.around(),' '' ./node
mutate "audits, view that fails" control/audit/checks.go 'return []Finding{Unknown("the check", err' 'return []Finding(nil)[:0]; _ = []Finding{Unknown("the check", err' ./control/audit
mutate "audits, check that panics" control/audit/audit.go 'if value := recover(); value != nil {' 'if value := any(nil); value != nil {' ./control/audit
mutate "audits, checks that were not asked" control/audit/audit.go 'if within.Err() != nil {' 'if false {' ./control/audit
mutate "audits, file that cannot be looked at" control/audit/host.go 'if x.Err != nil {' 'if false {' ./control/audit
mutate "audits, modes of files" control/audit/host.go 'if x.Mode.Perm()&^x.Most.Perm() != 0 {' 'if false {' ./control/audit
mutate "audits, one finding for ever" control/audit/merge.go 'seen(known[f.ID], f, r.Started)' 'seen(store.Finding{}, f, r.Started)' ./control/audit
mutate "audits, what is gone is fixed" control/audit/merge.go 'f.State, f.Fixed = StateFixed, r.Started' '_ = f' ./control/audit
mutate "audits, unknown fixes nothing" control/audit/merge.go '(f.Unknown || !unmade[f.Check])' 'true' ./control/audit
mutate "audits, end of what was said" control/audit/merge.go '&& !now.Before(f.Until) {' '&& false {' ./control/audit
mutate "audits, worse than what was accepted" control/audit/merge.go 'StateAt(was, now) == StateOpen, worse:' 'StateAt(was, now) == StateOpen, worse && false:' ./control/audit
mutate "audits, findings of one check are bounded" control/audit/merge.go 'if len(found) <= PerCheck {' 'if true {' ./control/audit
mutate "audits, one at a time" control/audits.go 'a.turn = make(chan struct{}, 1)' 'a.turn = make(chan struct{}, 9)' ./control
mutate "audits, made up after a downtime" control/audit/schedule.go 'if due.Before(earliest) {' 'if due = due.Add(every); due.Before(earliest) {' ./control/audit
mutate "audits, schedule over a restart" control/audits.go 'a.last, a.score = audit.Past{Started: last.Started, Failed: last.Problem != ""}, last.Score' 'a.score = last.Score' ./control
mutate "audits, who may accept a risk" control/findings.go 'func (AcceptFinding) least() access.Level    { return access.Superuser }' 'func (AcceptFinding) least() access.Level    { return access.Admin }' ./control
mutate "audits, a reason for what is said" control/findings.go 'if err := x.requireReason(); err != nil {' 'if err := error(nil); err != nil {' ./control
mutate "audits, drift of what is in force" control/auditview.go 'c.Declared, c.Effective = p.effective.Control(name).Control.String(), met.String()' 'c.Declared, c.Effective = met.String(), met.String()' ./control
mutate "audits, age of a control in its mode" control/auditview.go 'case first && !born.IsZero():' 'case (first || true) && !born.IsZero():' ./control
mutate "audits, sightings of the last day" control/auditview.go 'tx.CountSightings(store.SeenUsing, now.Add(-useWindow))' 'tx.CountSightings(store.SeenUsing, now.Add(-99*useWindow))' ./control
mutate "audits, metrics" node/totals.go 'stats.AuditFindings(n.auditCounts), stats.AuditLastSuccess(n.lastAudit)})' '})' ./node
mutate "audits, exit code of what could not be told" cmd/mtguard/audit.go 'case unmade > 0:' 'case false:' ./cmd/mtguard
mutate "threat, unplugged from the events" node/node.go 'n.guardThreats(background, &work)' '' ./node
mutate "threat, suspects unplugged from the door" node/wire.go 'n.suspects,' '' ./node
mutate "threat, blocks unplugged from the plane" node/threat.go 'result, err := r.n.plane.Apply(ctx, control.ThreatActor, c, control.Options{Reason: "attacks"})' 'result, err := control.Result{}, error(nil); _ = c' ./node
mutate "threat, guard of shared addresses" control/threat/ladder.go 'case r > throttled && g.o.Regular(f.Addr, f.Time):' 'case false:' ./control/threat
mutate "threat, guard of shared addresses at the door" proxy/guard/suspects.go 'if v.Action != Allow && s.Regular(c.Addr.Addr(), c.At) {' 'if false {' ./proxy/guard
mutate "threat, guard of shared addresses in the plane" control/threats.go 'return d.Pinned || x.p.Present(prefix, x.now) || len(x.p.lately(prefix, x.now, 1)) > 0' 'return d.Pinned' ./control
mutate "threat, pinned addresses" control/threat/ladder.go 'case d.Pinned:' 'case false:' ./control/threat
mutate "threat, exceptions" control/threat/ladder.go 'case exception != "":' 'case exception == "none":' ./control/threat
mutate "threat, budget of blocks" control/threat/ladder.go '+1 > float32(perMinute) {' '+1 < 0 {' ./control/threat
mutate "threat, monitor" control/threat/ladder.go 'if enforced && stage != guard.Trusted' 'if stage != guard.Trusted' ./control/threat
mutate "threat, decay of scores" control/threat/ladder.go 'math.Exp2(-age)' 'math.Exp2(0*age)' ./control/threat
mutate "threat, growth of blocks" control/threat/ladder.go 'n = min(n+1, uint8(len(terms)))' '_ = n' ./control/threat
mutate "threat, sessions go on" proxy/auth/level.go 'Now: now, Ignore: access.ByThreat}' 'Now: now}' ./control
mutate "threat, what was only counted" control/threat/ladder.go 'return mode != policy.Enforce' 'return mode != policy.Enforce || true' ./control/threat
mutate "threat, blocks that failed" control/threat/engine.go 'g.undo(b.Prefix)' '_ = b' ./control/threat
mutate "threat, room for new blocks" control/threats.go 'if len(goers) == 0 {' 'if true {' ./control
mutate "incidents, what contained one" control/incidents.go '(row.Source == store.FromAutomatic || containedBy(n, row))' 'row.Source == store.FromAutomatic' ./control
mutate "threat, failed handshakes of suspects" proxy/conn.go 'x.s.Suspects.Slowed(&x.Conn)' 'false' ./node
mutate "threat, probe scans" control/threat/probe.go 'p.kinds[kind] = now' '' ./control/threat
mutate "threat, replays" control/threat/keys.go 'level > replayMost' 'level > 100' ./control/threat
mutate "threat, moving clocks" control/threat/keys.go 'x.most-x.least >= clockMoves' 'false' ./control/threat
mutate "threat, leaked links" control/threat/keys.go 'asns >= asnsDay,' 'false,' ./control/threat
mutate "threat, countries of a link" control/threat/keys.go 'countries >= countriesDay,' 'false,' ./control/threat
mutate "threat, secrets that wake up" control/threat/keys.go 'slept >= sleeps' 'false' ./control/threat
mutate "threat, drift" control/threat/drift.go 'x.sum[0] <= driftMost' 'true' ./control/threat
mutate "threat, tripwires" control/threat/keys.go 'if e.Kind != event.Tripwire || e.Key == "" {' 'if true {' ./control/threat
mutate "incidents, exception of a false positive" control/incidents.go 'if err := e.apply(x); err != nil {' 'if false {' ./control
mutate "incidents, one for the same" control/incidents.go 'n, err := tx.OpenIncident(note.Detector, note.Subject)' 'n, err := store.Incident{}, error(store.ErrNotFound)' ./control
# The seed's 4.4: blocks in the kernel.
mutate "kernel blocks, what a pin covers" security/access/refused.go '!d.Pinned && ' '' ./security/access
mutate "kernel blocks, what is spared" security/access/refused.go ' && !slices.ContainsFunc(spared, func(p netip.Prefix) bool { return p.Contains(at) })' '' ./security/access
mutate "kernel blocks, only what is enforced" control/blocked.go 'case c.Mode != policy.Enforce:' 'case false:' ./control
mutate "kernel blocks, each by its own control" security/access/refused.go 'r.control()&ignore == 0 && ' '' ./security/access
mutate "kernel blocks, what a control does not enforce" control/blocked.go 's.ignore |= own.rules' '_ = own.rules' ./control
mutate "kernel blocks, exceptions" control/blocked.go 'case idle == "":' 'case false:' ./control
mutate "kernel blocks, loopback in an order" fw/order.go 'if l.Overlaps(p) {' 'if l.Overlaps(p) && false {' ./fw
mutate "kernel blocks, time-out of an element" fw/plan.go 'end := now.Add(hold)' 'end := now.Add(1000 * hold)' ./fw
mutate "kernel blocks, undo" fw/plan.go 'if !wanted[p] && now.Before(stands) {' 'if false && now.Before(stands) {' ./fw
mutate "kernel blocks, a node that is silent" fw/run.go 'k.complain("the node does not answer; what is blocked in the kernel runs out", err)' 'k.settle(time.Now())' ./fw
mutate "kernel blocks, table of somebody else" fw/kernel_linux.go 'if comment, ok := userdata.GetString(rules[0].UserData, userdata.TypeComment); !ok || comment != mark {' 'if comment, ok := userdata.GetString(rules[0].UserData, userdata.TypeComment); ok && comment != mark {' ./fw
mutate "kernel blocks, established connections" fw/kernel_linux.go 'equal([]byte{syn}),' '&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: []byte{fin}},' ./fw
mutate "kernel blocks, other ports" fw/kernel_linux.go 'equal(port(at)),' '&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: port(1)},' ./fw
mutate "kernel blocks, loopback interface" fw/kernel_linux.go 'equal(binary.NativeEndian.AppendUint16(nil, unix.ARPHRD_LOOPBACK)),' 'equal(binary.NativeEndian.AppendUint16(nil, unix.ARPHRD_VOID)),' ./fw
mutate "kernel blocks, unplugged" cmd/mtguard/fw.go 'order.Blocks = append(order.Blocks, block)' '_ = block' ./cmd/mtguard
mutate "incidents, told to receivers" node/manage.go 'Incident:  n.tellIncident,' '' ./node
# The seeds 5.2: compliance reports.
mutate "reports, the body of a sealed file" control/report/seal.go 'case details[detailSum] != v.Sum:' 'case false:' ./control/report
mutate "reports, a seal written in another way" control/report/seal.go 'if sealText(in) != text {' 'if false {' ./control/report
mutate "reports, signatures of others in a seal" control/report/seal.go 'if err := strictNote(in.Checkpoint); err != nil {' 'if err := strictNote(nil); err == nil {' ./control/report
mutate "reports, rows that are of no report" control/report/seal.go 'case e.Action != Action || e.Outcome != auditlog.Done:' 'case false:' ./control/report
mutate "reports, the chain of a proven row" security/auditlog/inclusion.go 'case link(i.After, i.Row.Canonical) != i.Row.Hash:' 'case false:' ./security/auditlog
mutate "reports, the tree of a proven row" security/auditlog/inclusion.go 'tlog.RecordHash(i.Row.Hash[:])); err != nil {' 'tlog.RecordHash(i.Row.Hash[:])); err != nil && false {' ./security/auditlog
mutate "reports, formulas in CSV" control/report/render.go 'if text != "" && strings.ContainsRune(' 'if false && strings.ContainsRune(' ./control/report
mutate "reports, marks in Markdown" control/report/render.go 'if strings.ContainsRune(marks, r) {' 'if false {' ./control/report
mutate "reports, unknown is no pass" control/report/compose.go 'case n[Unknown] > 0:' 'case false:' ./control/report
mutate "reports, audits that are too old" control/report/compose.go 'case c.facts.Until.Sub(a.Started) > fresh:' 'case false:' ./control/report
mutate "reports, accepted risks are no pass" control/report/compose.go 'answer.Result, answer.Text = Partly, count(len(accepted)' 'answer.Result, answer.Text = Met, count(len(accepted)' ./control/report
mutate "reports, acceptances that ended" control/reportfacts.go 'l.endAcceptances()' '_ = l.audits' ./control
mutate "reports, rows after the period" control/reportfacts.go 'if at > until {' 'if at > until && since > until {' ./control
mutate "reports, audits after the period" control/reportfacts.go 'if run.Started.Add(run.Took).After(l.until) {' 'if false {' ./control
mutate "reports, incidents after the period" control/reportfacts.go 'err == nil && !m.At.After(l.until) {' 'err == nil {' ./control
mutate "reports, users removed after the period" control/reportfacts.go 'if !u.Removed.After(l.until) {' 'if true {' ./control
mutate "reports, usage that is not kept" control/reportfacts.go 'if dayOf(d) < kept {' 'if dayOf(d) < kept && false {' ./control
mutate "reports, hash of what an audit left" control/auditrecord.go 'Value: report.Digest(record)}' 'Value: report.Digest(score)}' ./control
mutate "reports, modes of the file" control/declare.go 'declareModes{fileModes(f.Policy.Document)}' 'declareModes{nil}' ./control
mutate "reports, broken glass" control/reportmodes.go 'if s.glass != nil && at.Before(s.glassUntil)' 'if false && at.Before(s.glassUntil)' ./control
mutate "reports, row of a sealed one" control/reports.go 'if _, err = tx.Audit(e); err != nil {' 'if false {' ./control
mutate "reports, periods to come" control/report/report.go 'case until.After(now):' 'case false:' ./control
mutate "reports, exit code of an altered one" cmd/mtguard/report.go 'if err == nil && refused != nil {' 'if err == nil && false {' ./cmd/mtguard
mutate "leaks, the leaked secret is withdrawn" control/leaks.go 'if err := x.withdraw(&row, before, overlap); err != nil {' 'if err := x.withdraw(&row, nil, overlap); err != nil {' ./control
mutate "leaks, a leaked secret ends as tripwire" security/keys/generations.go 'case x.Reason == Leaked && (due(x.RetireBy, now) || x.unused(active, now, s.Idle)):' 'case false:' ./security/keys ./control
mutate "leaks, names that are taken" control/leaks.go 'if err == nil && name != row.Name {' 'if false {' ./control
mutate "leaks, incidents of others" control/leaks.go 'case !about:' 'case !about && false:' ./control
mutate "leaks, incident stays open" control/leaks.go 'n.State = IncidentContained' '' ./control
mutate "leaks, lineage of an incident" control/incidents.go 'if info.Lineage, err = lineageNamed(tx, row.User); err != nil {' 'if info.Lineage, err = nil, nil; err != nil {' ./control
mutate "leaks, lineage of findings" control/lineage.go 'f.Lineage = text' '_ = text' ./control
mutate "leaks, chain of lineage" control/lineage.go 'userID = s.FromID' '_ = userID' ./control
mutate "leaks, bound of splits" control/store/split.go 'if err := tx.roomForSplit(); err != nil {' 'if err := error(nil); err != nil {' ./control/store/sqlite
mutate "reports, signature over the log" control/report/seal.go '_, checkpoint, err := in.Verify(keys...)' '_, checkpoint, err := auditlog.Entry{}, auditlog.Checkpoint{}, error(nil)' ./control/report
mutate "sign-in, digest in full" security/token/token.go 'subtle.ConstantTimeCompare(d[:], of[:]) == 1' 'subtle.ConstantTimeCompare(d[:0], of[:0]) == 1' ./security/token
mutate "sign-in, kind of a token" security/token/token.go 'text[:kindLength] != string(kind)' 'false' ./security/token
mutate "sign-in, token expiry" control/credentials.go 'row.Ended.IsZero() && now.Before(row.Expires)' 'row.Ended.IsZero()' ./control
mutate "sign-in, token revocation" control/credentials.go 'row.Ended.IsZero() && now.Before(row.Expires)' 'now.Before(row.Expires)' ./control
mutate "sign-in, token sources" control/credentials.go 'right && inside &&' 'right && (inside || true) &&' ./control
mutate "sign-in, ceiling of the source" control/credentials.go 'id.Actor.Level = min(id.Granted, p.Ceiling(from))' 'id.Actor.Level = id.Granted' ./control
mutate "sign-in, idle end" control/credentials.go 'now.Sub(last) >= SessionIdle' 'false' ./control
mutate "sign-in, end of every session" control/credentials.go 'return !now.Before(s.Expires) ||' 'return' ./control
mutate "sign-in, clock set back" control/credentials.go 'ahead := now.Add(clockSlack)' 'ahead := now.Add(clockSlack + 240*time.Hour)' ./control
mutate "sign-in, a token that ended stays ended" control/store/credential.go 'UPDATE tokens SET ended = expires WHERE ended = 0' 'UPDATE tokens SET ended = 0 WHERE ended = 0' ./control
mutate "sign-in, a sweep behind a revocation" control/store/credential.go 'UPDATE tokens SET last_used = ?' 'UPDATE tokens SET ended = 0, last_used = ?' ./control ./control/store/sqlite
mutate "sign-in, tokens end by time" control/credentials.go 'if err := tx.EndTokens(now); err != nil {' 'if err := error(nil); err != nil {' ./control
mutate "sign-in, a code once" control/store/credential.go 'DELETE FROM sign_in_codes WHERE seq = ?' 'UPDATE sign_in_codes SET id = id WHERE seq = ?' ./control
mutate "sign-in, a proof once" control/store/credential.go 'INSERT INTO spent (id, until) VALUES (?, ?) ON CONFLICT DO NOTHING' 'INSERT OR REPLACE INTO spent (id, until) VALUES (?, ?)' ./control
mutate "sign-in, another cookie after a step-up" control/passkeys.go 'out.draw(&s)' 'out.draw(&s); s.Seq = 0' ./control
mutate "sign-in, a code is no passkey" control/signin.go 'if have == nil {' 'if have == nil || true {' ./node
mutate "sign-in, enrol only when fresh" control/passkeys.go 'if !p.MayEnrol(id) {' 'if false {' ./control
mutate "sign-in, step-up" control/admin/web.go '!safe(r.Method) && !id.Fresh(s.now())' 'false' ./control/admin
mutate "sign-in, host" control/admin/web.go 'case s.named(name):' 'case name != "":' ./control/admin
mutate "sign-in, cookie of another name" control/admin/web.go 'id.Session != "" && id.Host != host' 'false' ./control/admin
mutate "dashboard, its page in no cache" control/admin/web/web.go '"no-store") // whoever' '"no-cache") // whoever' ./control/admin/web
mutate "sign-in, a code in a session's place" control/admin/auth.go 'ok && !in.Instead' 'ok && false' ./control/admin
mutate "sign-in, end of the session before" control/admin/auth.go 'if before.Session == "" {' 'if true {' ./control/admin
mutate "sign-in, port of a host" control/admin/web.go 'strings.Trim(port, "0123456789") != ""' 'false' ./control/admin
mutate "sign-in, cross-origin" control/admin/web.go ' || crossOriginProtection.Check(r) != nil' '' ./control/admin
mutate "sign-in, cross-origin reading" control/admin/web.go 'site != "" && site != "same-origin"' 'site == "x" && site != "same-origin"' ./control/admin
mutate "sign-in, two sessions at once" control/admin/web.go 'ok && known < 2' 'ok' ./control/admin
mutate "sign-in, content policy" control/admin/web.go 'h.Set("Content-Security-Policy", contentPolicy)' '' ./control/admin
mutate "sign-in, slow guesses" control/admin/web.go 'if s.guesses.mayGuess(from, s.now()) {' 'if true {' ./control/admin
mutate "sign-in, one answer for strangers" control/admin/auth.go 'case do == nil:' 'case false:' ./control/admin
mutate "sign-in, enrolment before exposure" control/admin/web.go 'if s.Remote && !s.enrolled(&c, host) {' 'if false {' ./control/admin
mutate "sign-in, scopes" control/admin/scopes.go 'case c != nil && !r.within(c.Scopes):' 'case false:' ./control/admin
mutate "sign-in, codes over the socket only" control/admin/tokens.go 'if callerOf(ctx) != nil {' 'if false {' ./control/admin
mutate "two people, not the same" control/approvals.go 'if mayBeOne(row.Person, personOf(by)) {' 'if false {' ./control
mutate "two people, unplugged" control/approvalclass.go 'slices.Contains(x.p.TwoPerson(), class)' 'slices.Contains(x.p.TwoPerson()[:0], class)' ./control
mutate "two people, once" control/approvals.go 'case row.State != approvalPending:' 'case false:' ./control
mutate "two people, expiry" control/approvals.go 'case !x.now.Before(row.Expires) || row.Asked.After(x.now.Add(clockSlack)):' 'case false:' ./control
mutate "sign-in, a code is no passkey at another host either" control/signin.go 'func(k store.Passkey) bool { return k.Person == row.Person }' 'func(k store.Passkey) bool { return k.Person == row.Person && k.Host == c.where.Host }' ./control
mutate "sign-in, a code enrols beside no passkey" control/passkeys.go 'return len(have) == 0' 'return len(have) >= 0' ./control
mutate "sign-in, a code enrols beside no passkey, in the transaction" control/passkeys.go 'if !c.fresh && slices.ContainsFunc(' 'if false && slices.ContainsFunc(' ./control
mutate "sign-in, the first passkey ends other sessions" control/passkeys.go 'if err := x.endOthers(c.id); err != nil {' 'if false {' ./control
mutate "sign-in, a passkey is made once" control/passkeys.go 'if err := x.spend(c.proof); err != nil { // of the device' 'if err := error(nil); err != nil { // of the device' ./control
mutate "two people, a code may be who made it" control/signin.go 'Owner: eitherOf(nameOf(row.Person), row.Owner), Via' 'Owner: nameOf(row.Person), Via' ./control
mutate "two people, a code may be whom it names" control/signin.go 'Owner: eitherOf(nameOf(row.Person), row.Owner), Via' 'Owner: row.Owner, Via' ./control
mutate "two people, root is root in the dashboard" control/person.go 'return "uid " + m[1]' 'return person' ./control
mutate "two people, the passkey says who it is" control/passkeys.go 's.Passkey, s.Fresh, s.Owner = key.ID, x.now, key.Owner' 's.Passkey, s.Fresh = key.ID, x.now' ./control
mutate "two people, looked at again in the transaction" control/approvals.go 'row, _, err := x.toApprove(x.approval.id)' 'row, err := x.tx.Approval(x.approval.id)' ./control
mutate "two people, a rollback" control/approvalclass.go 'func (RollbackPolicy) class(*Plane) string { return ClassEnforce }' '' ./control
mutate "two people, the next stage" control/approvalclass.go 'func (RolloutNext) class(*Plane) string    { return ClassEnforce }' '' ./control
mutate "two people, whose bundles" control/approvalclass.go 'func (SetBundles) class(*Plane) string      { return ClassEnforce }' '' ./control
mutate "two people, the end of a trial that loosened" control/approvalclass.go '!bitesAgain(p.trials[at].Changes)' '!bitesAgain(nil)' ./control
mutate "two people, the end of a trial that begins meanwhile" control/trials.go 'if x.alone(ClassEnforce) {' 'if false {' ./control
mutate "trials, an admin enforces by ending one" control/trials.go 'if x.by.Level < access.Superuser {' 'if false {' ./control
mutate "two people, a token that is revoked" control/approvals.go 't.Ended.IsZero() && x.now.Before(t.Expires)' 'x.now.Before(t.Expires)' ./control
mutate "two people, a token that is over" control/approvals.go 't.Ended.IsZero() && x.now.Before(t.Expires)' 't.Ended.IsZero()' ./control
mutate "two people, a passkey that is gone" control/approvals.go 'good = key != nil' 'good = key != nil || true' ./control
mutate "two people, a session that was ended" control/signin.go 'if err := x.takeBack(askedIn(s)); err != nil {' 'if false {' ./control
mutate "two people, what a revoked token asked for" control/tokens.go 'return asker.Token == row.ID' 'return false' ./control
mutate "two people, what was asked for with a passkey" control/passkeys.go 'return asker.Passkey == key.ID ||' 'return' ./control
mutate "two people, what a session of the passkey asked for" control/passkeys.go 's.Passkey == key.ID && askedIn(s)(asker)' 'false' ./control
mutate "two people, what a session before the first passkey asked for" control/passkeys.go 'if err := x.takeBack(askedIn(s)); err != nil {' 'if false {' ./control
mutate "two people, nobody fills the queue" control/store/passkey.go 'MaxPendingOf, a.Person); err != nil' 'MaxPending, a.Person); err != nil' ./control
mutate "two people, a full queue names the way out" control/approvals.go 'case errors.Is(err, store.ErrTooMany):' 'case false:' ./control
mutate "audit log, whom a code is for" control/apply.go 'c = open.completed(by)' '_ = open' ./control
mutate "audit log, why something was not allowed" control/admin/server.go 'actor(ctx), r.id, p.Detail)' 'actor(ctx), r.id, p.Title)' ./control/admin
mutate "audit log, each answer once" control/refusals.go '&& !slices.Contains(r.why, why)' '' ./control
mutate "rollout, nobody is asked about what the gate refuses" cmd/mtguard/prompt.go 'if c.yes || c.dryRun { // nobody is asked' 'if true {' ./cmd/mtguard
mutate "two people, no revision" control/approvals.go 'if err := x.noObject(); err != nil { // of an approval' 'if err := error(nil); err != nil { // of an approval' ./control
mutate "two people, who approves sees all" control/approvals.go 'info = approvalInfo(row, p.parts.Now(), store.MaxChangeBody)' 'info = approvalInfo(row, p.parts.Now(), listedChange)' ./control
mutate "two people, who approves sees what would change" control/approvals.go 'd, err = policy.Parse("policy", []byte(c.Document))' '_ = c.Document' ./control
mutate "two people, who approves reads words" control/approvals.go 'brief = would.brief' '_ = would.brief' ./control
mutate "two people, for whom it is enforced" control/policies.go 'values[i].Value += " for all"' '' ./control
mutate "two people, what a mode would change" control/approvals.go 'd, _, err = x.withMode(c)' '' ./control
mutate "two people, what a stage would change" control/approvals.go 'd, _, err = x.withMode(to)' '_ = to' ./control
mutate "two people, what a kept trial keeps" control/approvals.go 'kept = t.Changes' '_ = t.Changes' ./control
mutate "two people, what the end of a trial would change" control/approvals.go 'd, _, err = x.putBack(t)' '_ = t' ./control
mutate "two people, who approves sees what is forced" control/approvals.go 'held.Options.Force, held.Options.RevertAfter' 'false, held.Options.RevertAfter' ./control
mutate "two people, the reason of who approves" control/approvals.go 'auditlog.Clip(x.approval.reason, auditlog.MaxReason)' '""' ./control
mutate "ceilings, a rule above the actor" control/rules.go 'if err := x.notAbove(c.Level); c.Level' 'if err := error(nil); c.Level' ./control
mutate "ceilings, a list above the actor" control/lists.go 'if err := x.notAbove(c.Level); err != nil {' 'if false {' ./control
mutate "ceilings, away with a rule" control/rules.go 'if err := x.mayTakeOutRow(&row); err != nil {' 'if false {' ./control
mutate "ceilings, away with a block" control/rules.go 'if err := x.mayTakeOutRow(&row); err != nil { // each' 'if false { // each' ./control
mutate "ceilings, another list" control/lists.go '} else if err := x.mayChange(row, c); err != nil {' '} else if false {' ./control
mutate "ceilings, away with a list" control/lists.go 'if err := x.mayTakeOut(access.Rule{Match: access.ListMatch(row.Name), Level: row.Level}); err != nil {' 'if false {' ./control
mutate "ceilings, who is above" control/ceilings.go 'if err := x.notAbove(rule.Level); err' 'if err := error(nil); err' ./control
mutate "ceilings, what stands behind" control/ceilings.go 'prefix.Bits() <= part.Bits() && prefix.Contains(part.Addr())' 'prefix.Bits() < 0 && prefix.Contains(part.Addr())' ./control
mutate "ceilings, the machine itself" control/ceilings.go 'range loopbacks {' 'range loopbacks[:0] {' ./control
mutate "ceilings, the node's own blocks" control/ceilings.go 'err != nil || over || row.Source == store.FromAutomatic' 'err != nil || over' ./control
mutate "passkey, how many" control/passkeys.go 'if own >= maxPasskeysOf {' 'if false {' ./control
mutate "passkey, another person at step-up" control/passkeys.go 'if s.Person != key.Person {' 'if false {' ./control
mutate "passkey, another host" control/passkeys.go 'return k.Host == c.where.Host && bytes.Equal(' 'return bytes.Equal(' ./control
mutate "passkey, found at another host" control/passkeys.go 'if k.Host == host && (person == "" || k.Person == person) && bytes.Equal(k.Raw, raw) {' 'if (person == "" || k.Person == person) && bytes.Equal(k.Raw, raw) {' ./control
mutate "passkey, found of another person" control/passkeys.go 'if k.Host == host && (person == "" || k.Person == person) && bytes.Equal(k.Raw, raw) {' 'if k.Host == host && bytes.Equal(k.Raw, raw) {' ./control
mutate "passkey, why it is taken out" control/passkeys.go 'if err := x.requireReason(); err != nil {' 'if err := error(nil); err != nil {' ./control
mutate "passkey, attestations" control/passkey/passkey.go 'format != "none" && format != "packed"' 'false' ./control/passkey
mutate "passkey, verified when it is made" control/passkey/passkey.go 'UserVerification: protocol.VerificationRequired, CredParams' 'UserVerification: protocol.VerificationDiscouraged, CredParams' ./control/passkey
mutate "sign-in, levels of codes" control/signin.go 'c.Level == access.Standard || c.Level > access.Superuser' 'false' ./control
mutate "passkey, purpose of a challenge" control/passkey/passkey.go '!hmac.Equal(challenge[nonceSize+8:], p.mac(head, purpose, subject, party))' 'len(p.mac(head, purpose, subject, party)) == 0' ./control/passkey
mutate "passkey, age of a challenge" control/passkey/passkey.go 'now.After(until) || until.Sub(now) > Life+time.Minute' 'now.IsZero()' ./control/passkey
mutate "passkey, copies" control/passkey/passkey.go 'if shown.Authenticator.CloneWarning {' 'if false {' ./control/passkey
mutate "token file, only its owner" cmd/mtguard/client.go 'info.Mode().Perm()&0o077 != 0' 'false' ./cmd/mtguard
mutate "threat, door refuses a network before the store answers" control/threat/ladder.go 'g.shut(prefix, f.Time.Add(suspectFor)) // until the block is in force' '' ./control/threat
mutate "threat, door refuses an address before the store answers" control/threat/ladder.go 'stage = guard.Shown // until the block is in force' '' ./control/threat
mutate "threat, blocks wait for no note" control/threat/engine.go 'work.Go(func() { g.write(responding) })' '' ./control/threat
mutate "threat, stage ends when the rule is in force" control/threat/engine.go 'g.shut(b.Prefix, time.Time{})' '_ = b' ./control/threat
mutate "threat, networks at the door" proxy/guard/suspects.go '|| s.shut(c.Addr.Addr(), c.At)) {' '|| false) {' ./proxy/guard ./control/threat
mutate "threat, lone replays" control/threat/keys.go 'replayMost   = 1.4' 'replayMost   = 0.4' ./control/threat
mutate "threat, offences over a restart" node/threat.go 'n.offences.open(n.threat, n.started)' '' ./node
mutate "threat, memory that was altered" control/threat/memory.go 'case sha256.Sum256(body[sha256.Size:]) != [sha256.Size]byte(body):' 'case false:' ./control/threat
mutate "threat, usual bytes over a restart" control/threat/memory.go 'd.keys.secretAt(fmt.Sprintf("%016x", k.ID))' 'd.keys.secretAt(fmt.Sprint(k.ID))' ./control/threat
mutate "audit, vulnerabilities" control/auditscan.go 'f.Vulnerable = append(f.Vulnerable,' '_ = append(f.Vulnerable,' ./control
mutate "audit, vulnerabilities that nobody looked for" control/audit/care.go 'case f.Unscanned != nil:' 'case false:' ./control/audit
mutate "lists, hint that nobody feels one" control/lists.go 'x.result.Summary += x.watched(access.PrefixMatch(netip.PrefixFrom(netip.IPv4Unspecified(), 0)), row.Level)' '_ = netip.Addr{}' ./cmd/mtguard
# The seed's 5.2: what people see as it happens.
mutate "viewers, resuming after another process" telemetry/live/hub.go 'err == nil && epoch == h.epoch && number <= h.number' 'err == nil && len(epoch) >= 0 && number <= h.number' ./telemetry/live
mutate "viewers, resuming behind the ring" telemetry/live/hub.go 'if v.lost() > v.at {' 'if false {' ./telemetry/live
mutate "viewers, a bound on who lags" telemetry/live/view.go 'return n > mostBehind' 'return false' ./telemetry/live
mutate "viewers, what goes while it is read" telemetry/live/view.go 'lost := v.lost() > max(v.at, v.told)' 'lost := false' ./telemetry/live
mutate "viewers, a bound on viewers" telemetry/live/hub.go 'case h.viewers >= h.most,' 'case' ./telemetry/live
mutate "viewers, a share for each" telemetry/live/hub.go ' || h.of[q.Who] >= max(1, h.most/share)' '' ./telemetry/live
mutate "viewers, places for who is at the node" telemetry/live/hub.go 'h.viewers >= h.most-h.most/share' 'false' ./telemetry/live
mutate "viewers, who they are" control/events.go 'if by.From.IsValid() { // over TCP' 'if false {' ./control
mutate "viewers, a bound on what is kept" telemetry/live/ring.go 'if len(r.events) < r.depth {' 'if true {' ./telemetry/live
mutate "viewers, nothing flows for nobody" telemetry/live/hub.go 'for h.await(ctx, func() bool { return h.thirsty > 0 }, 0) {' 'for ctx.Err() == nil {' ./telemetry/live
mutate "viewers, a pause is a gap" telemetry/live/hub.go 'h.rings[flow].lose(h.number, time.Now())' '' ./telemetry/live
mutate "viewers, words for nobody" telemetry/live/hub.go 'e.number, e.ID = h.number, h.id(h.number)' 'e.number, e.ID, _ = h.number, h.id(h.number), show()' ./telemetry/live
mutate "viewers, streams end with the node" telemetry/live/view.go 'case h.finished || v.past && v.at >= v.last:' 'case v.past && v.at >= v.last:' ./telemetry/live
mutate "events, a stalled reader" control/admin/events.go 'a.stalled = s.eventPatience' '_ = a' ./control/admin
mutate "events, heartbeat" control/admin/events.go 'o.piece = append(o.piece, ":\n\n"...)' '' ./control/admin
mutate "events, the audit log is for admins" control/events.go 'case slices.Contains(q.Kinds, live.Audit):' 'case false:' ./node
mutate "events, the audit log unasked" control/events.go 'return k == live.Audit })' 'return false })' ./node
mutate "events, addresses of decisions" node/feed.go 'j.Addr = n.hide(e.Addr)' 'j.Addr = e.Addr.String()' ./node
mutate "events, addresses of changes" node/feed.go 'Object: n.scrub(e.Object)' 'Object: e.Object' ./node
mutate "events, addresses of incidents" node/feed.go 'n.scrub(i.Subject), n.scrub(i.Evidence), n.scrub(i.Action)' 'n.scrub(i.Subject), i.Evidence, n.scrub(i.Action)' ./node
mutate "events, host bits of a prefix" node/scrub.go 'return p.Masked().String()' 'return word' ./node
mutate "events, a bound on decisions" node/feed.go 'if h.left < 1 {' 'if false {' ./node
mutate "events, what was skipped" node/feed.go 'h.skipped++' '' ./node
mutate "events, rates by the time that passed" node/feed.go 'return float64(is-was) / took' 'return float64(is - was)' ./node
mutate "feed, unplugged" node/node.go 'n.feed(background, &work)' 'go n.events.Run(background, func(c context.Context) { <-c.Done() })' ./node
mutate "events, rows that were not kept" control/store/tx.go 'tx.tellAudit()' '' ./node ./control/store/sqlite
mutate "top, the terminal is left" cmd/mtguard/top.go 'defer leave()' '_ = leave' ./cmd/mtguard
mutate "top, the terminal's mode" cmd/mtguard/top_terminal.go 'term.Restore(int(t.in.Fd()), state)' '_ = state' ./cmd/mtguard
mutate "top, escape sequences of others" cmd/mtguard/top_screen.go 'lines[i] = cut(clean(line), columns)' 'lines[i] = cut(line, columns)' ./cmd/mtguard
mutate "top, a mistake beside the drawing" cmd/mtguard/top.go 'case broken <- fmt.Sprintf(' 'case make(chan any) <- fmt.Sprintf(' ./cmd/mtguard
mutate "top, keys with a sequence" cmd/mtguard/top_terminal.go 'range plainKeys(b[:n])' 'range b[:n]' ./cmd/mtguard
mutate "top, the picture that is held" cmd/mtguard/top.go 'shown = &w.shown' '_ = &w.shown' ./cmd/mtguard
mutate "top, columns that do not fit" cmd/mtguard/top_view.go 'for width > room {' 'for width > room && false {' ./cmd/mtguard
mutate "top, a node that is gone" cmd/mtguard/top.go 'm.away = true' '' ./cmd/mtguard
# The dashboard, and policies on trial.
mutate "trials, end by time" control/trials.go 'return !now.Before(t.Until) || now.Before(t.Made)' 'return false' ./control
mutate "trials, a clock set back" control/trials.go ' || now.Before(t.Made)' '' ./control
mutate "trials, two in a row" control/trials.go 'return was' 'return now.Was' ./control
mutate "trials, what others changed" control/trials.go 't.Changes = slices.Delete(t.Changes, at, at+1)' '_ = at' ./control
mutate "trials, over by other changes" control/trials.go 'if len(e.Changes) > 0 {' 'if true {' ./control
mutate "trials, keep them in the store" control/policies.go 'if n.trials, err = trialsOf(tx); err != nil {' 'if _, err = trialsOf(tx); err != nil {' ./control
mutate "trials, unplugged" control/sweep.go 'p.report("trials", p.endTrials(ctx, now))' '' ./control
mutate "trials, bounds" control/trials.go 'long < minTrial || long > maxTrial' 'false' ./control
mutate "trials, over the API" control/admin/policies.go 'if o.RevertAfter, err = control.ParseDuration(in.RevertAfter); err == nil && o.RevertAfter == 0 {' 'if _, err = control.ParseDuration(in.RevertAfter); err == nil && o.RevertAfter == 0 {' ./control/admin
mutate "trials, a document over the API" control/admin/policies.go 'err = in.onTrial(&o) // of a document' 'err = nil' ./control/admin
mutate "trials, a step back decides nothing" control/trials.go 'if x.stepsBack && !former.Loosens && now.Value != former.Was {' 'if false {' ./control
mutate "trials, the text as it was" control/trials.go 'return base, text, nil' '_ = text' ./control
mutate "trials, the bite ends where bounds cannot" control/trials.go 'd, after, err = x.without(modes, file)' '_ = modes' ./control
mutate "trials, kept by two people" control/approvalclass.go 'func (KeepTrial) class(*Plane) string     { return ClassEnforce }' '' ./control
mutate "trials, seen by who approves" control/approvals.go 'held.Options.Force, held.Options.RevertAfter' 'held.Options.Force, 0' ./control
mutate "trials, candidates" security/policy/format.go 'c.take(candidate{p.doc, c.name})' '_ = candidate{p.doc, c.name}' ./security/policy
mutate "a directory that cannot be synced" config/disk/disk.go 'if errors.Is(err, errors.ErrUnsupported) || errors.Is(err, syscall.EINVAL) {' 'if errors.Is(err, syscall.ENOENT) {' ./config/disk
mutate "seal, a suite of the key that may not" control/seal.go ' && allowed.why(own) == "" {' ' {' ./control
mutate "seal, the suite of the key" control/seal.go 'if r.Suite == "" && own != 0 && allowed.why(own) == "" {' 'if false {' ./control
mutate "clients, of a user that there is not" control/clients.go 'if !known {' 'if !known && false {' ./node
mutate "sessions, many are asked about" cmd/mtguard/session.go 'if !c.yes && !c.dryRun {' 'if false {' ./cmd/mtguard
mutate "incidents, told when they are over by themselves" control/incidents.go 'over = append(over, incidentInfo(n))' '_ = over' ./control
mutate "dashboard, what a session may do" control/admin/scopes.go 'id.Actor.Level >= r.least && r.within(id.Scopes)' 'r.within(id.Scopes)' ./control/admin
mutate "dashboard, files are files" control/admin/care.go 'attachment; filename' 'inline; filename' ./control/admin
mutate "dashboard, a refusal is no file" control/admin/care.go 'w.Header().Del("Content-Disposition")' '' ./control/admin
mutate "dashboard, compression refused" control/admin/web/web.go 'strings.Trim(q, "0.")' 'strings.Trim(q, "")' ./control/admin/web
mutate "dashboard, names twice" control/admin/web/link.go 'if other, ok := l.names[name]; ok {' 'if other, ok := l.names[name]; ok && false {' ./control/admin/web
mutate "dashboard, order of modules" control/admin/web/link.go 'return l.add(target)' 'return nil' ./control/admin/web
mutate "users, found by name" control/query.go '!strings.Contains(strings.ToLower(name), find)' 'false' ./control
mutate "sign-in, requests end with their credential" control/admin/web.go '!ok || id.Actor.Level < c.came' 'ok && id.Actor.Level < c.came' ./control/admin
mutate "sign-in, a busy node is nobody's guess" control/admin/authpasskey.go 'if !busy {' 'if true {' ./control/admin
mutate "sign-in, cross-origin signing in" control/admin/auth.go 'case !foreign(r):' 'case true:' ./control/admin
mutate "sign-in, one answer beside the page" control/admin/web.go 'slices.Contains(enterPaths, path) && safe(r.Method)' 'strings.HasPrefix(path, enterPath)' ./control/admin
mutate "sign-in, judged again when the body is there" control/admin/server.go 'if p == nil && callerOf(r.Context()) != nil {' 'if false {' ./control/admin
mutate "sign-in, level of the route when the body is there" control/admin/server.go 'p = s.allowed(r.Context())' 'p = nil' ./control/admin
mutate "sign-in, pages alone prolong nothing" control/admin/web.go 'if t.Kind() == token.Session && !byPerson(r) {' 'if false {' ./control/admin
mutate "sign-in, looking is no use" control/credentials.go 'return p.whose(t, from, func(*use, time.Time) {})' 'return p.Authenticate(t, from)' ./control
mutate "sign-in, ceiling of codes" control/admin/auth.go 's.SignIn.Ceiling(from) < access.ReadOnly ||' '' ./control/admin
mutate "sign-in, ceiling of passkeys" control/admin/authpasskey.go 's.SignIn.Ceiling(sourceOf(r)) < access.ReadOnly || s.read(w, r, &in) != nil' 's.read(w, r, &in) != nil' ./control/admin
mutate "sign-in, programs are no browsers" control/admin/authpasskey.go 'if c.Session == "" {' 'if false {' ./control/admin
mutate "sign-in, pages are for people" control/admin/web.go 'case ok && id.Session != "" && !id.mustEnrol:' 'case ok && !id.mustEnrol:' ./control/admin
mutate "sign-in, TLS is kept to" control/admin/web.go 'h.Set("Strict-Transport-Security", "max-age=31536000")' '' ./control/admin
mutate "refusals, of a level or a scope" control/admin/server.go 's.noteDenied(ctx, p)' '_ = p' ./control/admin
mutate "refusals, of what is asked for" control/admin/server.go 's.noteDenied(ctx, p) // what' '_ = p // what' ./control/admin
mutate "refusals, of kinds of events" control/admin/events.go 's.noteDenied(r.Context(), p)' '_ = p' ./control/admin
mutate "refusals, the detectors hear" control/refusals.go 'p.parts.Denied(by, operation)' '_ = by' ./control
mutate "refusals, one row and then together" control/refusals.go 'since >= r.wait || since < 0' 'since >= 0 || since < 0' ./control
mutate "refusals, rows once in a while" control/refusals.go 'min(max(2*r.wait, refusalsFirst), refusalsMost)' 'refusalsFirst' ./control
mutate "refusals, bounded" control/refusals.go 'f.of[name] == nil && len(f.of) >= maxRefusedActors' 'false' ./control
mutate "sign-in, passkeys at ports that people came to" control/admin/authpasskey.go 'port == s.Port || s.SignIn.Origin(host, port)' 'true' ./control/admin
mutate "sign-in, ports that codes were used at" control/signin.go 'if err := x.cameTo(c.where); err != nil {' 'if false {' ./control
mutate "sign-in, so many ports" control/origins.go 'all[max(0, len(all)-maxOrigins):]' 'all' ./control
mutate "sign-in, tokens that outlive their maker" control/admin/tokens.go 'if who != nil && who.Token != "" &&' 'if false &&' ./control/admin
mutate "sign-in, guessers are closed at accept" control/admin/sources.go 'case !s.mayGuess(from, now) && !s.hear(from, now):' 'case false:' ./control/admin
mutate "sign-in, guessers are heard for a while" control/admin/sources.go '%hearEvery >= hearFor {' '%hearEvery >= 0 {' ./control/admin
mutate "sign-in, guessers are heard for no longer" control/admin/sources.go '%hearEvery >= hearFor {' '%hearEvery >= hearEvery {' ./control/admin
mutate "sign-in, guessers of one prefix are heard so often" control/admin/sources.go 'return s.count(s.heard, hearLimit, from, now) &&' 'return' ./control/admin
mutate "sign-in, guessers of all prefixes are heard so often" control/admin/sources.go '&& s.heardAll.Take(hearAllLimit, 1, now).Allowed' '' ./control/admin
mutate "sign-in, guesses of one /48" control/admin/sources.go '(!wide.IsValid() || s.guesses' '(true || s.guesses' ./control/admin
mutate "sign-in, regulars are never closed" control/admin/sources.go 'case s.Knows(from):' 'case false:' ./control/admin
mutate "sign-in, a token makes a regular" control/admin/web.go 's.guesses.Know(from, s.now())' '' ./control/admin
mutate "sign-in, a code makes a regular" control/admin/auth.go 's.guesses.Know(sourceOf(r), s.now())' '' ./control/admin
mutate "sign-in, sessions make regulars" node/dashboard.go 'sources.Know(from, s.Last)' '_ = from' ./node
mutate "sign-in, unknown passkeys use up no proofs" control/admin/authpasskey.go 'busy = ok && !s.guesses.mayProve(s.now())' 'busy = !s.guesses.mayProve(s.now()) && ok' ./control/admin
mutate "sign-in, proofs are checked so often" control/admin/authpasskey.go 'busy = ok && !s.guesses.mayProve(s.now())' 'busy = false' ./control/admin
mutate "sign-in, requests end with what their source may" control/admin/web.go '!ok || id.Actor.Level < c.came' '!ok || id.Actor.Level < access.None' ./control/admin
mutate "events, a stream over HTTP/2 may be idle" control/admin/events.go 'o.connection.SetWriteDeadline(time.Time{})' '_ = time.Time{}' ./control/admin
mutate "sign-in, requests of strangers" control/admin/strangers.go 's.strangers.Take(from, s.guesses.strangerBounds(from))' 's.strangers.Take(from, serving.Bounds{All: 1 << 20, Each: 1 << 20})' ./control/admin
mutate "sign-in, strangers read fast" control/admin/strangers.go 'min(a.stalled, strangerTime)' 'a.stalled' ./control/admin
mutate "sign-in, a stranger's place lasts as long as his answer" control/admin/strangers.go 'a.connection.Flush()' '_ = a' ./control/admin
mutate "sign-in, what a connection may have" control/serving/http2.go 'MaxReadFrameSize: maxFrame,' '' ./control/admin
mutate "serving, places of one prefix" control/serving/places.go '|| p.by[narrow] >= b.Each' '' ./control/serving
mutate "serving, places of one /48" control/serving/places.go 'wide.IsValid() && p.by[wide] >= wideFactor*b.Each' 'false' ./control/serving
mutate "sign-in, connections kept for this machine" control/admin/sources.go 'keptForRegulars - keptForLoopback, Each' 'keptForRegulars, Each' ./control/admin
mutate "serving, all places" control/serving/places.go 'p.taken >= b.All ||' '' ./control/serving
mutate "serving, a place is given back once" control/serving/listener.go 'free: sync.OnceFunc(func() { l.places.Free(from) })' 'free: func() { sync.OnceFunc(func() { l.places.Free(from) })() }' ./control/serving
mutate "serving, a place of no connection" control/serving/listener.go 'l.places.Free(from.Addr())' '' ./control/serving
mutate "serving, refused by a reset" control/serving/accept_linux.go 'linger := unix.Linger{Onoff: 1}' 'linger := unix.Linger{Onoff: 0}' ./control/serving
mutate "serving, certificates that have ended" control/serving/certificate.go 'if err == nil && now.After(pair.Leaf.NotAfter) {' 'if false {' ./control/serving
mutate "sign-in, connections kept for regulars" control/admin/sources.go 'All: maxWebConnections - keptForRegulars - keptForLoopback,' 'All: maxWebConnections,' ./control/admin
mutate "sign-in, clients are ended" control/clients.go 'x.p.parts.Sessions.Kill(match, "ended by an operator")' 'n' ./node
mutate "threat, who came is known without a look at the keys" control/threats.go 'return set.Len() > 0 && now.Sub(' 'return false && now.Sub(' ./control
mutate "threat, who is connected is known without a look at the sessions" proxy/auth/sessions.go 'sh.from[placeOf(x.From())]++' '' ./proxy/auth
mutate "threat, restored sightings count" security/usage/sightings.go 's.latest.note(who, at)' '' ./security/usage
mutate "threat, a block that was taken back" control/threat/ladder.go 'case x.made && !barred(s, f.Addr, f.Time):' 'case false:' ./control/threat
mutate "threat, blocked now is not what was taken back" control/threat/status.go '(!x.made || barred(s, where.addr(), at))' 'true' ./control/threat
mutate "threat, blocks of monitor make none longer" control/threat/ladder.go 'x.would = n - x.offences' 'x.offences, x.last = n, now' ./control/threat
mutate "threat, looking is no use of an exception" control/threat/ladder.go 's.Expect(policy.ThreatBlock' 's.Judge(policy.ThreatBlock' ./control/threat
mutate "kernel blocks, who is there" control/blocked.go 'return r.Source == access.Automatic && there[r.Prefix]' 'return false' ./control
mutate "kernel blocks, whom the door knows, unplugged" node/manage.go 'Regular:    n.regular,' '' ./node
mutate "kernel blocks, why some are left out" control/blocked.go 's.partly = why[0]' '_ = why[0]' ./control
mutate "audit log, rows of automatic blocks" control/blockaudit.go 'if u.early(x.now) {' 'if false {' ./control
mutate "audit log, blocks that waited" control/sweep.go 'p.report("audit", p.auditWaiting(ctx, now))' '' ./control
mutate "crypto, what a database that is gone is worth" cmd/mtguard/crypto.go 'n > 0 && report.Count(advisory.Proven)' 'n > len(report.Modules) && report.Count(advisory.Proven)' ./cmd/mtguard
mutate "memory, a part of the program that was written into" node/memory_linux.go 'fields[1] == "0" && at.to != 0' 'at.to != 0' ./node
mutate "memory, what may be written stays mapped" node/memory_linux.go 'strings.Contains(fields[1], "w") || ' '' ./node
mutate "demo, the node says what it is" cmd/mtguard/demo_world.go 'Demo:  true,' '' ./cmd/mtguard
exit $lived
