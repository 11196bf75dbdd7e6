package loop

// Watcher is a Loop that can tell of the readiness of any descriptor: Epoll. It is for transports that are no streams of bytes,
// as SCTP; who asks for it makes the system calls.
type Watcher interface {
	Loop

	// Watch makes the descriptor the loop's, which must be non-blocking. The Handler hears Readable, Writable and Hangup whenever the
	// kernel says so: as edges, and sometimes for nothing. Connected is never said. On an error the descriptor is still the caller's.
	Watch(fd int, h Handler) (File, error)
}

// File is a descriptor that a loop watches. It belongs to the loop's goroutine.
type File interface {
	// FD is the descriptor, -1 once it is closed: by Close, or by the end of the loop.
	FD() int

	// Leave takes the descriptor off the loop, which is the caller's again, and returns it; the Handler hears nothing more.
	Leave() int

	// Close closes the descriptor; the Handler hears nothing more. Twice is harmless.
	Close()
}
