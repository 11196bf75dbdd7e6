package proxy

import (
	"encoding/json"
	"errors"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/poolproxy/poolproxy/session"
)

// fence has a server stopped for certain, by a program (Element.FenceExec): a service manager's kill, a power switch. The program
// ends with status 0 when every process that served at the address when the program began is certainly dead.
//
// What is dead is told by numbers, which connections to the server get as they are made: a run that ended well has brought down
// those made before it began. So requests share a run if their connections are older than it, however many come; and a request
// about a server that was started meanwhile does not believe a run that was about the one before.
//
// Each shard has one for each pool_element, which numbers its connections. It is the first shard's that runs the program, for all.
type fence struct {
	shard   *Shard
	serial  uint64  // of the side
	over    bool    // it is closed
	runner  *runner // nil: not the first shard's
	element string
	server  netip.AddrPort
	exec    []string
	timeout time.Duration

	numbers map[*session.Leg]uint64 // of the legs' connections
	made    *atomic.Uint64          // connections so far, in all shards
	dead    uint64                  // those up to this number are
	reach   uint64                  // and up to this one, if the present run ends well; 0: none runs
	waiting []fencing
}

// fencing is one request.
type fencing struct {
	session uint64 // of the leg, for people
	number  uint64 // of its connection
	answer  func(error)
}

const defaultFenceTimeout = 10 * time.Second

var errNotConnected = errors.New("fence_exec: the leg has no connection to its server")

// fenceInput is what the program reads on its standard input, in JSON.
type fenceInput struct {
	Element string `json:"pool_element"`
	Server  string `json:"server"`  // its address and port
	Session uint64 `json:"session"` // the pool user's number of the session that asked first
}

// newFence makes a fence; made is what all shards' of this pool_element count with.
func newFence(s *Shard, c Element, made *atomic.Uint64) *fence {
	f := &fence{shard: s, element: c.Name, server: c.Server, exec: c.FenceExec, timeout: c.FenceTimeout,
		numbers: make(map[*session.Leg]uint64), made: made}
	if f.timeout <= 0 {
		f.timeout = defaultFenceTimeout
	}
	if s.index == 0 {
		f.runner = newRunner(s.loop, s.log.Named(c.Name), make(chan struct{}, maxPrograms))
	}
	return f
}

// connected gives a leg's connection its number.
func (f *fence) connected(leg *session.Leg) {
	if f != nil {
		f.numbers[leg] = f.made.Add(1)
	}
}

// closed forgets a leg's connection.
func (f *fence) closed(leg *session.Leg) {
	if f != nil {
		delete(f.numbers, leg)
	}
}

// ask has the process at the other end of a leg's connection stopped (session.ElementConfig.Fence). Once the fence is closed
// nobody is answered.
func (f *fence) ask(leg *session.Leg, answer func(error)) {
	r := fencing{leg.Session, f.numbers[leg], answer}
	switch {
	case r.number == 0:
		answer(errNotConnected)
	case f.shard.index == 0:
		f.take(r)
	default:
		f.pass(r)
	}
}

// pass has the first shard's fence take a request, whose answer comes back here.
func (f *fence) pass(r fencing) {
	answer, serial := r.answer, f.serial
	f.shard.on(0, func(first *Shard) {
		r.answer = func(err error) {
			first.on(f.shard.index, func(*Shard) {
				if !f.over {
					answer(err)
				}
			})
		}
		if e := first.element(serial); e != nil && e.fence != nil {
			e.fence.take(r)
		} else {
			r.answer(errNotConnected)
		}
	})
}

// take has the program run for a request, unless it is known already that the server is dead.
func (f *fence) take(r fencing) {
	switch {
	case f.over:
	case r.number <= f.dead:
		r.answer(nil)
	default:
		f.waiting = append(f.waiting, r)
		if f.reach == 0 {
			f.run()
		}
	}
}

// run begins a run for all that wait.
func (f *fence) run() {
	input, err := json.Marshal(fenceInput{f.element, f.server.String(), f.waiting[0].session})
	if err != nil {
		panic(err) // it is made of strings and a number
	}
	f.reach = f.made.Load()
	f.runner.run(job{args: f.exec, input: input, timeout: f.timeout}, f.ended)
}

// ended answers those that the run was for. Those whose connections were made since wait for a run of their own.
func (f *fence) ended(_ []byte, err error) {
	reach := f.reach
	f.reach = 0
	if err == nil {
		f.dead = reach
	}
	var answered []fencing
	later := f.waiting[:0]
	for _, r := range f.waiting {
		if r.number <= reach {
			answered = append(answered, r)
		} else {
			later = append(later, r)
		}
	}
	clear(f.waiting[len(later):])
	f.waiting = later
	if len(later) > 0 {
		f.run()
	}
	for _, r := range answered {
		r.answer(err)
	}
}

// as reports whether it is what the configuration wants; there may be none (nil).
func (f *fence) as(c Element) bool {
	if f == nil {
		return false
	}
	timeout := c.FenceTimeout
	if timeout <= 0 {
		timeout = defaultFenceTimeout
	}
	return f.server == c.Server && slices.Equal(f.exec, c.FenceExec) && f.timeout == timeout
}

// idle reports whether nobody waits for it; there may be none (nil).
func (f *fence) idle() bool { return f == nil || f.reach == 0 && len(f.waiting) == 0 }

// close kills what runs. Twice is harmless, and so is none.
func (f *fence) close() {
	if f != nil {
		f.over = true
		f.runner.close()
		f.waiting = nil
	}
}
