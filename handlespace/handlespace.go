// Package handlespace is RSerPool's nameservice mode: the service primitives of draft-conrad-rserpool-service-00 §5.1, §5.2 and §6.4 in
// Go. A program asks for the primary server of a pool and for the next one, and puts itself into pools and takes itself out. It needs
// no proxy for that; a proxy shares its pools with it, and the admin API and the command line are two more faces of the same.
package handlespace

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/poolproxy/poolproxy/pool"
)

// Errors of this package, wrapped. Those of package pool are the others: ErrUnknownPool, ErrEmptyPool, ErrInconsistent, ErrDuplicate,
// ErrSourceDown.
var (
	// ErrUnknownID is that of an id which Register has not returned, or whose registration has ended.
	ErrUnknownID = errors.New("unknown registration")

	// ErrNoRegistry is that of a pool whose source takes no registrations: DNS is one.
	ErrNoRegistry = errors.New("takes no registrations")

	// ErrInvalid is that of a registration which says what cannot be.
	ErrInvalid = errors.New("invalid registration")

	// ErrTooMany is that of a registration beyond MaxRegistrations.
	ErrTooMany = errors.New("too many registrations")

	// ErrClosed is that of a handlespace which has been closed.
	ErrClosed = errors.New("the handlespace is closed")
)

// MaxRegistrations is how many registrations a handlespace keeps at once.
const MaxRegistrations = 4096

// Pool is a pool with what is known of where its elements come from.
type Pool struct {
	Pool       *pool.Pool
	Mapping    string      // by which its elements are reached: none, tcp, sctp; "": whatever each of them says
	Source     pool.Source // where its elements come from, and registrations go to; nil: it has those it was made of, and takes none
	SourceName string      // for messages: "dns.k8s"; "": none that a user would know

	// Learned is for pools that somebody else feeds: it returns when the pool has learned what the source has said until now. nil: it does
	// so at once.
	Learned func()

	Refuses func(pool.Element) error // tells why an element cannot be registered; nil, the function or what it returns: it can
}

// from names the source for messages.
func (p *Pool) from() string {
	if p.SourceName == "" {
		return fmt.Sprintf("pool %q", p.Pool.Handle)
	}
	return fmt.Sprintf("source %s of pool %q", p.SourceName, p.Pool.Handle)
}

// learned returns when the pool has learned what its source has said.
func (p *Pool) learned() {
	if p.Learned != nil {
		p.Learned()
	}
}

// Handlespace is the pools that are known, and the registrations that are kept up here. Its methods may be called from any goroutine; it
// has none of its own.
type Handlespace struct {
	now func() time.Time

	mu            sync.Mutex // never held across a call of a source or a pool
	pools         map[string]*Pool
	stops         []func()               // end what Follow has begun
	registrations map[string]*registered // by id
	closed        bool
}

// New returns a handlespace without pools; now is the time: time.Now.
func New(now func() time.Time) *Handlespace {
	return &Handlespace{now: now, pools: make(map[string]*Pool), registrations: make(map[string]*registered)}
}

// Share makes a pool known that somebody else feeds, or that does not change. One of the same handle is replaced.
func (h *Handlespace) Share(p Pool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.pools[p.Pool.Handle] = &p
}

// Withdraw makes a pool unknown that was shared. Who is registered in it stays so, as far as its source has it.
func (h *Handlespace) Withdraw(handle string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.pools, handle)
}

// Follow makes a pool known and feeds it with what its source says, until Close. It does not wait for that.
func (h *Handlespace) Follow(p Pool) {
	h.Share(p)
	stop := p.Pool.Follow(h.now(), p.Source, func(n pool.News) {
		n.Elements = pool.ReachedBy(p.Mapping, n.Elements)
		now := h.now()
		p.Pool.Learn(now, n)
		p.Pool.Reported(now, n.Reported)
	})
	h.mu.Lock()
	closed := h.closed
	h.stops = append(h.stops, stop)
	h.mu.Unlock()
	if closed { // meanwhile
		stop()
	}
}

// Close takes out of their pools all elements that are registered, tells others as long as ctx allows, and ends what Follow has begun. The
// error is that others could not all be told: they hear of it when the leases end. Twice is harmless.
func (h *Handlespace) Close(ctx context.Context) error {
	h.mu.Lock()
	h.closed = true
	var left []*registered
	for id, r := range h.registrations {
		left = append(left, r)
		delete(h.registrations, id)
	}
	stops := h.stops
	h.stops = nil
	h.mu.Unlock()
	err := deregisterAll(ctx, left)
	for _, stop := range stops {
		stop()
	}
	return err
}

// find returns a pool by its handle.
func (h *Handlespace) find(handle string) (*Pool, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if p := h.pools[handle]; p != nil {
		return p, nil
	}
	return nil, fmt.Errorf("%w %s: %s", pool.ErrUnknownPool, quote(handle), h.known())
}

// mostListed bounds lists for people.
const mostListed = 10

// known lists the pools. It is called with h.mu held.
func (h *Handlespace) known() string {
	if len(h.pools) == 0 {
		return "there are none at all"
	}
	var names []string
	for name := range h.pools {
		names = append(names, quote(name))
	}
	slices.Sort(names)
	if n := len(names) - mostListed; n > 0 {
		names = append(names[:mostListed], fmt.Sprintf("and %d more", n))
	}
	return "there are " + strings.Join(names, ", ")
}

// quote makes what came from outside fit for a message: short, and without what would move a cursor.
func quote(s string) string {
	const most = 80 // bytes
	if len(s) > most {
		return fmt.Sprintf("%q...", s[:most])
	}
	return fmt.Sprintf("%q", s)
}

// newID returns what nobody can guess: 128 bits.
func newID() string {
	var id [16]byte
	_, _ = rand.Read(id[:]) // crypto/rand.Read never fails
	return fmt.Sprintf("%x", id)
}
