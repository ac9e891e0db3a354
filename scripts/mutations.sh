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
mutate "replay check of the init inside TLS, unplugged" proxy/handshake/accept.go 'if !a.FirstInit(' 'if false && !a.FirstInit(' ./proxy/handshake
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
mutate "grant given back after a failed handshake" proxy/handshake/accept.go 'v.Grant.Release()' '' ./proxy/handshake
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
mutate "rate, narrow prefix" proxy/guard/checks.go 'a.limiter.Check(narrow, limit, c.At); !d.Allowed' 'a.limiter.Check(narrow, limit, c.At); false && !d.Allowed' ./proxy
mutate "rate, wide prefix" proxy/guard/checks.go 'limit.Times(wideFactor), c.At); !d.Allowed' 'limit.Times(wideFactor), c.At); false && !d.Allowed' ./proxy
mutate "rate, unplugged" node/wire.go 'guard.NewAcceptRate(acceptPrefixes),' '' ./node
mutate "enforcement" proxy/guard/pipeline.go 'if mode == policy.Enforce {' 'if false {' ./proxy
mutate "PROXY headers from listed peers only" proxy/conn.go 'if contains(snap.ProxyProtocolFrom, x.Addr.Addr()) {' 'if len(snap.ProxyProtocolFrom) > 0 {' ./proxy
mutate "drain, waiting" proxy/server.go 'for s.open.Load() > int64(s.Covered.Open())+s.silent.Load() && ctx.Err() == nil {' 'for false {' ./proxy
mutate "drain, end of the patience" proxy/server.go 'for s.open.Load() > int64(s.Covered.Open())+s.silent.Load() && ctx.Err() == nil {' 'for s.open.Load() > int64(s.Covered.Open())+s.silent.Load() {' ./proxy
mutate "drain, end of sessions" proxy/server.go 's.Engine.Close()' '' ./proxy
mutate "drain, end of handshakes" proxy/server.go 's.half.closeAll()' '' ./proxy
mutate "drain at SIGTERM" node/node.go 'n.server.Shutdown(ctx)' 'stop, now := context.WithCancel(ctx); now(); n.server.Shutdown(stop)' ./node
mutate "session kill on reload" node/node.go 'return !still' 'return !still && false' ./node
mutate "grant looked at when the session is listed" proxy/conn.go 'why := live.Grant.Lost(); why != ""' 'why := live.Grant.Lost(); false && why != ""' ./proxy
mutate "grant looked at before the dial" proxy/conn.go 'if x.lost() { // the client' 'if false { // the client' ./proxy
mutate "grant looked at before the first bytes" proxy/conn.go 'if x.lost() { // the DC' 'if false { // the DC' ./proxy
mutate "grant given back at the end" proxy/conn.go 'b.grant.Release()' '' ./proxy
mutate "session tickets of the site in the learnt flight" proxy/coverprobe.go 'if r.writes++; r.writes > 1 {' 'if r.writes++; false {' ./proxy
mutate "asking the site for session tickets, as clients do" proxy/coverprobe.go 'ClientSessionCache: tls.NewLRUClientSessionCache(1)' 'ClientSessionCache: nil' ./proxy
mutate "accept errors are survived" proxy/server.go 'pause = min(max(2*pause' 'return err; pause = min(max(2*pause' ./proxy
exit $lived
