//go:build linux

package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/poolproxy/poolproxy/internal/workload"
)

// state is what a session is in when the failure strikes: a row of the table's second half.
type state struct{ id, name string }

var (
	stateIdle      = state{"idle", "idle"}
	stateInFlight  = state{"in-flight", "request in flight"}
	stateHalfReply = state{"half-reply", "reply half delivered"}
	stateHalfSent  = state{"half-sent", "request half sent"}
	statePipelined = state{"pipelined", "50 pipelined"}
	stateFailover  = state{"failover", "during a failover"} // of the host where sessions go that have left another one a moment before
	stateDrain     = state{"drain", "during drain"}
	stateUpgrade   = state{"upgrade", "during upgrade"}
)

var states = []state{stateIdle, stateInFlight, stateHalfReply, stateHalfSent, statePipelined, stateFailover, stateDrain, stateUpgrade}

const (
	warmUp   = 2  // requests before the one in whose middle the failure strikes
	cooldown = 2  // and behind it, or behind all that are pipelined
	pipeline = 50 // requests at once

	held = 400 * time.Millisecond // how long a server holds a request in whose middle the failure is to strike
)

// redisReads is what a request may take to a redis that does nothing.
const redisReads = 5 * time.Millisecond

// sessions numbers them over the whole run; runNumber is in the upper bits, so that journals of another run are seen to be that.
var (
	sessions  atomic.Uint64
	runNumber = uint64(rand.Uint32()&0xffff) << 40
)

// subject is one session that a failure strikes.
type subject struct {
	column  *column
	state   state
	unsafe  bool
	number  uint64 // of the session
	request workload.Request

	ready  chan struct{} // closed when it is warm
	set    chan struct{} // closed by the tests: it shall come into its state
	armed  chan struct{} // closed when it is in it
	struck chan struct{} // closed by the tests: it may go on
	arm    func()        // closes armed, once
	heat   func()        // closes ready, once
	goOn   func()        // closes set, once
	report chan *workload.Report

	goFurther func() // closes struck, once

	mu      sync.Mutex
	began   time.Time // when the request that is under way was begun
	strike  time.Time
	gap     time.Duration // from the strike, or the first request behind it, to the first answer
	early   bool          // the request in whose middle the failure strikes was answered before, or the session had ended
	client  string        // its own address
	stopped context.CancelFunc
}

// begin starts a session.
func (c *column) begin(s state, unsafe bool, random *rand.Rand) *subject {
	b := &subject{column: c, state: s, unsafe: unsafe && c.dialect.kind != workload.Stream, number: runNumber + sessions.Add(1),
		ready: make(chan struct{}), set: make(chan struct{}), armed: make(chan struct{}), struck: make(chan struct{}),
		report: make(chan *workload.Report, 1)}
	b.arm, b.heat = sync.OnceFunc(func() { close(b.armed) }), sync.OnceFunc(func() { close(b.ready) })
	b.goOn, b.goFurther = sync.OnceFunc(func() { close(b.set) }), sync.OnceFunc(func() { close(b.struck) })
	b.request = b.central(random)
	ctx, stop := context.WithTimeout(context.Background(), 2*patience)
	b.stopped = stop
	client := &workload.Client{
		Kind: c.dialect.kind, Session: b.number, Address: fmt.Sprintf("%s:%d", c.world.user.address, c.port(portUser)),
		Next: b.next, Events: b.event, Timeout: patience,
		Dial: b.dial,
	}
	if s == statePipelined {
		client.Window = pipeline
	}
	go b.run(ctx, client)
	return b
}

// dial connects from the client's host.
func (b *subject) dial(_ context.Context, _, address string) (net.Conn, error) {
	conn, err := b.column.world.user.dial(address)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	b.client = conn.LocalAddr().String()
	b.mu.Unlock()
	return conn, nil
}

// run ends with the session; who waits for the report waits for it.
func (b *subject) run(ctx context.Context, client *workload.Client) {
	r := client.Run(ctx)
	b.stopped()
	b.heat()
	b.arm()
	b.report <- r
}

