package fw

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"time"
)

// Kernel is the table in the kernel. Every method is all or nothing as far as a reader
// can see, but for the elements of Replace beyond the first thousands. It is used by
// one goroutine.
type Kernel interface {
	// Replace makes the table anew with these rules and elements.
	Replace(listening []netip.AddrPort, elements []Element) error
	// Change takes elements out and then puts others in.
	Change(out []netip.Prefix, in []Element) error
	// Stands is nil while our table is there, else ErrNoTable or what is in the way. It does not look at elements.
	Stands() error
	// Remove takes the table away, if there is one.
	Remove() error
}

// Errors of a Kernel.
var (
	ErrNoTable   = errors.New("there is no table inet mtguard")
	ErrForeign   = errors.New("the table inet mtguard was not made by mtguard fw, and is left alone")
	ErrForbidden = errors.New("changing nftables takes CAP_NET_ADMIN")
	ErrNoKernel  = errors.New("this kernel has no nf_tables")
)

// Options are what Run needs. Source, Kernel and Log are required.
type Options struct {
	Source Source
	Kernel Kernel
	Log    *slog.Logger
	Every  time.Duration // between two questions to the node; 0: 250 ms
	Hold   time.Duration // the longest time-out of an element; 0: 10 minutes
	Look   time.Duration // between two looks at whether the table is still there; 0: 10 s
	Ready  func()        // called once, when the first order is in force; may be nil
}

const (
	usualEvery = 250 * time.Millisecond
	usualHold  = 10 * time.Minute
	usualLook  = 10 * time.Second
)

// Run keeps the table as the node wants it until ctx ends, and takes it away then.
// While the node does not answer, elements run out; while the kernel refuses, it
// tries again. It returns early only with ErrForeign, ErrForbidden or ErrNoKernel, and
// before it has changed anything, when the table cannot be had at all.
func Run(ctx context.Context, o Options) error {
	if o.Every <= 0 {
		o.Every = usualEvery
	}
	if o.Hold <= 0 {
		o.Hold = usualHold
	}
	if o.Look <= 0 {
		o.Look = usualLook
	}
	if o.Ready == nil {
		o.Ready = func() {}
	}
	if err := o.Kernel.Stands(); err != nil && !errors.Is(err, ErrNoTable) {
		return err
	}
	k := keeper{Options: o}
	tick := time.NewTicker(o.Every)
	defer tick.Stop()
	for {
		if err := k.step(ctx); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return o.Kernel.Remove()
		case <-tick.C:
		}
	}
}

// keeper is a Run under way.
type keeper struct {
	Options
	order  *Order
	book   book // nil: what stands in the kernel is not known
	due    time.Time
	looked time.Time
	wrong  string // what was last complained about
}

// step asks the node once, and brings the kernel in line.
func (k *keeper) step(ctx context.Context) error {
	known := ""
	if k.order != nil {
		known = k.order.Tag
	}
	order, err := k.Source.Order(ctx, known)
	if err == nil && order != nil {
		err = order.check()
	}
	if ctx.Err() != nil {
		return nil
	}
	if err != nil {
		k.complain("the node does not answer; what is blocked in the kernel runs out", err)
		return nil
	}
	if order != nil {
		if k.order == nil || !slices.Equal(order.Listening, k.order.Listening) {
			k.book = nil // other rules
		}
		k.tell(order)
		k.order, k.due = order, time.Time{}
	}
	if k.order == nil {
		k.complain("the node gives no answer to go on from", nil)
		return nil
	}
	if err := k.settle(time.Now()); err != nil {
		if errors.Is(err, ErrForeign) || errors.Is(err, ErrForbidden) || errors.Is(err, ErrNoKernel) {
			return err
		}
		k.book = nil
		k.complain("the kernel refuses", err)
		return nil
	}
	k.wrong = ""
	return nil
}

// settle brings the kernel in line with the order. When a change fails, since an
// element ran out a moment ago or somebody took the table away, all is made anew.
func (k *keeper) settle(now time.Time) error {
	if k.book != nil && now.Sub(k.looked) >= k.Look {
		k.looked = now
		if err := k.Kernel.Stands(); errors.Is(err, ErrForeign) {
			return err
		} else if err != nil {
			k.Log.Warn("the table is gone; it is made anew", "error", err)
			k.book = nil
		}
	}
	if k.book != nil {
		if !k.due.IsZero() && now.Before(k.due) {
			return nil
		}
		out, in, due := k.book.plan(k.order.Blocks, now, k.Hold)
		if due.IsZero() {
			due = now.Add(k.Hold)
		}
		if len(out)+len(in) == 0 || k.Kernel.Change(out, in) == nil {
			k.book.apply(out, in, now)
			k.due = due
			return nil
		}
	}
	return k.replace(now)
}

func (k *keeper) replace(now time.Time) error {
	first := k.looked.IsZero()
	fresh := make(book)
	_, in, due := fresh.plan(k.order.Blocks, now, k.Hold)
	if err := k.Kernel.Replace(k.order.Listening, in); err != nil {
		return err
	}
	if due.IsZero() {
		due = now.Add(k.Hold)
	}
	fresh.apply(nil, in, now)
	k.book, k.due, k.looked = fresh, due, now
	if first {
		k.Ready()
	}
	return nil
}

// tell logs what an order changes. Addresses stay out of the log.
func (k *keeper) tell(order *Order) {
	was, had := 0, [2]string{}
	if k.order != nil {
		was, had = len(k.order.Blocks), [...]string{k.order.Suspended, k.order.Partly}
	}
	if had != [...]string{order.Suspended, order.Partly} || k.order == nil || (was == 0) != (len(order.Blocks) == 0) || order.LeftOut > 0 {
		k.Log.Info("what the node wants blocked", "prefixes", len(order.Blocks), "left_out", order.LeftOut, "suspended", order.Suspended, "partly", order.Partly)
	}
}

// complain logs what is wrong once.
func (k *keeper) complain(what string, err error) {
	text := what
	if err != nil {
		text += ": " + err.Error()
	}
	if text != k.wrong {
		k.wrong = text
		k.Log.Warn(what, "error", err)
	}
}
