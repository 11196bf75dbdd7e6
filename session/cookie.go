package session

import (
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/poolproxy/poolproxy/loop"
)

// A cookie is what an element wants the next one to know of a session: opaque bytes that the pool user keeps, the last of each
// session, and shows to the element that takes the session over, before anything else (RFC 5352 §3.8; draft-conrad-rserpool-service-00
// leaves it to ASAP). The pool user is not to be trusted with what servers believe, so elements sign what they give it.

const (
	// MaxCookie bounds a cookie as its element sets it, in bytes.
	MaxCookie = 4096

	// LeastCookieKey is how long a key must be by which cookies are signed, in bytes.
	LeastCookieKey = 32

	// sealVersion is the first byte of a signed cookie. Its MAC follows, then the cookie itself.
	sealVersion = 1
	sealSize    = 1 + sha256.Size

	// sealDomain keeps signatures of cookies apart from whatever else the key may be used for. The session's token follows, which has
	// always the same length.
	sealDomain = "poolproxy session cookie 1\x00"

	// maxSealed bounds a cookie on the wire, in bytes.
	maxSealed = sealSize + MaxCookie
)

// Errors of Leg.SetCookie. They are wrapped with what exactly was asked.
var (
	// ErrCookieLong: the cookie is longer than MaxCookie.
	ErrCookieLong = errors.New("session: the cookie is too long")
	// ErrCookieKey: this element has no key to sign cookies with, and its peers would take any for true.
	ErrCookieKey = errors.New("session: cookies need a key that all elements of the pool share (cookie_key_file in pool_element)")
	// ErrLegOver: the session is not served here any more.
	ErrLegOver = errors.New("session: the leg has ended")
)

// errNotOurs is why an echoed cookie is not taken.
var errNotOurs = errors.New("the cookie is not of this session, or was signed with another key (cookie_key_file)")

// CookieRule says how an Element vouches for cookies. The zero value: there are none, neither set nor taken.
type CookieRule struct {
	// Key signs cookies (HMAC-SHA256) and checks those that come back. All elements of a pool share it, and nobody else. A key shorter
	// than LeastCookieKey is none.
	Key []byte

	// Raw has cookies pass as they are. It is for where nobody can change them on the way: pool user and element are one process, or
	// the cookies are those of native peers, who look after themselves.
	Raw bool
}

// allows reports whether there are cookies.
func (r *CookieRule) allows() bool { return r.Raw || len(r.Key) >= LeastCookieKey }

// seal appends to p what the pool user is given to keep.
func (r *CookieRule) seal(p []byte, token Token, cookie []byte) []byte {
	if !r.Raw {
		p = append(append(p, sealVersion), r.mac(token, cookie)...)
	}
	return append(p, cookie...)
}

// unseal returns the cookie in what a pool user has echoed, which it aliases.
func (r *CookieRule) unseal(token Token, sealed []byte) ([]byte, error) {
	switch {
	case !r.allows():
		return nil, ErrCookieKey
	case r.Raw:
		return sealed, nil
	case len(sealed) < sealSize || sealed[0] != sealVersion:
		return nil, fmt.Errorf("%w: it is not signed at all", errNotOurs)
	}
	mac, cookie := sealed[1:sealSize], sealed[sealSize:]
	if !hmac.Equal(mac, r.mac(token, cookie)) {
		return nil, errNotOurs
	}
	return cookie, nil
}

// mac is the signature of a session's cookie.
func (r *CookieRule) mac(token Token, cookie []byte) []byte {
	h := hmac.New(sha256.New, r.Key)
	h.Write([]byte(sealDomain)) // a hash takes everything
	h.Write(token[:])
	h.Write(cookie)
	return h.Sum(nil)
}

// keptCookie is a cookie that is kept. Its bytes count as the loop's memory does. The zero value is none.
type keptCookie struct{ bytes []byte }

// set replaces what was kept by a copy of p, which may be empty, and is not none then.
func (k *keptCookie) set(pool *loop.Pool, p []byte) {
	before := cap(k.bytes)
	if k.bytes == nil || cap(k.bytes) < len(p) || cap(k.bytes) > 4*max(len(p), 64) {
		k.bytes = make([]byte, 0, len(p))
	}
	k.bytes = append(k.bytes[:0], p...)
	pool.Charge(cap(k.bytes) - before)
}

// clear forgets what was kept.
func (k *keptCookie) clear(pool *loop.Pool) {
	pool.Charge(-cap(k.bytes))
	k.bytes = nil
}

// SetCookie gives the pool user what the element that takes the session over is to know: it replaces what was set or echoed before,
// and is not overtaken by what the server says afterwards. It may overtake what the server has said before and what still waits for
// its turn, so the next element may know of a reply that the client does not have. p is copied. While the leg is out of
// touch it is kept, and given when the pool user comes back. The errors are ErrCookieLong, ErrCookieKey and ErrLegOver.
func (g *Leg) SetCookie(p []byte) error {
	switch {
	case len(p) > MaxCookie:
		return fmt.Errorf("%w: %d bytes, at most %d are taken", ErrCookieLong, len(p), MaxCookie)
	case !g.e.c.Cookies.allows():
		return ErrCookieKey
	case g.over:
		return ErrLegOver
	}
	g.cookie.set(g.c.Loop.Buffers(), p)
	g.cookieSet, g.cookieOwed = true, true
	g.pump()
	return nil
}

// Cookie is what was set last, or what the pool user has echoed when the leg began: the state that another element has left for
// this one. nil: there is none. It is a copy. It is there before ElementConfig.Connect is called.
func (g *Leg) Cookie() []byte {
	if g.cookie.bytes == nil {
		return nil
	}
	return append([]byte{}, g.cookie.bytes...)
}

// takeCookie checks what the pool user has echoed for the leg that it opens, and keeps it.
func (g *Leg) takeCookie(sealed []byte) error {
	cookie, err := g.e.c.Cookies.unseal(g.token, sealed)
	if err == nil {
		g.cookie.set(g.c.Loop.Buffers(), cookie)
	}
	return err
}
