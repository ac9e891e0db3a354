package fw

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Names in the kernel, which people see with "nft list table inet mtguard".
const (
	tableName = "mtguard"
	chainName = "input"
	mark      = "mtguard fw" // the comment of our first rule, by which we know our table
)

// NFTables is the table of this machine, or of this process's network namespace.
type NFTables struct {
	table *nftables.Table
	sets  [2]*nftables.Set // of IPv4 and of IPv6
}

// Open returns the table, which need not be there. It asks the kernel nothing yet.
func Open() (*NFTables, error) {
	k := &NFTables{table: &nftables.Table{Name: tableName, Family: nftables.TableFamilyINet}}
	for i, set := range []nftables.Set{{Name: "blocked4", KeyType: nftables.TypeIPAddr}, {Name: "blocked6", KeyType: nftables.TypeIP6Addr}} {
		set.Table, set.Interval, set.HasTimeout = k.table, true, true
		// Each element has a time-out of its own; one that came without ends by this.
		set.Timeout, set.Size, set.Comment = usualHold, 2*MaxElements, "by mtguard fw; end by themselves"
		k.sets[i] = &set
	}
	return k, nil
}

// buffers is room for a whole batch and the kernel's answers to it. The kernel grants
// that to CAP_NET_ADMIN; without it a batch may be too long, and is refused.
const buffers = 16 << 20

// begin starts a batch.
func (k *NFTables) begin() (*nftables.Conn, error) {
	return nftables.New(nftables.WithSockOptions(func(c *netlink.Conn) error {
		c.SetReadBuffer(buffers)
		c.SetWriteBuffer(buffers)
		return nil
	}))
}

// find tells whether our table is there. Somebody else's is ErrForeign.
func (k *NFTables) find(c *nftables.Conn) (bool, error) {
	tables, err := c.ListTablesOfFamily(nftables.TableFamilyINet)
	if err != nil {
		return false, plainly(err)
	}
	for _, t := range tables {
		if t.Name == tableName && t.Family == nftables.TableFamilyINet {
			return true, k.mine(c)
		}
	}
	return false, nil
}

// mine looks whether all that is in the table could only be ours.
func (k *NFTables) mine(c *nftables.Conn) error {
	sets, err := c.GetSets(k.table)
	if err != nil {
		return plainly(err)
	}
	chains, err := c.ListChainsOfTableFamily(nftables.TableFamilyINet)
	if err != nil {
		return plainly(err)
	}
	if len(sets) != len(k.sets) {
		return ErrForeign
	}
	for _, s := range sets {
		if s.Name != k.sets[0].Name && s.Name != k.sets[1].Name {
			return ErrForeign
		}
	}
	for _, chain := range chains {
		if chain.Table.Name == tableName && chain.Name != chainName {
			return ErrForeign
		}
	}
	rules, err := c.GetRules(k.table, &nftables.Chain{Name: chainName, Table: k.table})
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return plainly(err)
	}
	if len(rules) == 0 {
		return ErrForeign
	}
	if comment, ok := userdata.GetString(rules[0].UserData, userdata.TypeComment); !ok || comment != mark {
		return ErrForeign
	}
	return nil
}

// perMessage is how many elements fit into one message, whose length has 16 bits;
// perBatch how many go at a time.
const (
	perMessage = 300
	perBatch   = 8192
)

// Replace implements Kernel.
func (k *NFTables) Replace(listening []netip.AddrPort, all []Element) error {
	c, err := k.begin()
	if err != nil {
		return plainly(err)
	}
	there, err := k.find(c)
	if err != nil {
		return err
	}
	if there {
		c.DelTable(k.table)
	}
	c.CreateTable(k.table)
	for _, set := range k.sets {
		set.ID = 0
		if err := c.AddSet(set, nil); err != nil {
			return err
		}
	}
	policy := nftables.ChainPolicyAccept
	chain := c.AddChain(&nftables.Chain{Name: chainName, Table: k.table, Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookInput,
		Priority: nftables.ChainPriorityRef(*nftables.ChainPriorityFilter - 10), Policy: &policy})
	for i, exprs := range k.rules(listening) {
		rule := &nftables.Rule{Table: k.table, Chain: chain, Exprs: exprs}
		if i == 0 {
			rule.UserData = userdata.AppendString(nil, userdata.TypeComment, mark)
		}
		c.AddRule(rule)
	}
	first := min(len(all), perBatch)
	if err := k.put(c, all[:first]); err != nil {
		return err
	}
	if err := c.Flush(); err != nil {
		return plainly(err)
	}
	for rest := all[first:]; len(rest) > 0; {
		n := min(len(rest), perBatch)
		if err := k.Change(nil, rest[:n]); err != nil {
			return err
		}
		rest = rest[n:]
	}
	return nil
}

// Change implements Kernel.
func (k *NFTables) Change(out []netip.Prefix, in []Element) error {
	c, err := k.begin()
	if err != nil {
		return plainly(err)
	}
	var gone []Element
	for _, p := range out {
		gone = append(gone, Element{Prefix: p})
	}
	if err := k.each(gone, c.SetDeleteElements); err != nil {
		return err
	}
	if err := k.put(c, in); err != nil {
		return err
	}
	return plainly(c.Flush())
}

func (k *NFTables) put(c *nftables.Conn, all []Element) error {
	return k.each(all, c.SetAddElements)
}

