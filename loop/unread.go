package loop

// Acknowledged is a Conn whose transport knows how far the peer's system has acknowledged (Linux: Epoll's connections). It says
// nothing of the peer's process: see Unread.
type Acknowledged interface {
	// Unacknowledged is how many written bytes the peer's system has not acknowledged (SIOCOUTQ). A FIN counts as one more until
	// it is acknowledged. Acknowledgements may come late (Linux delays those of small messages by 40 ms, at most 200), so the bytes
	// that have not arrived are at most so many. It is an error before Connected, and once the connection has failed or was closed.
	Unacknowledged() (int, error)
}

// Unread is a Conn that knows how far the peer's process has read (looptest: a network in memory knows both ends).
type Unread interface {
	// Unread is how many written bytes the peer's process has not read: never too few, and too many only while an
	// acknowledgement is under way. ok is false where that cannot be known: before Connected, and once either end has been
	// closed or has failed.
	Unread() (n int, ok bool)
}
