package config

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// lookupTime bounds the resolution of one host name.
const lookupTime = 5 * time.Second

// address reads where to connect to: "host:port".
func (r *reader) address(dst *netip.AddrPort) setter {
	return func(a *hclsyntax.Attribute) {
		r.readAddress(dst, a, `Write: "host:port", as in "10.0.0.11:7001".`, false)
	}
}

// listen reads where to listen: "host:port", or ":port" for all addresses of the machine.
func (r *reader) listen(dst *netip.AddrPort) setter {
	return func(a *hclsyntax.Attribute) {
		r.readAddress(dst, a, `Write: "host:port", as in "127.0.0.1:5000", or ":5000" for all addresses of this machine.`, true)
	}
}

func (r *reader) readAddress(dst *netip.AddrPort, a *hclsyntax.Attribute, hint string, listen bool) {
	s, ok := r.text(a.Name, a.Expr, hint)
	if !ok {
		return
	}
	r.parseAddress(dst, s, a.Name, a.Expr.Range(), hint, listen)
}

// parseAddress reads "host:port", the value of the attribute called name.
func (r *reader) parseAddress(dst *netip.AddrPort, s, name string, at hcl.Range, hint string, listen bool) {
	host, portText, err := net.SplitHostPort(s)
	if err != nil {
		r.fail(at, fmt.Sprintf("%q is not an address", name), hint)
		return
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil || (port == 0 && !listen) {
		r.fail(at, fmt.Sprintf("%q has no valid port", name), fmt.Sprintf("%q is not a number from 1 to 65535. %s", portText, hint))
		return
	}
	if host == "" && !listen {
		r.fail(at, fmt.Sprintf("%q has no host", name), hint)
		return
	}
	if ip, ok := r.resolve(host, at); ok {
		*dst = netip.AddrPortFrom(ip, uint16(port))
	}
}

// resolve makes an IP address of a host. Of several it takes the first IPv4 address, for many a server listens on 127.0.0.1 and
// not on ::1; if there is none, the first. An empty host is every address of the machine, IPv4 and IPv6.
func (r *reader) resolve(host string, at hcl.Range) (netip.Addr, bool) {
	if host == "" {
		return netip.IPv6Unspecified(), true
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.Unmap(), true
	}
	ctx, cancel := context.WithTimeout(context.Background(), lookupTime)
	defer cancel()
	found, err := r.lookup(ctx, "ip", host)
	if err != nil || len(found) == 0 {
		r.fail(at, fmt.Sprintf("The host name %q cannot be resolved", host), fmt.Sprintf("Check it, or write an IP address. (%v)", err))
		return netip.Addr{}, false
	}
	for _, ip := range found {
		if ip.Unmap().Is4() {
			return ip.Unmap(), true
		}
	}
	return found[0], true
}

// ofThisHost reports whether an address is one of this host's, and whether that could be found out.
func ofThisHost(ip netip.Addr) (own, known bool) {
	if ip.IsLoopback() || ip.IsUnspecified() {
		return true, true
	}
	all, err := net.InterfaceAddrs()
	if err != nil {
		return false, false // what depends on it shows when it runs, too
	}
	for _, a := range all {
		if network, ok := a.(*net.IPNet); ok {
			if found, ok := netip.AddrFromSlice(network.IP); ok && found.Unmap() == ip.WithZone("") {
				return true, true
			}
		}
	}
	return false, true
}
