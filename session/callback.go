package session

// Callback is asked what to tell a server right after a leg was opened there, before anything else is sent (the failover callback
// of draft-conrad-rserpool-service-00 §6.3). Callbacks are asked for every leg, the first one included, one after another.
type Callback interface {
	// Call is called on the loop's goroutine, and answers once: within the call or later, on that goroutine. While it has not
	// answered, nothing is sent to the server. An error is a failed expectation: the session goes on to another element. An
	// answer for a leg that has ended meanwhile is ignored.
	Call(at Moment, answer func(Reaction, error))
}

// Moment is where a session stands when a callback is asked. Its slices and maps are the session's, and valid within Call.
type Moment struct {
	Session  uint64
	Client   string // the client's address
	Leg      uint32 // the new one
	Failover bool   // a leg before it has failed
	Element  string // the name of the pool element
	Address  string // the pool element's address

	Request    []byte                       // the oldest request in flight, as the client sent it; nil if there is none, or it is longer than 64 KiB
	ReplyBytes int64                        // bytes of its reply that the client has
	State      map[string]map[string]string // what state blocks have captured, by block and name
}

// Reaction is what a callback wants. The zero value is nothing.
type Reaction struct {
	// Send goes to the server; nil: nothing does. Where the protocol knows messages it is one or several whole requests.
	Send []byte

	// Expect judges each reply to Send, which the client does not see; an error is a failed expectation. nil: any reply will do.
	// With a protocol that knows no replies (stream) it is given all that has come so far, each time something came.
	Expect func(reply []byte) error

	// Continue: what the server answers to Send goes on where the interrupted reply was cut, and is the client's. The
	// interrupted request is not sent again. Without a request in flight the reaction is ignored.
	Continue bool
}

// Continuer is implemented by callbacks whose Reaction may be to Continue: a session has to know before whether the request in
// flight is repeated at all.
type Continuer interface {
	// Continues reports whether the reaction to this request in flight will be to Continue.
	Continues(request []byte) bool
}
