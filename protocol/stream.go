package protocol

import "errors"

// StreamConfig is protocol "stream": bytes of which nothing is known.
type StreamConfig struct {
	// NoJoin leaves out the hash of the replies, which costs time for every byte. A broken reply cannot be joined then; right
	// where nothing is ever sent again (replay = "none"), or where a History has the hash already (replay = "session").
	NoJoin bool
}

type stream struct {
	noJoin bool
}

// NewStream returns protocol "stream": all that the client ever says is one request, all that the server ever says is the reply
// to it.
func NewStream(c StreamConfig) Protocol { return &stream{noJoin: c.NoJoin} }

func (s *stream) Name() string { return "stream" }

func (s *stream) Requests() Requests { return &streamRequests{} }

func (s *stream) Replies() Replies { return &streamReplies{noJoin: s.noJoin} }

func (s *stream) Abort(string) []byte { return nil }

func (s *stream) Opaque() bool { return true }

// Join sends the whole request again. The new server's whole stream must begin with what the client has.
func (s *stream) Join(req *Request, _ []byte, d Delivered) ([]byte, Joiner, error) {
	if s.noJoin && d.Bytes == 0 {
		return nil, nil, errors.New("protocol stream: the replies were not hashed, so a new server's cannot be compared with them")
	}
	return nil, NewPrefixJoiner(d, s.Replies(), req), nil
}

// streamRequests finds the one endless message.
type streamRequests struct {
	req *Request
}

func (r *streamRequests) Next(p []byte) (Cut, *Request, error) {
	cut, req := r.Unseen(len(p))
	return cut, req, nil
}

// Unseen is Next for n bytes that nobody looks at.
func (r *streamRequests) Unseen(n int) (Cut, *Request) {
	if r.req == nil {
		r.req = &Request{Expect: ExpectUnknown, Label: "stream"}
	}
	return Cut{N: n, Known: true}, r.req
}

// streamReplies passes everything.
type streamReplies struct {
	noJoin bool
	prefix Prefix
}

func (r *streamReplies) Next(_ *Request, p []byte) (Cut, error) {
	if !r.noJoin {
		r.prefix.Add(p)
	}
	return Cut{N: len(p)}, nil
}

// Blind: without the hash nothing is looked at.
func (r *streamReplies) Blind() bool { return r.noJoin }

// Finish is always true: any end may be the end.
func (r *streamReplies) Finish(*Request) bool { return true }

// Delivered counts from the beginning of the leg.
func (r *streamReplies) Delivered() Delivered { return r.prefix.Delivered() }
