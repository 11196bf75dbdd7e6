package proxy

import (
	"net/netip"
	"time"

	"github.com/poolproxy/poolproxy/loop"
)

// probe finds out whether a socket still listens on a server's port, which tells a death from a close: a killed process sends
// FIN like one that closes in peace, but nothing listens there any more. Where the kernel can be asked (Linux, the server in
// the same network namespace) it is; elsewhere a connect is tried, and closed.
//
// A dying process closes its newest descriptors first: its connections may end long before its listening socket. Where the
// process can be seen, it is looked at (see owners). Where it cannot, a no counts at once, and a yes only when the server's
// connections have been quiet for settled; those who ask in between are answered together.
type probe struct {
	loop   loop.Loop
	server netip.AddrPort
	kernel *kernel                                     // nil: it cannot be asked
	dial   func(done func(listens bool)) (stop func()) // tries to connect, and calls done later; nil: by TCP
	local  bool                                        // the kernel has been seen to know the server's socket: its no means no

	listener listenerID // that listened when last looked at; 0: none was ever seen
	looked   time.Time  // when connected looked last
	replaced time.Time  // when another was last found in the place of one whose process was gone
	owners   *owners    // whose the listening socket is; nil: none was ever seen
	studying bool       // that is being found out

	asking []question // to be answered
	since  time.Time  // when the first of them asked
	later  bool       // first will run at the end of this turn
	timer  loop.Timer
	try    *try // the connect that is going on

	believe time.Time // when a yes counts of which the kernel is not certain
	blind   bool      // while they asked, the listening socket's processes were looked for and not found: they may be dying
}

// listenerID is the inode of a listening socket, 0 where it is not known. A server that was started again has another.
type listenerID = uint32

// question is one who asks about the end of a connection.
type question struct {
	listener listenerID // that listened when the connection was made
	answer   func(bool)
}

const (
	// settled is how long no connection of the server may have ended before it is believed to live, and settledAtLast bounds the
	// wait where connections end all the time (measured: see docs/architecture.md).
	settled       = 20 * time.Millisecond
	settledAtLast = 200 * time.Millisecond

	// askKernelAgain is how soon the kernel is asked again meanwhile: its no counts at once, and comes when the process has closed its listening
	// socket, too.
	askKernelAgain = time.Millisecond

	// probeTimeout is how long a connect may take. A host that does not answer in this time is dead.
	probeTimeout = time.Second

	// lookAgain is how old may be what connected knows of the listening socket. To ask costs some 4 µs, which at thousands of
	// connects a second is not nothing; no server dies and is back in this time.
	lookAgain = 10 * time.Millisecond

	// deathTime is how long after a new listening socket was found the connections of the old one are taken to end by the old
	// process's death. They end when it dies, within some 200 ms, and are told within a few turns.
	deathTime = time.Second
)

func newProbe(l loop.Loop, server netip.AddrPort, k *kernel) *probe {
	p := &probe{loop: l, server: server, kernel: k}
	p.timer.Func = p.quiet
	return p
}

// connected is called when the server has accepted a connection, whose address on our side is from: something listens there, and if the
// kernel can see it, the kernel's answer is to be trusted from now on. It returns what listens, for listening when the connection ends.
func (p *probe) connected(from netip.Addr) listenerID {
	if p.kernel == nil || !p.local && !here(from, p.server.Addr()) {
		return 0
	}
	if now := p.loop.Now(); !p.local || now.Sub(p.looked) >= lookAgain {
		p.looked = now
		listener, ok := p.look()
		p.local = p.local || ok && listener != 0
	}
	return p.listener
}

// backlog is how many connections wait for the server to accept them, and how many may; ok is false where the kernel does not know.
func (p *probe) backlog() (waiting, most int, ok bool) {
	if p.kernel == nil || !p.local {
		return 0, 0, false
	}
	waiting, most, err := p.kernel.backlog(p.server)
	return waiting, most, err == nil
}

