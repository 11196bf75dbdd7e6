package loop

import (
	"bytes"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// Runner is a Loop with a life of its own.
type Runner interface {
	Loop

	// Run turns the loop, on the caller's goroutine, until Stop. A panic in a handler passes through it; the sockets are closed
	// on the way. Run may be called once.
	Run()

	// Stand has the loop stand still, as if the process were stopped: nothing is read, no timer fires, no mail is opened. All that runs, in this
	// call, is what comes on work, each as in a turn of its own, until that is closed. It is called on the loop's goroutine, as a Later.
	Stand(work <-chan func())

	// Stop ends the loop and waits until Run has returned; called from within the loop it only asks for the end, which comes
	// after this turn. What was posted before is still run. Afterwards every socket of the loop is closed and nothing of
	// it runs. Any goroutine may call it, also twice, also when Run was never called.
	Stop()
}

// core is what the two real loops have in common: time, timers, mail, memory, and the life from Run to Stop.
type core struct {
	now    time.Time
	timers Timers
	later  laterQueue
	mail   mailbox
	pool   Pool

	release func() // closes every socket; runs once, last
	over    bool   // release has begun; the loop's goroutine only

	stopping atomic.Bool
	mu       sync.Mutex
	begun    bool          // Run, or a Stop without a Run, was called
	runner   uint64        // the goroutine of Run
	ended    chan struct{} // closed when nothing runs any more
}

// start makes the zero core ready. wake ends the loop's wait from any goroutine.
func (c *core) start(wake, release func()) {
	c.now = time.Now()
	c.mail.wake = wake
	c.release = release
	c.ended = make(chan struct{})
}

// Now is the time of this turn.
func (c *core) Now() time.Time { return c.now }

// Post runs f in a coming turn; false says that the loop has stopped and f will not run.
func (c *core) Post(f func()) bool { return c.mail.post(f) }

// Later runs f at the end of this turn.
func (c *core) Later(f func()) { c.later.add(f) }

// Schedule arms t, or moves it.
func (c *core) Schedule(t *Timer, at time.Time) { c.timers.Schedule(t, at) }

// Cancel disarms t.
func (c *core) Cancel(t *Timer) { c.timers.Cancel(t) }

// Buffers is the loop's pool of memory.
func (c *core) Buffers() *Pool { return &c.pool }

// run calls turn until the loop is stopped, and then ends it.
func (c *core) run(turn func()) {
	if !c.begin() {
		return
	}
	defer c.end() // deferred for the sake of a handler's panic, which goes on
	for !c.stopping.Load() {
		turn()
	}
	c.mail.close()
	c.mail.run() // a Post that was told true is kept
	c.later.run()
}

func (c *core) begin() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.begun && !c.stopping.Load() {
		panic("loop: Run was called twice")
	}
	if c.begun {
		return false
	}
	c.begun, c.runner = true, goroutine()
	return true
}

func (c *core) end() {
	c.stopping.Store(true)
	c.mail.close()
	c.over = true
	c.release()
	close(c.ended)
}

// Stand has the loop stand still; see Runner.
func (c *core) Stand(work <-chan func()) {
	for f := range work {
		c.now = time.Now()
		f()
	}
}

// Stop ends the loop; see Runner.
func (c *core) Stop() {
	c.mu.Lock()
	c.stopping.Store(true)
	first := !c.begun
	c.begun = true
	within := c.runner == goroutine()
	c.mu.Unlock()
	if first {
		c.end()
		return
	}
	c.mail.post(func() {})
	if !within {
		<-c.ended
	}
}

// timeout is how long the loop may wait for something to happen, by the real time; ok is false when no timer limits it.
func (c *core) timeout() (d time.Duration, ok bool) {
	at, ok := c.timers.Next()
	if !ok {
		return 0, false
	}
	return max(0, time.Until(at)), true
}

// finishTurn is the part of Epoll's turn that needs no sockets: timers, mail, Later functions.
func (c *core) finishTurn() {
	c.timers.Fire(c.now)
	c.mail.run()
	c.later.run()
}

// goroutine is the number of the calling goroutine, from the first line of its stack ("goroutine 7 [running]:"). Go has no
// other way to tell it, and only Stop needs it: a Stop from a handler must not wait for itself.
func goroutine() uint64 {
	var stack [64]byte
	line := stack[:runtime.Stack(stack[:], false)]
	line = bytes.TrimPrefix(line, []byte("goroutine "))
	number, _, _ := bytes.Cut(line, []byte(" "))
	id, err := strconv.ParseUint(string(number), 10, 64)
	if err != nil {
		panic("loop: a goroutine's stack does not begin with its number: " + string(line))
	}
	return id
}
