//go:build linux

package main

// Why curves that are neither flat nor linear fall or rise. Each stands where it may turn out to be needed (allSeries).
const (
	whyWakeShared = "the more sessions are busy, the more sockets are ready each time a thread wakes, so that waking up costs " +
		"each of them less"
	whyCaches  = "thousands of sockets and sessions, with their buffers in the kernel, no longer fit the caches"
	whyBatches = "the more sessions are busy, the more messages one read and one write of the association carry, and the more " +
		"sockets are ready in one turn of the loop"
	whyPools = "the first of them are served from what 64 sessions before the first look have left in its pools"
	whyOnce  = "what is allocated once, whatever the number of sessions (pages of tables, the heap's and the loop's first " +
		"buffers), is shared by more of them"
	whyTables = "tables that double when they are full are half empty behind that, and the garbage collector lets the heap " +
		"grow to twice what lives"
	whyCopies = "up to some KiB a request costs its system calls and wake-ups, whatever its size; from there on it costs its " +
		"bytes, which each hop copies in and out in pieces of its buffer, 16 KiB"
	whyCopiesAndLooks = "up to some KiB a request costs its system calls and wake-ups, whatever its size; from there on it costs its " +
		"bytes, which each hop copies in and out, and of which the first looks for the line's end"
	whyFewerEach = "1,000 sessions over as many associations: one read and one write carry ever fewer messages, until each " +
		"request pays for its own, with a wake-up, a header and an acknowledgement of the mapping"
	whyFirstSession = "the first session at an element waits until the association is up: a connection, INIT and HELLO of both " +
		"sides; with 1,000 elements nearly every one of the 1,000 sessions is the first"
	whyTablesOfEach = "each association has its tables, its timers and its buffers; the sessions take the same in all"
	whyLooking      = "whether a server lives is asked of the kernel and of /proc, which look through all sockets and descriptors, " +
		"and here all elements have theirs on one host"
	whyAsking = "the policy names the dead ones before the last, and each is found to be so by a connect that is refused: as " +
		"many connects, one after the other, as there are dead elements"
	whyRoundTrip  = "each request waits for one round trip, and that is physics"
	whyClosedLoop = "a closed loop of 64 connections can have no more than 64 replies in a round trip"
	whyTimer      = "on a connection with one small segment in flight no later one tells of the loss: it is sent again when the " +
		"kernel's timer says so (a tail loss probe after two round trips, else the retransmission timeout, 200 ms at " +
		"least), but it holds up nobody else"
	whyHeadOfLine = "a lost segment holds up all sessions behind it on its association until it has come again; later segments " +
		"tell of the loss, so that is one round trip, and seldom a timeout; the more associations, the fewer sessions " +
		"wait, and the fewer segments there are to tell"
	whyWaiting = "who waits for a lost segment asks nothing meanwhile"
	whyIdler   = "who waits for a lost segment to come again asks nothing meanwhile, so that the others have the processors " +
		"for themselves"
)
