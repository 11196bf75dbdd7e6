package admin

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// protect refuses who must not ask. Where all need the token, or a certificate, the name of this server may be any.
func protect(addr netip.AddrPort, o *Options, next http.Handler) http.Handler {
	beyond := o.Unix == "" && !addr.Addr().IsLoopback()
	if o.Token != nil {
		next = &auth{token: o.Token, all: beyond && !o.Mutual, refused: o.Refused, log: o.Log, next: next}
	}
	if beyond {
		return http.NewCrossOriginProtection().Handler(next)
	}
	return guard(addr.Addr(), next)
}

// guard refuses requests that were not meant for this server. A web page may make its visitor's browser ask 127.0.0.1 under the
// page's own host name (DNS rebinding), and so read what is not for it; but then that name is in the Host header. What changes something
// is not for pages of other origins either: Origin and Sec-Fetch-Site tell, which programs do not send.
func guard(listen netip.Addr, next http.Handler) http.Handler {
	next = http.NewCrossOriginProtection().Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !ours(r.Host, listen) {
			http.Error(w, "the Host header names neither localhost nor the address of this admin API", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// ours reports whether a Host header, with or without port, is localhost, a loopback address, or the one that is listened on.
func ours(host string, listen netip.Addr) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && (ip.IsLoopback() || ip.Unmap() == listen.Unmap())
}
