// The benchmark is a module of its own: what it needs must not reach users of mtguard. Linux only.
module mtguard/bench

go 1.26.0

replace mtguard => ../
