package workload

import (
	"fmt"
	"strconv"
	"time"
)

// Bounds of a request. What is beyond them is refused by whoever reads it.
const (
	MaxContent = 1 << 21 // bytes of one reply's content, and of what a request carries
	MaxNumber  = 1<<22 - 1
	MaxHold    = time.Minute
)

// Request is one numbered request, and how the server is to behave.
type Request struct {
	Session uint64 `json:"session"` // unique over all clients whose servers share a journal: see Client.Session
	Number  uint64 `json:"number"`  // 1, 2, 3 … within the session, at most MaxNumber
	Size    int    `json:"size"`    // bytes of the reply's content; at most MaxContent
	Carry   int    `json:"carry"`   // bytes that the request itself carries, 0 where its form has no place for them; at most MaxContent
	Unsafe  bool   `json:"unsafe"`  // it must not be carried out twice
	Form    Form   `json:"form"`    // of HTTP: how it is asked and answered
	Hold    Hold   `json:"hold"`    // where the server pauses

	// Split has the client write the first half, tell (HalfSent), and write the rest when its Events has returned.
	Split bool `json:"split"`

	chain    uint64 // of Stream: the sum of all that the session has said up to here
	from, to int64  // of HTTP, at the server: what part of the content is to be sent
	ranged   bool   // it was asked for by Range
}

// check tells what is out of bounds.
func (r *Request) check() error {
	switch {
	case r.Number == 0 || r.Number > MaxNumber:
		return fmt.Errorf("request %d: numbers are 1 to %d", r.Number, MaxNumber)
	case r.Size < 0 || r.Size > MaxContent:
		return fmt.Errorf("request %d: its reply of %d bytes is not 0 to %d long", r.Number, r.Size, MaxContent)
	case r.Carry < 0 || r.Carry > MaxContent:
		return fmt.Errorf("request %d: the %d bytes that it carries are not 0 to %d", r.Number, r.Carry, MaxContent)
	case r.Hold.For < 0 || r.Hold.For > MaxHold || r.Hold.Where >= holdPlaces:
		return fmt.Errorf("request %d: a hold is at most %v, at a place that there is", r.Number, MaxHold)
	case r.Form >= forms || r.Unsafe && r.Form > Chunked:
		return fmt.Errorf("request %d: there is no form %d, or none that is unsafe", r.Number, r.Form)
	}
	return nil
}

// HoldPlace is where a server pauses.
type HoldPlace uint8

// The places. A server that is killed while it holds was, for certain, at that place.
const (
	HoldNowhere      HoldPlace = iota
	HoldBeforeDoing            // the request is read, and not carried out
	HoldBeforeAnswer           // it is carried out, and nothing of the reply is sent
	HoldHalfAnswered           // half of the reply's content is sent
	holdPlaces
)

// holdLetters name the places on the wire.
const holdLetters = "-xam"

// Hold is a pause of the server's, rounded down to milliseconds.
type Hold struct {
	Where HoldPlace     `json:"where"`
	For   time.Duration `json:"for"`
}

// String is the hold as it goes over the wire: "-", or a letter and milliseconds.
func (h Hold) String() string {
	if h.Where == HoldNowhere || h.Where >= holdPlaces {
		return "-"
	}
	return string(holdLetters[h.Where]) + strconv.FormatInt(h.For.Milliseconds(), 10)
}

// parseHold reads what String wrote.
func parseHold(text string) (Hold, error) {
	if text == "-" {
		return Hold{}, nil
	}
	for place := HoldBeforeDoing; place < holdPlaces; place++ {
		if text != "" && text[0] == holdLetters[place] {
			ms, err := strconv.ParseUint(text[1:], 10, 32)
			if err != nil || time.Duration(ms)*time.Millisecond > MaxHold {
				return Hold{}, fmt.Errorf("hold %q is not 0 to %d ms", text, MaxHold.Milliseconds())
			}
			return Hold{place, time.Duration(ms) * time.Millisecond}, nil
		}
	}
	return Hold{}, fmt.Errorf("hold %q begins with none of %q", text, holdLetters)
}

// Form is how a request of HTTP is asked and answered. Unsafe ones are POST, answered as Plain or Chunked.
type Form uint8

// The forms of HTTP.
const (
	Plain       Form = iota // GET; Content-Length
	Chunked                 // GET; Transfer-Encoding: chunked
	Head                    // HEAD
	NotModified             // GET with If-None-Match, to be answered by 304
	Ranged                  // GET with Range: the second half, 206
	Put                     // PUT, which carries content and may be repeated
	forms
)

// pattern of the content that answers r.
func (r *Request) answer(kind Kind) pattern { return newPattern(kind, toClient, r.Session, r.Number) }

// pattern of the content that r carries.
func (r *Request) carried(kind Kind) pattern { return newPattern(kind, toServer, r.Session, r.Number) }