// central is the request in whose middle the failure strikes, or one of the pipeline's.
func (b *subject) central(random *rand.Rand) workload.Request {
	p := workload.Plan{Kind: b.column.dialect.kind, Seed: b.number ^ random.Uint64()}
	r := p.Request(warmUp + 1)
	r.Unsafe, r.Form, r.Split, r.Hold = b.unsafe, workload.Plain, false, workload.Hold{}
	if !b.unsafe && p.Kind == workload.HTTP {
		r.Carry = 0 // a GET
	}
	switch b.state {
	case stateInFlight, stateFailover, stateDrain, stateUpgrade, statePipelined:
		r.Hold.Where = []workload.HoldPlace{workload.HoldBeforeDoing, workload.HoldBeforeAnswer}[random.IntN(2)]
	case stateHalfReply:
		r.Size = 64 + random.IntN(100_000)
		if p.Kind == workload.Redis {
			r.Size += 200_000
		}
		r.Hold.Where = workload.HoldHalfAnswered
	case stateHalfSent:
		r.Split = true
	}
	if r.Hold.Where != workload.HoldNowhere {
		r.Hold.For = held
	}
	if b.unsafe && b.state != stateHalfReply {
		r.Size %= 4096 // else a part of its reply may be with the client, and what cannot be repeated cannot be joined
	}
	return r
}

// next is the session's script: it warms up, comes into its state when it is told to, and goes on a little.
func (b *subject) next(number uint64) (workload.Request, bool) {
	last := uint64(warmUp + 1 + cooldown)
	if b.state == statePipelined {
		last += pipeline - 1
	}
	central := number == warmUp+1
	if central {
		b.heat()
		<-b.set
	}
	if central && b.state == stateIdle {
		b.arm()
		<-b.struck
	}
	switch {
	case number > last:
		return workload.Request{}, false
	case central:
		go b.wait()
		return b.request, true
	}
	p := workload.Plan{Kind: b.column.dialect.kind, Seed: b.number, Small: true}
	r := p.Request(number)
	r.Unsafe = b.unsafe && b.state == statePipelined && number%5 == 0
	if r.Unsafe || b.column.dialect.kind == workload.HTTP && r.Form != workload.Put {
		r.Form, r.Carry = workload.Plain, 0
	}
	return r, true
}

// wait arms the session when a server holds its request. It ends with that, or with the session.
func (b *subject) wait() {
	if b.request.Hold.Where == workload.HoldNowhere || b.column.dialect.kind == workload.Redis {
		return
	}
	ctx, stop := context.WithTimeout(context.Background(), held)
	defer stop()
	r := b.struckIn()
	if b.column.holds.Wait(ctx, &r) == nil && b.state != stateHalfReply {
		b.arm()
	}
}

// struckIn is the request in whose middle the failure strikes, as servers know it.
func (b *subject) struckIn() workload.Request {
	r := b.request
	r.Session, r.Number = b.number, warmUp+1
	return r
}

// event is what the client tells.
func (b *subject) event(e workload.Event) {
	central := e.Request.Number == warmUp+1
	switch e.Kind {
	case workload.Sending:
		b.mu.Lock()
		b.began = e.At
		b.mu.Unlock()
	case workload.HalfReceived:
		if central && b.state == stateHalfReply {
			b.arm()
			if b.column.dialect.kind == workload.Redis { // which does not hold: the client does not take the rest
				<-b.struck
			}
		}
	case workload.Sent:
		if central && b.column.dialect.kind == workload.Redis && b.state != stateHalfReply {
			time.AfterFunc(redisReads, b.arm)
		}
	case workload.HalfSent:
		if central && b.state == stateHalfSent {
			b.arm()
			<-b.struck
		}
	case workload.Answered, workload.Refused:
		b.answered(e.At, central)
	case workload.Ended:
		b.ended(e.At)
	}
}

// answered notes how long the first answer behind the strike has taken, and whether the strike comes too late.
func (b *subject) answered(at time.Time, central bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if central && (b.strike.IsZero() || at.Before(b.strike)) {
		b.early = true
	}
	if b.strike.IsZero() || b.gap > 0 || at.Before(b.strike) {
		return
	}
	since := b.strike
	if b.began.After(since) {
		since = b.began
	}
	b.gap = at.Sub(since)
}

// ended notes that the strike comes too late: what has ended before is not struck.
func (b *subject) ended(at time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.early = b.early || b.strike.IsZero() || at.Before(b.strike)
}

// hit says that the failure has struck.
func (b *subject) hit(at time.Time) {
	b.mu.Lock()
	b.strike = at
	b.mu.Unlock()
}