// prepare looks at a server of this host before anybody has connected to it, so that its processes are known when it dies.
func (p *probe) prepare() {
	if p.kernel != nil && p.server.Addr().IsLoopback() {
		listener, ok := p.look()
		p.local = ok && listener != 0
	}
}

// prepareAgain does it for a server that was not there.
func (p *probe) prepareAgain() {
	if !p.local {
		p.prepare()
	}
}

// here reports whether a connection from one address to the other does not leave the host: the kernel gives both ends the same address.
// Of another host's port nothing may be asked: a socket of ours that listens at the same port of all addresses would be the answer.
func here(from, to netip.Addr) bool {
	return to.Unmap().IsLoopback() || from.Unmap().WithZone("") == to.Unmap().WithZone("")
}

// look asks the kernel what listens, and finds out whether that is another socket than before; ok is false where the kernel does not
// answer. A server that was killed and started again before anybody looked listens, and its old connections seem to have been closed in
// peace; the inode of its listening socket tells.
func (p *probe) look() (listener listenerID, ok bool) {
	listener, err := p.kernel.listener(p.server)
	if err != nil || listener == 0 || listener == p.listener {
		return listener, err == nil
	}
	// A process that has opened a new listening socket, or that has left its port to its successor and serves its last
	// connections, lives.
	if p.listener != 0 && !p.owners.survive() {
		p.replaced = p.loop.Now()
	}
	p.owners.release()
	p.listener, p.owners, p.studying = listener, p.kernel.census.owners(listener), false
	p.lookUp()
	return listener, true
}

// lookUp has the processes found that hold the listening socket, if that has not been done, and soon if somebody waits for it.
func (p *probe) lookUp() {
	if p.kernel == nil || p.listener == 0 {
		return
	}
	if p.owners.known() {
		p.blind = p.blind || len(p.asking) > 0 && p.owners.late(settledAtLast) // on another shard somebody asked
		return
	}
	if !p.studying {
		p.studying = true
		o := p.owners
		o.study(func() { p.loop.Post(func() { p.learn(o) }) }) // a loop that has stopped is not told
	}
	if len(p.asking) > 0 {
		p.owners.hurry()
	}
}

// learn is told that it is known whose the socket is; those who ask may wait for that.
func (p *probe) learn(o *owners) {
	if p.owners != o { // another socket listens since, or the probe is closed
		return
	}
	p.studying = false
	if len(p.asking) > 0 {
		if p.blind = o.unseen(); p.blind {
			p.believe = p.since.Add(settledAtLast)
		}
		p.decide()
	}
}

// died reports whether a connection that was made when listener listened has ended because that server died. That is believed if
// another socket listens now, for deathTime after that was found; then what listens is believed. It is asked of each connection, not
// of the time alone: a new server may close its own first connections, a reply that ends with its connection for one.
//
// What is misjudged: a server whose processes cannot be seen, that has left its port to its successor and closes its last
// connections in peace, or that is one of several with SO_REUSEPORT of which another has ended, seems dead for that time: its
// idle sessions move instead of being closed. And a connection that the sidecar had not yet heard to be made when its server died
// and was back seems to be the new server's, and to have been closed by it.
func (p *probe) died(listener listenerID) bool {
	return listener != 0 && listener != p.listener && !p.replaced.IsZero() && p.loop.Now().Sub(p.replaced) < deathTime
}

// listening asks whether the server, one of whose connections has just ended, still listens: listener is what connected returned
// for that connection. Those who ask in one turn are answered together.
func (p *probe) listening(listener listenerID, answer func(bool)) {
	p.ask(question{listener, answer})
}

func (p *probe) ask(q question) {
	p.asking = append(p.asking, q)
	if len(p.asking) == 1 {
		p.since, p.blind = p.loop.Now(), false
	}
	if !p.later {
		p.later = true
		p.loop.Later(p.first)
	}
}

// first asks the kernel at the end of the turn, and where its yes cannot be trusted yet, waits.
func (p *probe) first() {
	p.later = false
	if len(p.asking) == 0 || p.decide() {
		return
	}
	if p.try == nil {
		p.believe = p.since.Add(settledAtLast)
		if soon := p.loop.Now().Add(settled); !p.blind && soon.Before(p.believe) {
			p.believe = soon
		}
		p.wait()
	}
}