// each gives the elements to do, by set and in messages that are short enough.
func (k *NFTables) each(all []Element, do func(*nftables.Set, []nftables.SetElement) error) error {
	var parts [len(k.sets)][]nftables.SetElement
	send := func(i int) error {
		if len(parts[i]) == 0 {
			return nil
		}
		part := parts[i]
		parts[i] = nil
		return do(k.sets[i], part)
	}
	for _, e := range all {
		i := 0
		if e.Prefix.Addr().Is6() {
			i = 1
		}
		for _, b := range borders(e) {
			parts[i] = append(parts[i], nftables.SetElement{Key: b.key, IntervalEnd: b.end, Timeout: b.left})
		}
		if len(parts[i]) >= 2*perMessage {
			if err := send(i); err != nil {
				return err
			}
		}
	}
	return errors.Join(send(0), send(1))
}

// Stands implements Kernel.
func (k *NFTables) Stands() error {
	c, err := k.begin()
	if err != nil {
		return plainly(err)
	}
	there, err := k.find(c)
	if err == nil && !there {
		err = ErrNoTable
	}
	return err
}

// Elements are those there are; ErrNoTable when there is no table. Of tens of thousands the kernel takes
// seconds to tell.
func (k *NFTables) Elements() ([]Element, error) {
	c, err := k.begin()
	if err != nil {
		return nil, plainly(err)
	}
	there, err := k.find(c)
	if err != nil {
		return nil, err
	}
	if !there {
		return nil, ErrNoTable
	}
	var all []Element
	for _, set := range k.sets {
		list, err := c.GetSetElements(set)
		if err != nil {
			return nil, plainly(err)
		}
		var ends []border
		for _, e := range list {
			ends = append(ends, border{key: e.Key, end: e.IntervalEnd, left: e.Expires})
		}
		all = append(all, elements(ends)...)
	}
	return all, nil
}

// Dropped is how many packets the rules have dropped since the table was made.
func (k *NFTables) Dropped() (packets uint64, err error) {
	c, err := k.begin()
	if err != nil {
		return 0, plainly(err)
	}
	rules, err := c.GetRules(k.table, &nftables.Chain{Name: chainName, Table: k.table})
	if err != nil {
		return 0, plainly(err)
	}
	for _, r := range rules {
		for _, e := range r.Exprs {
			if counter, ok := e.(*expr.Counter); ok {
				packets += counter.Packets
			}
		}
	}
	return packets, nil
}

// Remove implements Kernel.
func (k *NFTables) Remove() error {
	c, err := k.begin()
	if err != nil {
		return plainly(err)
	}
	there, err := k.find(c)
	if err != nil || !there {
		return err
	}
	c.DelTable(k.table)
	return plainly(c.Flush())
}

// rules are those of the chain. All others follow, so what is not dropped here meets
// every other table as if this one were not there.
func (k *NFTables) rules(listening []netip.AddrPort) [][]expr.Any {
	loopback := []expr.Any{
		&expr.Meta{Key: expr.MetaKeyIIFTYPE, Register: 1},
		equal(binary.NativeEndian.AppendUint16(nil, unix.ARPHRD_LOOPBACK)),
		&expr.Verdict{Kind: expr.VerdictAccept},
	}
	all := [][]expr.Any{loopback}
	for _, at := range listening {
		a := at.Addr().Unmap().WithZone("")
		// An unspecified address of IPv6 takes IPv4 too.
		if a.Is4() || a == netip.IPv6Unspecified() {
			all = append(all, k.drop(0, a, at.Port()))
		}
		if a.Is6() {
			all = append(all, k.drop(1, a, at.Port()))
		}
	}
	return all
}

// drop is the rule of one place and one family.
func (k *NFTables) drop(set int, to netip.Addr, at uint16) []expr.Any {
	family, source, target, size := byte(unix.NFPROTO_IPV4), uint32(12), uint32(16), uint32(4)
	if set == 1 {
		family, source, target, size = unix.NFPROTO_IPV6, 8, 24, 16
	}
	const flags, syn, fin, rst, ack = 13, 0x02, 0x01, 0x04, 0x10 // of the TCP header
	list := []expr.Any{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1},
		equal([]byte{family}),
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		equal([]byte{unix.IPPROTO_TCP}),
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
		equal(port(at)),
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: flags, Len: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 1, Mask: []byte{syn | fin | rst | ack}, Xor: []byte{0}},
		equal([]byte{syn}),
	}
	if !to.IsUnspecified() {
		list = append(list, &expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: target, Len: size}, equal(to.AsSlice()))
	}
	return append(list,
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: source, Len: size},
		&expr.Lookup{SourceRegister: 1, SetName: k.sets[set].Name, SetID: k.sets[set].ID},
		&expr.Counter{},
		&expr.Verdict{Kind: expr.VerdictDrop})
}

func equal(data []byte) *expr.Cmp { return &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: data} }

// plainly says what the kernel's refusals mean.
func plainly(err error) error {
	for _, c := range []struct {
		errno error
		means error
	}{{unix.EPERM, ErrForbidden}, {unix.EPROTONOSUPPORT, ErrNoKernel}, {unix.EAFNOSUPPORT, ErrNoKernel}, {unix.EOPNOTSUPP, ErrNoKernel}} {
		if errors.Is(err, c.errno) {
			return fmt.Errorf("%w (%w)", c.means, err)
		}
	}
	return err
}
