package protocol

// Blind is Replies that may have no need to see the bytes. While Blind is true they need not be given to Next.
type Blind interface {
	Blind() bool
}

// BlindRequests is Requests that need not see the bytes: Unseen is Next for n of them.
type BlindRequests interface {
	Unseen(n int) (Cut, *Request)
}
