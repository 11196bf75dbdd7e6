package session

import "time"

const (
	// maxPiece is how many bytes of application data go into one message of the mapping at most: below every mapping's limit.
	maxPiece = 60 << 10

	// maxQueued is where a sender stops: with this much on an association's queue the transport is busy enough, and a
	// neighbour's message does not wait long.
	maxQueued = 256 << 10

	// ackEvery bounds how long an acknowledgement may wait for company, and ackShare is the share of the window (a quarter)
	// that may be consumed before new credit is told at once.
	ackEvery = 100 * time.Millisecond
	ackShare = 4

	// maxLinks is how many associations one element takes: a pool user has one.
	maxLinks = 4096

	// helloTimeout bounds the time from an association's Up to the peer's HELLO.
	helloTimeout = 5 * time.Second

	// redialEvery is how often a lost association to an element that does not answer is tried again.
	redialEvery = time.Second
)

// farBack reports whether so much of a window has been consumed that the peer should be told at once.
func farBack(told, now int64, window int) bool { return now-told >= int64(window/ackShare) }
