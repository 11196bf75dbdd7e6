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

	// maxLinks is how many associations one element takes: a pool user has one, or as many as it spreads its sessions over.
	maxLinks = 4096

	// maxStrangers is how many of them may not have said HELLO yet: who has waited for the longest makes place for one more. A pool user says it
	// within a round trip.
	maxStrangers = 1024

	// helloTimeout bounds the time from an association's Up to the peer's HELLO.
	helloTimeout = 5 * time.Second

	// redialEvery bounds the pause between two tries to bring back a lost association: all of it when the dial goes unanswered,
	// a quarter of it when it fails. It is also how long most sessions that can be moved wait for that, and how long an association
	// must last not to be taken for a flapping one.
	redialEvery = time.Second

	// leastStart is how long an association with a peer that has fallen silent may at least take to come back before sessions move that
	// lose nothing by it: some round trips of a LAN, and what a busy sidecar takes to answer. Users wait for it each time a host dies.
	leastStart = 20 * time.Millisecond

	// sayEvery is how often the log says that an element is not reached.
	sayEvery = 10 * time.Second

	// maxAnswers is how much may be queued for a peer that does not read, bytes: well above what a peer that reads can make us queue.
	maxAnswers = 8 << 20

	// fewAnswers is the same while memory is short: still well above maxQueued, which is what legs that send leave there.
	fewAnswers = 1 << 20
)

// firstCredit is the credit of a fresh leg, in bytes: all of memory unless first is less.
func firstCredit(first, memory int) int {
	if first > 0 {
		return min(first, memory)
	}
	return memory
}

// widestCredit is the most credit that a leg may have now, in bytes.
func widestCredit(window func() int, first, memory int) int {
	if window == nil {
		return memory
	}
	return min(max(window(), firstCredit(first, memory)), memory)
}

// farBack reports whether so much of a window has been consumed that the peer should be told at once.
func farBack(told, now int64, window int) bool { return now-told >= int64(window/ackShare) }
