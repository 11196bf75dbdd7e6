package workload

import (
	"math/rand/v2"
	"time"
)

// Plan makes requests: of all sizes, from none to more than sockets buffer. The same seed makes the same requests.
type Plan struct {
	Kind     Kind
	Seed     uint64
	Requests uint64        // how many; 0: MaxNumber
	Until    time.Time     // none is begun behind it; zero: no end
	Pause    time.Duration // before each request but the first
	Unsafe   float64       // the share of unsafe ones, 0 to 1; none with Stream
	Small    bool          // no content above 4 KiB: cheaper, where sizes do not matter
	Split    float64       // the share of those that are sent in two halves
}

// Next is what Client.Next wants. It waits for Pause. The requests' own numbers and sessions are the client's.
func (p Plan) Next(number uint64) (Request, bool) {
	if number > 1 && p.Pause > 0 {
		time.Sleep(p.Pause)
	}
	if number > p.most() || !p.Until.IsZero() && time.Now().After(p.Until) {
		return Request{}, false
	}
	return p.Request(number), true
}

// most is the last request's number.
func (p Plan) most() uint64 {
	if p.Requests == 0 {
		return MaxNumber
	}
	return min(p.Requests, MaxNumber)
}

// Request is the request with that number.
func (p Plan) Request(number uint64) Request {
	random := rand.New(rand.NewPCG(p.Seed, number))
	r := Request{Number: number, Size: p.size(random)}
	r.Unsafe = p.Kind != Stream && random.Float64() < p.Unsafe
	r.Split = random.Float64() < p.Split
	if p.Kind == HTTP {
		r.Form = Form(random.IntN(int(forms)))
		if r.Unsafe {
			r.Form = Form(random.IntN(2)) // Plain or Chunked
		}
	}
	if p.carries(&r) {
		r.Carry = p.size(random)
		if p.Kind == Line && !r.Unsafe {
			r.Carry = min(r.Carry, 60<<10) // what is longer than max_line counts as unsafe
		}
	}
	return r
}

// carries reports whether requests of that form have room for content of their own.
func (p Plan) carries(r *Request) bool {
	switch p.Kind {
	case HTTP:
		return r.Unsafe || r.Form == Put
	case Redis:
		return false
	}
	return true
}

// size is mostly small, and now and then around what buffers hold.
func (p Plan) size(random *rand.Rand) int {
	most := 100
	switch n := random.IntN(100); {
	case n < 8:
		return 0
	case n < 10:
		return 1
	case n < 70 || p.Small && n < 95:
	case n < 90 || p.Small:
		most = 4 << 10
	case n < 94:
		return 64<<10 - 40 + random.IntN(80) // about one chunk of poolproxy's, one buffer
	case n < 98:
		most = 40 << 10
	default:
		most = 300 << 10
	}
	return 1 + random.IntN(most)
}
