package main

import (
	"fmt"

	"github.com/spf13/pflag"
)

// past is how far back a list goes whose newest come first and have the highest numbers.
type past struct {
	limit  int
	before int64
}

// flags defines the flags of such a list; what is one of its items.
func (p *past) flags(flags *pflag.FlagSet, what string) {
	flags.IntVar(&p.limit, "limit", 20, "at most `N`")
	flags.Int64Var(&p.before, "before", 0, "only those before "+what+" `N`")
}

// noteOlder says below shown items, the last of which is oldest, how to see those before.
func (c *call) noteOlder(p past, shown int, oldest int64) {
	if shown == p.limit && oldest > 1 && !c.quiet {
		c.app.note(fmt.Sprintf("older ones: --before %d", oldest))
	}
}
