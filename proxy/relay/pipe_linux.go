package relay

import "golang.org/x/sys/unix"

// pipe holds bytes inside the kernel between two splices. A session owns one
// only while bytes are in it.
type pipe struct {
	r, w  int
	bytes int // that wait inside
	slots int // pages it has room for: a splice that brought fewer bytes cannot have filled it
}

// pipes is a loop's stock. Pipes are counted, not left to the garbage
// collector, which would leak their descriptors.
type pipes struct {
	free []*pipe
	out  int
}

const (
	pipeBytes = 1 << 20 // asked for; an unprivileged user may get less (16,384 pages in all)
	pipesMax  = 128     // that one loop may have out at once; beyond it bytes are copied
	pipesIdle = 16      // that are kept for the next
)

// get returns an empty pipe, or nil when there is none to be had: the caller
// copies instead.
func (p *pipes) get() *pipe {
	if n := len(p.free); n > 0 {
		got := p.free[n-1]
		p.free = p.free[:n-1]
		p.out++
		return got
	}
	if p.out >= pipesMax {
		return nil
	}
	var fd [2]int
	if unix.Pipe2(fd[:], unix.O_CLOEXEC|unix.O_NONBLOCK) != nil {
		return nil
	}
	size, err := unix.FcntlInt(uintptr(fd[1]), unix.F_SETPIPE_SZ, pipeBytes)
	if err != nil {
		size, _ = unix.FcntlInt(uintptr(fd[1]), unix.F_GETPIPE_SZ, 0)
	}
	if size < pipeWorth {
		unix.Close(fd[0])
		unix.Close(fd[1])
		return nil
	}
	p.out++
	return &pipe{r: fd[0], w: fd[1], slots: size / unix.Getpagesize()}
}

// pipeWorth is the smallest pipe that beats copying. Beyond the user's quota
// the kernel gives one or two pages.
const pipeWorth = 64 << 10

// put takes a pipe back; one with bytes inside, or too many, is closed.
func (p *pipes) put(back *pipe) {
	if back == nil {
		return
	}
	p.out--
	if back.bytes > 0 || len(p.free) >= pipesIdle {
		unix.Close(back.r)
		unix.Close(back.w)
		return
	}
	p.free = append(p.free, back)
}

func (p *pipes) release() {
	for _, idle := range p.free {
		unix.Close(idle.r)
		unix.Close(idle.w)
	}
	p.free = nil
}
