package loop

import (
	"fmt"
	"net/netip"
	"time"
)

// Gate is a Conn over another one, through which nothing goes while somebody holds it, or what comes is read late. It is how a connection is disturbed
// on purpose. It is put between a Conn and its Handler for as long as that lasts, and not before: others pay nothing for it. The one who does has the
// events of the Conn go to Gate.Ready, and uses the Gate in place of the Conn.
//
// While it is held nothing is read and nothing is written, no end and no reset either: what its owner wants of that is done when it is let go. What had
// been written before is the system's, which still sends it, and which acknowledges what comes until its buffer is full: so the peer's system may find
// the connection well, but its process hears nothing.
type Gate struct {
	loop    Loop
	conn    Conn
	pages   PageConn // conn, if it can move pages; else nil
	handler Handler
	timer   Timer // of what has come and is read late

	held    int           // by how many
	late    time.Duration // how late it is read; 0: at once
	open    bool          // late: what has come may be read now
	missed  Event         // what the Handler has not heard of
	blocked bool          // a write was not taken: Writable is owed
	shut    bool          // CloseWrite was called, and is yet to be passed on
	end     func()        // Close or Reset, which was called; nil: neither
	over    bool          // that has been passed on, or the Gate has broken
	failed  error         // it has broken
	spoken  bool          // that has been read
}

// NewGate makes a Gate, which is open. h hears what it lets through.
func NewGate(l Loop, conn Conn, h Handler) *Gate {
	g := &Gate{loop: l, conn: conn, handler: h}
	g.pages, _ = conn.(PageConn)
	g.timer.Func = g.due
	return g
}

// Inner is the Conn behind it.
func (g *Gate) Inner() Conn { return g.conn }

// Hold has nothing go through until Release has been called as often.
func (g *Gate) Hold() {
	g.held++
	g.missed |= Readable // a reader may have been about to come back by itself
}

// Release takes a Hold back. With the last one all goes on as if the path had been slow: what was asked for meanwhile is done now.
func (g *Gate) Release() {
	if g.held == 0 {
		return // it has broken
	}
	if g.held--; g.held > 0 || g.over {
		return
	}
	if g.shut {
		g.shut = false
		_ = g.conn.CloseWrite() // if that fails the connection has, of which Hangup tells
	}
	if g.end != nil {
		g.finish()
		return
	}
	ev := g.missed
	if g.blocked {
		ev |= Writable
	}
	g.missed, g.blocked = 0, false
	g.Ready(ev)
}

// Late has what comes be read so much later, counted from when there was something to read again; 0: at once, as before.
func (g *Gate) Late(by time.Duration) {
	g.late, g.open = by, false
	if by > 0 {
		g.Ready(Readable) // a reader may have been about to come back by itself
	} else if ev := g.missed; g.held == 0 && ev != 0 {
		g.loop.Cancel(&g.timer)
		g.missed = 0
		g.tell(ev)
	}
}

// Break resets the connection, and has the Handler hear that the peer has: also if it is held.
func (g *Gate) Break() {
	failed := fmt.Errorf("connection with %v: %w", g.conn.Remote(), ErrReset)
	tell := g.end == nil && !g.over
	g.Drop()
	if tell {
		g.failed = failed
		g.handler.Ready(Readable | Hangup)
	}
}

// Drop resets the connection, also if it is held. The Handler hears nothing more, and its Conn is closed.
func (g *Gate) Drop() {
	if g.over {
		return
	}
	g.conn.Reset()
	g.over, g.held = true, 0
	g.loop.Cancel(&g.timer)
}

// Idle reports whether it lets everything through, so that it can be left out again.
func (g *Gate) Idle() bool { return g.held == 0 && g.late == 0 && !g.Broken() }

// Broken reports whether Break or Drop have ended it.
func (g *Gate) Broken() bool { return g.over && g.end == nil }

// Owes reports whether a CloseWrite has been called and is yet to be done.
func (g *Gate) Owes() bool { return g.shut }

// Ready hears of the Conn behind it (Handler).
func (g *Gate) Ready(ev Event) {
	if g.held > 0 {
		g.missed |= ev
		return
	}
	if g.late > 0 && ev&(Readable|Hangup) != 0 {
		g.missed |= ev & (Readable | Hangup)
		ev &^= Readable | Hangup
		if !g.timer.Armed() {
			g.loop.Schedule(&g.timer, g.loop.Now().Add(g.late))
		}
	}
	if ev != 0 {
		g.tell(ev)
	}
}

// due has what has come be read, since that is late enough.
func (g *Gate) due() {
	if g.held > 0 {
		return // Release comes back to it
	}
	ev := g.missed
	g.missed, g.open = 0, true
	g.tell(ev)
}

