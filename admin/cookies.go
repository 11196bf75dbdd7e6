package admin

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
)

// Cookies is how servers' scripts get at the cookies of sessions. A session is named by the address that its server sees as its
// client's; server, which may be invalid, is the server's own, where that is not enough. Errors that are not a Refusal are answered
// with 500.
type Cookies struct {
	Get  func(client, server netip.AddrPort) (cookie []byte, err error) // nil: there is none
	Set  func(client, server netip.AddrPort, cookie []byte) error
	Most int // bytes of a cookie
}

// Refusal is an error with the HTTP status that it is answered with.
type Refusal struct {
	Status int
	Err    error
}

func (r *Refusal) Error() string { return r.Err.Error() }
func (r *Refusal) Unwrap() error { return r.Err }

// get answers with the cookie, or with 204 if there is none.
func (c *Cookies) get(w http.ResponseWriter, r *http.Request) {
	client, server, err := session(r)
	if err != nil {
		refuse(w, err)
		return
	}
	cookie, err := c.Get(client, server)
	switch {
	case err != nil:
		refuse(w, err)
	case cookie == nil:
		w.WriteHeader(http.StatusNoContent)
	default:
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("X-Content-Type-Options", "nosniff") // a cookie may hold what clients have said
		w.Header().Set("Cache-Control", "no-store")
		w.Write(cookie) // an error is the client's: it has gone
	}
}

// put sets the cookie to the body.
func (c *Cookies) put(w http.ResponseWriter, r *http.Request) {
	client, server, err := session(r)
	if err != nil {
		refuse(w, err)
		return
	}
	cookie, err := io.ReadAll(http.MaxBytesReader(w, r.Body, int64(c.Most)))
	var long *http.MaxBytesError
	switch {
	case errors.As(err, &long):
		refuse(w, &Refusal{http.StatusRequestEntityTooLarge, fmt.Errorf("the cookie is too long: at most %d bytes are taken", c.Most)})
		return
	case err != nil:
		refuse(w, &Refusal{http.StatusBadRequest, fmt.Errorf("the cookie did not come in full: %w", err)})
		return
	}
	if err := c.Set(client, server, cookie); err != nil {
		refuse(w, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// session is the session that a request is about.
func session(r *http.Request) (client, server netip.AddrPort, err error) {
	text := r.PathValue("address")
	if client, err = netip.ParseAddrPort(text); err != nil {
		return client, server, &Refusal{http.StatusBadRequest, fmt.Errorf(
			"%q is not an address: write the one that the server sees as its client's, as in /v1/cookies/127.0.0.1:41234", text)}
	}
	if text := r.URL.Query().Get("server"); text != "" {
		if server, err = netip.ParseAddrPort(text); err != nil {
			return client, server, &Refusal{http.StatusBadRequest, fmt.Errorf("server=%q is not an address, as in ?server=127.0.0.1:8081", text)}
		}
	}
	return client, server, nil
}

func refuse(w http.ResponseWriter, err error) {
	status := http.StatusInternalServerError
	var r *Refusal
	if errors.As(err, &r) {
		status = r.Status
	}
	http.Error(w, err.Error(), status)
}
