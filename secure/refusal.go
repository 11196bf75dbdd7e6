package secure

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/poolproxy/poolproxy/loop"
)

// Reason is why no TLS came about, in a word for counting.
type Reason string

const (
	NoCertificate Reason = "no_certificate" // the peer shows none
	NotTrusted    Reason = "not_trusted"    // no authority that we know has signed it, or it is for something else
	Expired       Reason = "expired"        // its time is over, or has not come
	NotAllowed    Reason = "not_allowed"    // its names are not among those that are allowed
	OldVersion    Reason = "version"        // the peer speaks no TLS 1.3
	ByPeer        Reason = "by_peer"        // the peer has refused us
	Overload      Reason = "overload"       // too many others are on the way
	Late          Reason = "late"           // it has taken too long
	Broken        Reason = "broken"         // it speaks no TLS, or has gone in the middle
)

// Refusal is the error of a handshake that has failed.
type Refusal struct {
	Reason Reason
	Err    error
}

func (r *Refusal) Error() string { return fmt.Sprintf("TLS refused (%s): %v", r.Reason, r.Err) }

// Unwrap has a Refusal be a loop.ErrReset, too: the association is one that was ended.
func (r *Refusal) Unwrap() []error { return []error{r.Err, loop.ErrReset} }

// refusal finds the reason of a handshake's error.
func refusal(err error) *Refusal {
	var known *Refusal
	if errors.As(err, &known) {
		return known
	}
	reason, text := Broken, err.Error()
	switch {
	case strings.Contains(text, "didn't provide a certificate"):
		reason = NoCertificate
	case strings.Contains(text, "unsupported version"), strings.Contains(text, "protocol version"):
		reason = OldVersion
	case strings.Contains(text, "remote error: "):
		reason = ByPeer
	}
	return &Refusal{reason, err}
}

// Refused is told of each handshake that has failed, on the loop's goroutine. nil is nobody.
type Refused func(peer netip.AddrPort, why *Refusal)