func (g *Gate) tell(ev Event) {
	if g.end == nil && !g.over {
		g.handler.Ready(ev)
	}
}

// why is the error of what cannot be done any more.
func (g *Gate) why(what string) error {
	switch {
	case g.failed != nil:
		return g.failed
	case g.end != nil || g.over:
		return fmt.Errorf("%s %v: %w", what, g.conn.Remote(), ErrClosed)
	}
	return nil
}

// mayRead is the error of a read that is not passed on.
func (g *Gate) mayRead() error {
	if err := g.why("read from"); err != nil {
		return err
	}
	if g.held > 0 || g.late > 0 && !g.open {
		return ErrAgain
	}
	return nil
}

// mayWrite is the error of a write that is not passed on.
func (g *Gate) mayWrite() error {
	err := g.why("write to")
	switch {
	case err != nil:
		return err
	case g.shut:
		return fmt.Errorf("write to %v: %w", g.conn.Remote(), ErrClosed)
	case g.held > 0:
		g.blocked = true
		return ErrAgain
	}
	return nil
}

// Read is that of the Conn behind it; see Conn.
func (g *Gate) Read(p []byte) (int, error) {
	if err := g.mayRead(); err != nil {
		g.spoken = g.spoken || g.failed != nil
		return 0, err
	}
	n, err := g.conn.Read(p)
	g.open = g.open && n == len(p) && err == nil
	return n, err
}

// ReadPages is that of the Conn behind it; see PageConn.
func (g *Gate) ReadPages(b *Buffer, n int) (int, error) {
	if err := g.mayRead(); err != nil {
		return 0, err
	}
	if g.pages == nil {
		return 0, ErrNoPages
	}
	got, err := g.pages.ReadPages(b, n)
	g.open = g.open && (err == nil || err == ErrNoPages)
	return got, err
}

// Write is that of the Conn behind it; see Conn.
func (g *Gate) Write(bufs ...[]byte) (int, error) {
	if err := g.mayWrite(); err != nil {
		return 0, err
	}
	return g.conn.Write(bufs...)
}

// WritePages is that of the Conn behind it; see PageConn.
func (g *Gate) WritePages(b *Buffer, more bool) (int, error) {
	if err := g.mayWrite(); err != nil {
		return 0, err
	}
	if g.pages == nil {
		return 0, ErrNoPages
	}
	return g.pages.WritePages(b, more)
}

// WriteMore is that of the Conn behind it; see PageConn.
func (g *Gate) WriteMore(bufs ...[]byte) (int, error) {
	if err := g.mayWrite(); err != nil {
		return 0, err
	}
	if g.pages == nil {
		return g.conn.Write(bufs...)
	}
	return g.pages.WriteMore(bufs...)
}

// CloseWrite is that of the Conn behind it, done when it may be; see Conn.
func (g *Gate) CloseWrite() error {
	if err := g.why("close writing to"); err != nil {
		return err
	}
	if g.held > 0 {
		g.shut, g.blocked = true, false
		return nil
	}
	return g.conn.CloseWrite()
}

// Close is that of the Conn behind it, done when it may be; see Conn.
func (g *Gate) Close() { g.ends(g.conn.Close) }

// Reset is that of the Conn behind it, done when it may be; see Conn.
func (g *Gate) Reset() { g.ends(g.conn.Reset) }

func (g *Gate) ends(end func()) {
	if g.end != nil || g.over {
		return
	}
	g.end = end
	g.loop.Cancel(&g.timer)
	if g.held == 0 {
		g.finish()
	}
}

// finish passes on the end that was asked for.
func (g *Gate) finish() {
	g.over = true
	g.end()
}

// Carry tells what has to be carried of one that has broken; see Carrier. While a connection is disturbed otherwise it cannot be carried: who carries
// undoes that first.
func (g *Gate) Carry() (fd int, k Kept, ok bool) {
	return -1, Kept{Remote: g.conn.Remote(), HungUp: true, Spoken: g.spoken || g.failed == nil, Err: g.failed}, g.failed != nil
}

// Abandon is Close: there is no descriptor any more.
func (g *Gate) Abandon() { g.Close() }

// Err is why the connection failed.
func (g *Gate) Err() error {
	if g.failed != nil {
		return g.failed
	}
	return g.conn.Err()
}

func (g *Gate) Local() netip.AddrPort          { return g.conn.Local() }
func (g *Gate) Remote() netip.AddrPort         { return g.conn.Remote() }
func (g *Gate) Info() (Info, bool)             { return g.conn.Info() }
func (g *Gate) SetUserTimeout(d time.Duration) { g.conn.SetUserTimeout(d) }
