package registrar

import (
	"time"

	"github.com/poolproxy/poolproxy/asap"
	"github.com/poolproxy/poolproxy/pool"
)

// Elements whose deregistration no registrar has heard before nobody wanted to wait any longer. While there are other users of the rules a
// registrar may still hear of it: sooner than the life of the registration is over, and before rspregistrar, which gets no answer for it to
// its keep-alives, ends the association and with it all other elements that were registered over it.

// forget drops a registration. If nobody hears of that any more, it ends with its life.
func (r *rules) forget(now time.Time, e *registration) {
	r.now = now
	if e.known && r.element(asap.PoolHandle(e.handle), e.element.ID) == e {
		if len(r.forgotten) >= mostReported {
			clear(r.forgotten)
		}
		r.forgotten[reportKey{e.handle, e.element.ID}] = e.sent.Add(r.c.Life)
	}
	r.leftFor(e, pool.ErrSourceDown)
}

// disown deregisters those that were forgotten and are meant, over this association.
func (r *rules) disown(l *link, which func(reportKey) bool) {
	for key, until := range r.forgotten {
		switch {
		case r.passed(until):
			delete(r.forgotten, key)
		case which(key):
			l.wire.send(asap.Deregistration{Handle: asap.PoolHandle(key.handle), PE: key.id})
		}
	}
}
