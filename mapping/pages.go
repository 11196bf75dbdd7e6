package mapping

import "github.com/poolproxy/poolproxy/loop"

// PageSender is an Association that can send bytes without copying them (TCP over Linux: splice). What the peer sees is the same.
type PageSender interface {
	Association

	// TakesPages reports whether SendPages is of use.
	TakesPages() bool

	// SendPages is Send of all that a piped Buffer holds; m.Data is ignored. It keeps a hold on the Buffer until it is written.
	// Nobody else may take bytes out of it meanwhile; Load may be called at any time.
	SendPages(m Message, from *loop.Buffer) error
}

// PageHandler is a Handler that can take messages whose bytes nobody has looked at.
type PageHandler interface {
	Handler

	// TakesPages reports whether the next message on the stream, of application data, may come as pages.
	TakesPages(stream uint16) bool

	// ReceivePages is Receive for a message whose Data is in a piped Buffer; the handler takes over the hold. It is also called
	// where TakesPages would not be true any more.
	ReceivePages(m Message, data *loop.Buffer)
}
