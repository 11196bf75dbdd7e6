package loop

import "errors"

// ErrScarce is wrapped by the errors of Dial where the process has no descriptor left for the connection: it says nothing of the peer.
var ErrScarce = errors.New("this process has no descriptors left")

// Rationed is a Loop that knows when the descriptors of its process run out: Epoll. Some are kept back, for what is more important than those
// who come anew: the connections by which sessions move to another server. When there are only these left listeners rest; who wants to come in
// waits in the kernel until there are more. A listener may be given a part of the reserve (Reserved): it rests when only the other one is left.
type Rationed interface {
	Loop

	// Scarce reports whether only those are left that are kept back. It belongs to the loop's goroutine.
	Scarce() bool

	// Claim keeps n descriptors more back, for what will need them, or n fewer: a client whose server is yet to be connected, for one. Together
	// they must not become negative.
	Claim(n int)

	// OnScarce has told called each time that a listener begins to rest because descriptors are scarce; most is how many the process may
	// have. It is called on the loop's goroutine.
	OnScarce(told func(most int))
}

// Reserved is a Listener of a Rationed.
type Reserved interface {
	Listener

	// UseReserve says whether it accepts from what is kept back, too, before it rests: half of that. It is for those whose coming in gives back
	// more than it takes. It belongs to the loop's goroutine.
	UseReserve(use bool)
}