// wait comes back when the server is to be believed, or before that when the kernel may say that it is gone.
func (p *probe) wait() {
	at := p.believe
	if soon := p.loop.Now().Add(askKernelAgain); p.kernel != nil && p.local && (p.studying || soon.Before(at)) {
		at = soon
	}
	p.loop.Schedule(&p.timer, at)
}

// decide answers those who ask, if the kernel's word is certain, and reports whether nobody waits any more.
func (p *probe) decide() (all bool) {
	life, ok := p.askKernel()
	if p.buryDead(); len(p.asking) == 0 {
		return true
	}
	if !ok || life == present {
		return false
	}
	p.answer(life == held)
	return true
}

// buryDead answers those whose server has died, whoever listens now.
func (p *probe) buryDead() {
	if p.try != nil {
		return // it has counted them; its outcome is for each of them only if the server has not died
	}
	asking := p.asking
	p.asking = nil
	for _, q := range asking {
		if !p.died(q.listener) {
			p.asking = append(p.asking, q)
		}
	}
	if len(p.asking) == 0 {
		p.loop.Cancel(&p.timer)
	}
	for _, q := range asking {
		if p.died(q.listener) {
			q.answer(false)
		}
	}
}

// askKernel reports what the kernel knows; ok is false where it cannot be asked.
func (p *probe) askKernel() (l life, ok bool) {
	if p.kernel == nil || !p.local {
		return absent, false
	}
	listener, ok := p.look()
	if !ok || listener == 0 {
		return absent, ok
	}
	if l = p.owners.life(); l == present {
		p.lookUp()
	}
	return l, true
}

// quiet runs when the server's connections have been quiet, and while that is awaited, or what the census finds.
func (p *probe) quiet() {
	life, ok := p.askKernel()
	now := p.loop.Now()
	early := now.Before(p.believe) || p.studying && now.Before(p.since.Add(settledAtLast))
	switch {
	case ok && (life != present || !early):
		p.answer(life != absent)
		return
	case early:
		p.wait()
		return
	}
	t := &try{probe: p, asked: len(p.asking)}
	p.try = t
	t.limit.Func = func() { t.done(false) }
	p.loop.Schedule(&t.limit, p.loop.Now().Add(probeTimeout))
	if p.dial != nil {
		t.stop = p.dial(t.done)
	} else {
		t.stop = p.loop.Dial(p.server, t).Close
	}
}

func (p *probe) answer(listens bool) {
	p.loop.Cancel(&p.timer)
	asking := p.asking
	p.asking = nil
	for _, q := range asking {
		q.answer(listens && !p.died(q.listener))
	}
}

// close forgets those who ask. Nothing is called afterwards.
func (p *probe) close() {
	p.owners.release()
	p.asking, p.kernel, p.owners = nil, nil, nil
	p.loop.Cancel(&p.timer)
	if p.try != nil {
		p.loop.Cancel(&p.try.limit)
		p.try.stop()
		p.try = nil
	}
}

// try is one connect to see whether somebody listens.
type try struct {
	probe *probe
	asked int // so many had asked before it began: a yes is for them only
	stop  func()
	limit loop.Timer
}

// Ready hears the outcome (loop.Handler).
func (t *try) Ready(ev loop.Event) {
	switch {
	case ev&loop.Connected != 0:
		t.done(true)
	case ev&loop.Hangup != 0:
		t.done(false)
	}
}

func (t *try) done(listens bool) {
	t.probe.loop.Cancel(&t.limit)
	t.stop()
	t.probe.try = nil
	if p := t.probe; listens && t.asked < len(p.asking) {
		after := p.asking[t.asked:]
		p.asking = p.asking[:t.asked]
		p.answer(true)
		for _, q := range after {
			p.ask(q)
		}
		return
	}
	t.probe.answer(listens)
}
