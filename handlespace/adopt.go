package handlespace

import (
	"fmt"

	"github.com/poolproxy/poolproxy/pool"
)

// maxID bounds the id of a registration that another process has made, bytes.
const maxID = 64

// Adopt goes on with a registration of a process whose place this one has taken: it keeps its id, and is kept up whether the pool's source
// can have it now or not. It does not wait for the source, and is called
// before anybody registers. The errors are those of Register.
func (h *Handlespace) Adopt(k Kept) error {
	p, err := h.find(k.Handle)
	if err != nil {
		return err
	}
	to, is := p.Source.(pool.Registry)
	if !is {
		return fmt.Errorf("%s %w: its elements are named elsewhere", p.from(), ErrNoRegistry)
	}
	if err := p.check(k.Registration); err != nil {
		return err
	}
	if k.ID == "" || len(k.ID) > maxID {
		return fmt.Errorf("%w: its id %s", ErrInvalid, quote(k.ID))
	}
	n := &registered{id: k.ID, r: k.Registration, pool: p, at: k.Since, outcome: make(chan error, 1)}
	h.mu.Lock()
	_, twice := h.registrations[k.ID]
	h.mu.Unlock()
	if twice {
		return fmt.Errorf("%w: there is one with the id %s", ErrInvalid, quote(k.ID))
	}
	if err := h.reserve(n); err != nil {
		return err
	}
	n.handle, err = to.Register(n.r, n.told)
	h.mu.Lock()
	defer h.mu.Unlock()
	if err != nil {
		delete(h.registrations, n.id)
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	h.registrations[n.id] = n
	return nil
}
