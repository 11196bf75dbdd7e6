package pool

import (
	"context"
	"errors"
)

// Registration is an element as it stands in a pool for others to find it (draft-conrad-rserpool-service-00 §5.2). An element that may be
// reached by several mappings has one of each, under one name.
type Registration struct {
	Handle  string  // of the pool
	Policy  Policy  // of the pool, as the element knows it. The first element of a pool decides; those that differ are refused
	Element Element // Name, Address, Mapping, Paths, and the values that the policy needs
}

// Registry is where elements register themselves. A Source may be one, too: etcd and a registrar are.
type Registry interface {
	// Register begins to register, and keeps the element registered, whatever happens to those that keep the handlespace, until it is
	// deregistered. told is called with how that stands: nil when it is registered, an error when it is not and will be tried again,
	// each change once. ErrInconsistent and ErrDuplicate are wrapped where another one is in the way. The calls come one after another,
	// from any goroutine, and must not block; they may come before Register returns. The error is that of a registration which can
	// never be.
	Register(r Registration, told func(error)) (Registered, error)
}

// Registered is an element that somebody has registered. Its methods may be called from any goroutine.
type Registered interface {
	// Revalue registers the element anew with these policy values; its name, mapping and addresses stay. It does not wait.
	Revalue(e Element)

	// Deregister takes the element out of the pool and returns when others are told of that, or with the error of why they cannot be
	// before ctx ends; then the registration ends with its lease. There is no call of told when it has returned. Twice is harmless.
	Deregister(ctx context.Context) error
}

// Reporter is a Source that wants to know which elements have failed, to tell others (RFC 5352 §2.2.9, §3.5: ENDPOINT_UNREACHABLE).
type Reporter interface {
	// Report tells that the element could not be reached, or died. It does not wait; what is lost is lost.
	Report(handle string, e Element)
}

// Refresher is a Source that can be asked at once, for those who do not want to wait until it says something by itself.
type Refresher interface {
	// Refresh asks for the pool's elements, has its followers told the answer, and returns when they have been: nil, or why there is none.
	Refresh(ctx context.Context, handle string) error
}

var (
	// ErrUnknownPool is wrapped where a pool handle is asked for that nobody knows.
	ErrUnknownPool = errors.New("unknown pool")

	// ErrEmptyPool is wrapped where a pool has no element that could be named.
	ErrEmptyPool = errors.New("the pool is empty")

	// ErrDuplicate is wrapped for a registration under a name that another living element of the pool has.
	ErrDuplicate = errors.New("duplicate pool element")

	// ErrSourceDown is wrapped where a source or registry cannot be reached now.
	ErrSourceDown = errors.New("the source is down")
)
