package proxy

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/poolproxy/poolproxy/loop"
	"github.com/poolproxy/poolproxy/secure"
	"github.com/poolproxy/poolproxy/whence"
)

// HealthKind is what a health check does.
type HealthKind int

const (
	HealthConnect HealthKind = iota // a connection is made, and closed
	HealthExpect                    // bytes are sent, and an answer is expected
	HealthHTTP                      // a page is asked for
	HealthExec                      // a program is run

	healthListens // somebody must listen on the server's port: what is looked at for registrations
)

// HealthCheck says how a server is asked whether it does its work. A server is taken for healthy until Fall checks in a row have
// failed, also at the start: waiting for Rise checks would keep clients waiting at every start of a sidecar.
type HealthCheck struct {
	Kind    HealthKind
	Address netip.AddrPort // to connect to; not for HealthExec

	Send   []byte         // HealthExpect: what is sent; may be empty
	Expect *regexp.Regexp // HealthExpect: is tried on all that has come; the first match is a success

	Host   string // HealthHTTP: the field Host
	Path   string // HealthHTTP: the request target
	Status int    // HealthHTTP: the status wanted; 0: 200 to 399

	SendProxy whence.Version // with what header of the PROXY protocol a connection begins: that of the server's; set by the proxy

	Exec []string // HealthExec: a program and its arguments, without a shell; exit status 0 is a success

	Interval time.Duration // from the beginning of a check to that of the next
	Timeout  time.Duration // of one check; not longer than Interval
	Rise     int           // so many successes in a row make a server healthy that was not
	Fall     int           // so many failures in a row make it unhealthy
}

// String is what a check is called in reasons.
func (c *HealthCheck) String() string {
	switch c.Kind {
	case HealthHTTP:
		return "GET http://" + c.Host + c.Path
	case HealthExec:
		return "exec " + c.Exec[0]
	case HealthExpect:
		return "ask " + c.Address.String()
	case healthListens:
		return "listen on " + c.Address.String()
	}
	return "connect to " + c.Address.String()
}

// health asks one server again and again, and says when its state changes. It belongs to the loop's goroutine; only the programs of
// HealthExec run elsewhere (see program).
type health struct {
	shard  *Shard
	name   string // of the pool_element
	check  HealthCheck
	change func(error) // told when the server has become healthy (nil), and of each failure while it is not
	each   func()      // called after each check; nil: nobody is interested
	probe  *probe      // healthListens: it is asked

	origin *secure.Origin // how the server is spoken to in TLS; nil: it is not

	next    loop.Timer // begins a check
	limit   loop.Timer // ends one that takes too long
	began   time.Time
	attempt attempt  // the check that is going on; nil: none
	number  uint64   // of checks begun
	program *program // the last that was run

	reason error // nil: healthy
	proved bool  // a check has passed, so that it is not only taken to be healthy
	last   error // the result of the last check
	row    int   // results in a row that speak against the present state
}

// attempt is one check that is going on. It calls health.ended once, not before it was returned, unless it was stopped.
type attempt interface {
	// late is the result of a check whose time is over.
	late() error
	// stop ends it; nothing is called afterwards.
	stop()
}

// newHealth begins to check. The first check comes within one interval.
func newHealth(s *Shard, name string, c HealthCheck, change func(error)) *health {
	h := &health{shard: s, name: name, check: c, change: change}
	h.next.Func, h.limit.Func = h.begin, h.expired
	s.loop.Schedule(&h.next, s.loop.Now().Add(time.Duration(h.chance()*float64(c.Interval))))
	return h
}

// chance is a number from 0 to 1 that spreads the checks of many elements over time. It follows from the names of the element and
// of its check, and from the number of checks begun: the same run again is the same again.
func (h *health) chance() float64 {
	seed := xxhash.Sum64String(fmt.Sprintf("%s %v %d", h.name, &h.check, h.number))
	return float64(seed>>11) / (1 << 53)
}

func (h *health) begin() {
	h.number++
	h.began = h.shard.loop.Now()
	switch {
	case h.check.Kind == healthListens:
		h.attempt = lookForListener(h)
	case h.check.Kind != HealthExec:
		h.attempt = dialCheck(h)
	case h.program.running():
		h.ended(errors.New("its last run was killed, and has not ended"))
		return
	default:
		h.program = runProgram(h)
		h.attempt = h.program
	}
	h.shard.loop.Schedule(&h.limit, h.began.Add(h.check.Timeout))
}

// expired ends a check that takes too long.
func (h *health) expired() {
	err := h.attempt.late()
	h.attempt.stop()
	h.ended(err)
}

// ended takes the result of a check. The next one comes up to a tenth of the interval early, so that checks that once met do not
// meet for ever.
func (h *health) ended(err error) {
	h.shard.loop.Cancel(&h.limit)
	h.attempt = nil
	early := time.Duration(h.chance() * float64(h.check.Interval) / 10)
	h.shard.loop.Schedule(&h.next, h.began.Add(h.check.Interval-early))
	if err != nil {
		err = fmt.Errorf("%v: %w", &h.check, err)
		h.shard.count(healthFailed, h.name)
	}
	h.proved, h.last = h.proved || err == nil, err
	h.judge(err)
	if h.each != nil {
		h.each()
	}
}

// found is why the server is not healthy, or not known to be; nil: nothing speaks against it.
func (h *health) found() error {
	if h.reason == nil && !h.proved {
		return h.last
	}
	return h.reason
}

// judge counts a result, and changes the state when enough of them speak against it.
func (h *health) judge(err error) {
	if (err == nil) == (h.reason == nil) {
		h.row = 0
		if err != nil { // the newest reason is the one to be shown
			h.reason = err
			h.change(err)
		}
		return
	}
	h.row++
	switch {
	case err != nil && h.row >= h.check.Fall:
		h.shard.log.Warn("server unhealthy", "pool_element", h.name, "checks_failed", h.row, "reason", err)
	case err == nil && h.row >= h.check.Rise:
		h.shard.log.Info("server healthy again", "pool_element", h.name, "checks_passed", h.row)
	default:
		return
	}
	h.reason, h.row = err, 0
	h.change(err)
}

// text is the state for people: "healthy", or why not. For an element without checks it is empty.
func (h *health) text() string {
	switch {
	case h == nil:
		return ""
	case h.reason != nil:
		return h.reason.Error()
	}
	return "healthy"
}

// close ends checking. Nothing is called afterwards, and nothing runs any more.
func (h *health) close() {
	if h == nil {
		return
	}
	h.shard.loop.Cancel(&h.next)
	h.shard.loop.Cancel(&h.limit)
	if h.attempt != nil {
		h.attempt.stop()
		h.attempt = nil
	}
	h.program.wait()
}
