#!/bin/sh
# Removes one protection at a time from a copy of the tree and expects that some
# test goes red. Prints the table of doc/mutations.md; fails when a mutant lives.
#
#   scripts/mutations.sh           all of them (about six minutes on two cores)
#   scripts/mutations.sh replay    those whose name holds the word
#
# A mutation is one line of code in which a text is replaced: see mutate below. One
# whose text is not found, or which does not compile, fails too: adapt it.
set -eu
cd "$(dirname "$0")/.."
GO=${GO:-go}
only=${1:-}
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
	elif $GO test -failfast -timeout 1m "$@" >"$copy/log" 2>&1; then
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
mutate "meter, rest at the end" proxy/auth/sessions.go 'x.count(up, down)' '' ./proxy/auth ./proxy
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
mutate "enforcement" proxy/guard/pipeline.go 'if mode == policy.Enforce {' 'if false {' ./proxy
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
mutate "plane, audit row" control/apply.go 'x.audit(c, auditlog.Done, x.o.Reason); err != nil' 'error(nil); err != nil' ./control
mutate "plane, audit row of a refusal" control/apply.go 'return x.audit(c, auditlog.Refused, e.Text)' 'return nil' ./control
mutate "plane, dry run" control/apply.go 'if o.DryRun {' 'if false {' ./control
mutate "plane, idempotency" control/apply.go 'x.repeated(c); done || err != nil' 'x.repeated(c); false && done || err != nil' ./control
mutate "plane, idempotency for the same change only" control/apply.go 'if a.Change != digest(c) {' 'if false {' ./control
mutate "plane, stale revision" control/apply.go 'x.o.IfRevision != 0 && x.o.IfRevision != rev' 'false' ./control
mutate "plane, in force when it is said" control/apply.go 'ended, err := p.follow(ctx, revision)' 'ended, err := 0, error(nil)' ./control
mutate "plane, state of keys" control/compile.go 'err := p.ring.Put(keys.Spec{' 'err := error(nil); _ = (keys.Spec{' ./control
mutate "plane, publication" control/compile.go 'p.parts.Live.Publish(&s)' '_ = s' ./control
mutate "plane, end of sessions" control/compile.go 'return p.parts.Sessions.Kill(' 'return (&auth.Sessions{}).Kill(' ./control ./node
mutate "plane, tripwires" control/compile.go 'k.State == keys.Revoked && now.Before(' 'false && now.Before(' ./control
mutate "plane, tripwires end" control/sweep.go 'if k.State == keys.Revoked && !k.Erased && !x.now.Before(' 'if false && !x.now.Before(' ./control
mutate "plane, erasure in the store" control/sweep.go 'gone := p.ring.Sweep()' 'gone := p.ring.Sweep()[:0]' ./control
mutate "plane, expiry of users" control/model.go '!now.Before(u.row.Expires)' 'false' ./control
mutate "plane, level none" control/model.go 'case u.row.Level == access.None:' 'case false && u.row.Level == access.None:' ./control
mutate "plane, disabled users" control/model.go 'case u.row.Disabled:' 'case false:' ./control
mutate "plane, quota" control/model.go 'u.row.QuotaBytes > 0 && u.used() >= u.row.QuotaBytes' 'false' ./control
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
mutate "plane, closed pages" control/recipient.go '!page.Closed.IsZero()' 'false' ./control
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
mutate "admin, level of a route" control/admin/server.go 'if by := actor(r.Context()); by.Level < least {' 'if by := actor(r.Context()); false {' ./control/admin
mutate "audit log, chain" security/auditlog/verify.go 'link(c.State.last, row.Canonical) != row.Hash' 'false' ./security/auditlog
mutate "audit log, checkpoints" security/auditlog/verify.go 'if checkpoint.Root == c.State.Root() {' 'if true {' ./security/auditlog
mutate "aead, purpose" security/aead/derive.go 'label(useDerive, 0, size, purpose, nil)' 'label(useDerive, 0, size, "x", nil)' ./security/aead
# The seed's 4.1, 4.2 and 6.x: who may do how much.
mutate "guard, budget of bytes" security/ratelimit/bytes.go 'return time.Duration(max(next-covered, 0))' 'return 0' ./security/ratelimit ./proxy/relay
mutate "guard, budget of bytes, debt at a new rate" security/ratelimit/bytes.go 'if old == word || old == 0 || word == 0 {' 'if true {' ./security/ratelimit
mutate "guard, pause of a direction" proxy/relay/pause_linux.go 's.way[w].until = int64(now + pause)' '_ = pause' ./proxy/relay
mutate "guard, pause of a direction, without loops" proxy/relay/goroutine.go 'p.pause(b.Spent(count, time.Now()), budget)' 'p.pause(0*b.Spent(count, time.Now()), budget)' ./proxy/relay
mutate "guard, pause ends with its budget" proxy/relay/pause_linux.go '&& budget.Spent(0, at) > 0 {' '{' ./proxy/relay
mutate "guard, pause is no silence" proxy/relay/session_linux.go 's.last = l.now // a pause' '_ = 0 // a pause' ./proxy/relay
mutate "guard, judgement of the hello" proxy/handshake/accept.go 'if !r.Judge.Hello(h) {' 'if false {' ./proxy/handshake
mutate "guard, judgement of the client before the answer" proxy/handshake/accept.go 'v.Result == stats.ResultOK && !r.Judge.Client(v.Grant, transport())' 'false' ./proxy/handshake
mutate "guard, grant of whom the judge refuses" proxy/handshake/accept.go 'v.Grant.Release() // refused' '' ./proxy/handshake
mutate "guard, rules on addresses" proxy/guard/levels.go 'return c.barredBy(access.ByAddress, ReasonAddressRule)' 'return Verdict{}' ./proxy
mutate "guard, rules on countries" proxy/guard/levels.go 'return c.barredBy(access.ByCountry, ReasonCountry)' 'return Verdict{}' ./proxy/guard
mutate "guard, rules on hellos" proxy/guard/levels.go 'return c.barredBy(access.ByPattern, ReasonPattern)' 'return Verdict{}' ./proxy
mutate "guard, each control by its own rules" proxy/guard/levels.go 'Ignore: all &^ own' 'Ignore: 0 * own' ./proxy/guard
mutate "guard, level none of a user" proxy/guard/levels.go 'c.Level != access.None {' 'true {' ./proxy
mutate "guard, lower of user and ceiling" proxy/conn.go 'x.Level = min(account.Level(), x.hello,' 'x.Level = min(access.Superuser, x.hello,' ./proxy
mutate "guard, ceiling of the address" proxy/conn.go 'auth.Ceiling(x.Policy, x.Addr.Addr(), x.User, x.At))' 'access.Superuser)' ./proxy
mutate "guard, budget of a level" proxy/auth/level.go 'x.Throttle.Set(x.Grant.key.Account().Budgets(l))' '_ = l' ./proxy
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
exit $lived
