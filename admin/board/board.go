package board

import (
	"context"
	"net/http"
	"sync"
	"time"
)

// How the dashboard is kept alive.
const (
	mostReaders = 32               // at once
	mostWaiting = 64               // events that a reader may be behind
	soonest     = time.Second      // between two looks
	share       = 20               // a look may take this part of the time, so that looking at the proxy never is its work
	latest      = 15 * time.Second // between two looks, however long they take
	writeLimit  = 10 * time.Second // for one event to a reader
)

// Board is the dashboard. It looks at the proxy while somebody looks at it, once for all of them.
type Board struct {
	look  func() View
	every time.Duration // soonest, shorter in tests
	ended context.Context
	end   context.CancelFunc
	all   sync.WaitGroup // of watch

	mu      sync.Mutex // guards what follows
	readers map[*reader]struct{}
	running bool
	last    View
	tables  *tables
	summary message
}

// reader is one browser that follows the events.
type reader struct {
	events chan message // closed when it has been left behind, or the board is closed
}

// New is a dashboard over look, which is called from a goroutine of the board, one at a time. Close it.
func New(look func() View) *Board {
	b := &Board{look: look, every: soonest, readers: map[*reader]struct{}{}}
	b.ended, b.end = context.WithCancel(context.Background())
	return b
}

// Close ends all readers and waits until nobody looks any more. Twice is harmless.
func (b *Board) Close() {
	b.mu.Lock()
	b.end()
	for r := range b.readers {
		b.leave(r)
	}
	b.mu.Unlock()
	b.all.Wait()
}

// join adds a reader; nil: there are too many, or the board is closed.
func (b *Board) join() *reader {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.readers) >= mostReaders || b.ended.Err() != nil {
		return nil
	}
	if b.running && b.tables != nil { // it begins with what the others have
		first := append(b.tables.whole(), b.summary)
		r := &reader{make(chan message, mostWaiting+len(first))}
		for _, m := range first {
			r.events <- m
		}
		b.readers[r] = struct{}{}
		return r
	}
	r := &reader{make(chan message, mostWaiting+4*mostRows/rowsEach+8)} // all tables fit: they come with the first look
	b.readers[r] = struct{}{}
	if !b.running {
		b.running = true
		b.all.Add(1)
		go b.watch()
	}
	return r
}

// leave is called with b.mu held.
func (b *Board) leave(r *reader) {
	if _, is := b.readers[r]; is {
		delete(b.readers, r)
		close(r.events)
	}
}

// watch looks and tells, as long as there are readers and the board is not closed. Close waits for it.
func (b *Board) watch() {
	defer b.all.Done()
	for {
		began := time.Now()
		view := b.look()
		took := time.Since(began)
		pause := min(max(b.every, share*took), latest)
		if !b.told(view, pause) {
			return
		}
		select {
		case <-b.ended.Done():
		case <-time.After(pause):
		}
	}
}

// told tells the readers what there is; false: there is nobody any more.
func (b *Board) told(view View, pause time.Duration) bool {
	all := len(view.Elements)
	view.bound()
	view.sorted()
	o := view.summary()
	o.Elements, o.Failovers = all, len(view.Failovers)
	o.Now, o.Every = time.Now().UnixMilli(), pause.Milliseconds()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.last = view
	if len(b.readers) == 0 || b.ended.Err() != nil {
		b.running, b.tables, b.last = false, nil, View{}
		return false
	}
	var changed []message
	if b.tables == nil {
		b.tables = newTables()
		b.tables.update(&view)
		changed = b.tables.whole()
	} else {
		changed = b.tables.update(&view)
	}
	b.summary = event("overview", line(o))
	for r := range b.readers {
		b.tell(r, append(changed, b.summary))
	}
	return true
}

// tell gives events to a reader. One that is too far behind is left: it comes again by itself, and begins anew.
func (b *Board) tell(r *reader, all []message) {
	for _, m := range all {
		select {
		case r.events <- m:
		default:
			b.leave(r)
			return
		}
	}
}

// events is GET /v1/events.
func (b *Board) events(w http.ResponseWriter, request *http.Request) {
	r := b.join()
	if r == nil {
		http.Error(w, "too many dashboards are open", http.StatusServiceUnavailable)
		return
	}
	defer func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.leave(r)
	}()
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	out := http.NewResponseController(w)
	for m := (message)("retry: 2000\n\n"); ; {
		if out.SetWriteDeadline(time.Now().Add(writeLimit)) != nil {
			return
		}
		if _, err := w.Write(m); err != nil || out.Flush() != nil {
			return // the reader has gone
		}
		var open bool
		select {
		case m, open = <-r.events:
			if !open {
				return
			}
		case <-request.Context().Done():
			return
		}
	}
}
