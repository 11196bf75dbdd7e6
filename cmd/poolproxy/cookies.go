package main

import (
	"errors"
	"net/http"
	"net/netip"

	"github.com/poolproxy/poolproxy/admin"
	"github.com/poolproxy/poolproxy/proxy"
	"github.com/poolproxy/poolproxy/session"
)

// cookies are the cookies of a proxy's sessions for the admin API.
func cookies(p running) *admin.Cookies {
	return &admin.Cookies{
		Get: func(client, server netip.AddrPort) ([]byte, error) {
			cookie, err := p.Cookie(client, server)
			return cookie, refusal(err)
		},
		Set: func(client, server netip.AddrPort, cookie []byte) error {
			return refusal(p.SetCookie(client, server, cookie))
		},
		Most: session.MaxCookie,
	}
}

// refusal gives an error of a proxy the HTTP status that tells scripts what it is.
func refusal(err error) error {
	for _, known := range []struct {
		err    error
		status int
	}{
		{proxy.ErrNoSession, http.StatusNotFound},
		{session.ErrLegOver, http.StatusNotFound},
		{proxy.ErrTwoServers, http.StatusBadRequest},
		{proxy.ErrReplaced, http.StatusServiceUnavailable},
		{session.ErrCookieLong, http.StatusRequestEntityTooLarge},
		{session.ErrCookieKey, http.StatusConflict},
	} {
		if errors.Is(err, known.err) {
			return &admin.Refusal{Status: known.status, Err: err}
		}
	}
	return err
}
