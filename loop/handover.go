package loop

import "net/netip"

// Adopter is a Loop whose accepted connections need not stay on the loop that has accepted them: Epoll. One listening socket
// can so serve several loops, which share nothing else.
type Adopter interface {
	Loop

	// ListenFor accepts connections at the address for whichever loop; take is given each, and owns it. The error names the
	// address.
	ListenFor(at netip.AddrPort, take func(Accepted)) (Listener, error)

	// Adopt makes the connection this loop's; accept is that of Listen. A connection that cannot be taken up is closed.
	Adopt(a Accepted, accept func(Conn) Handler)
}

// Movable is a Conn that may leave its loop for another.
type Movable interface {
	Conn

	// Peek returns the first bytes that Read would, and takes none of them: at most len(p), which come again with the next Peek
	// or Read. The Handler hears Readable when there are more of them. With io.EOF nothing will follow; with other errors, ErrAgain
	// too, there are none.
	Peek(p []byte) (int, error)

	// Leave takes the connection off its loop, for another to adopt. The Conn is closed with that, and its Handler hears nothing
	// more; what has arrived and was not read goes with the connection.
	Leave() Accepted
}
