package proxy

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// census knows which processes hold the listening sockets of servers, for all shards of a process. To find them is to look through all
// descriptors of all processes, which takes milliseconds. So it is done beside the loops, in one pass for all sockets that were asked
// for since the last one began, and slowly unless somebody waits for it: a process may hold thousands of connections.
type census struct {
	hurry  atomic.Bool    // somebody waits for what is being found, or will be next
	closed atomic.Bool    // set with mu
	wake   chan struct{}  // tells gather that something has changed
	work   sync.WaitGroup // of search

	mu        sync.Mutex             // held for a look at a process at most, never for a pass
	sockets   map[listenerID]*owners // that probes know
	processes map[int]*process       // that hold them, by number
	asked     []*owners              // for the next pass
	begun     bool                   // there may be passes that nobody waits for
	searching bool                   // search is running
	passes    int                    // so far
}

const (
	// studyAfter is how long after somebody asked a pass begins: the first connection to a server may be one that a client waits for,
	// whose last server has just died, and to look through all processes is to keep a processor from it. For the same reason a pass rests
	// for studyRest again and again. And who asks meanwhile is answered by the same pass.
	studyAfter = 50 * time.Millisecond
	studyRest  = 5 * time.Millisecond
)

func newCensus() *census {
	return &census{wake: make(chan struct{}, 1), sockets: make(map[listenerID]*owners), processes: make(map[int]*process)}
}

// begin says that all shards are made: what they asked for so far is found in one pass.
func (c *census) begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.begun = true
	c.start()
}

// close ends what is going on and waits for it. Whoever still asks is not answered.
func (c *census) close() {
	c.mu.Lock()
	c.closed.Store(true)
	c.signal()
	c.mu.Unlock()
	c.work.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.processes { // of probes that were not closed: their sides could not be made
		p.close()
	}
}

// owners is what is known of a listening socket, to be released.
func (c *census) owners(socket listenerID) *owners {
	c.mu.Lock()
	defer c.mu.Unlock()
	o := c.sockets[socket]
	if o == nil {
		o = &owners{census: c, socket: socket}
		c.sockets[socket] = o
	}
	o.probes++
	return o
}

// start has what was asked for found. The caller holds mu.
func (c *census) start() {
	if len(c.asked) > 0 && !c.searching && !c.closed.Load() && (c.begun || c.hurry.Load()) {
		c.searching = true
		c.work.Add(1)
		go c.search()
	}
}

// signal has gather look again. The caller holds mu.
func (c *census) signal() {
	select {
	case c.wake <- struct{}{}:
	default: // it will
	}
}

// search makes passes as long as somebody asks. Then it ends by itself, or when the census is closed, which waits for it.
func (c *census) search() {
	defer c.work.Done()
	for c.gather() {
		asked := c.take()
		sockets := make([]listenerID, len(asked))
		for i, o := range asked {
			sockets[i] = o.socket
		}
		if f, whole := holders(sockets, nil, c.rest); whole {
			for _, o := range asked {
				o.learn(f)
			}
		}
	}
}

// gather waits until it is time for the next pass. False says that there is none.
func (c *census) gather() bool {
	limit := time.NewTimer(studyAfter)
	defer limit.Stop()
	for {
		more, now := c.due()
		if !more || now {
			return more
		}
		select {
		case <-limit.C:
			return true
		case <-c.wake:
		}
	}
}

// due reports whether a pass is asked for, and if so whether somebody waits for it. If not, search has to end.
func (c *census) due() (more, now bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked = slices.DeleteFunc(c.asked, func(o *owners) bool { return o.probes == 0 })
	c.searching = len(c.asked) > 0 && !c.closed.Load()
	return c.searching, slices.ContainsFunc(c.asked, func(o *owners) bool { return o.urgent })
}

// take begins a pass.
func (c *census) take() (asked []*owners) {
	c.mu.Lock()
	defer c.mu.Unlock()
	asked, c.asked = c.asked, nil
	c.hurry.Store(slices.ContainsFunc(asked, func(o *owners) bool { return o.urgent }))
	c.passes++
	return asked
}

// rest is what a pass does again and again, until it is to end.
func (c *census) rest() (goOn bool) {
	if !c.hurry.Load() {
		time.Sleep(studyRest)
	}
	return !c.closed.Load()
}

// process returns the process of that number, to be released. One that is known may have died since, and its number may be another's.
func (c *census) process(pid int) *process {
	p := c.processes[pid]
	if p == nil || p.dead || p.stat >= 0 && p.exiting() {
		p = &process{pid: pid, stat: -1}
		c.processes[pid] = p
	}
	p.sockets++
	return p
}

func (c *census) release(p *process) {
	if p.sockets--; p.sockets > 0 {
		return
	}
	p.close()
	if c.processes[p.pid] == p {
		delete(c.processes, p.pid)
	}
}
