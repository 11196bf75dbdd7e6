package main

import (
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/poolproxy/poolproxy/admin"
)

// resolveCommand names the primary server of a pool.
func resolveCommand(args []string, stdout, stderr io.Writer) int {
	p := newPrimitive("resolve", stdout, stderr, "POOL")
	words, status, ok := p.parse(args)
	if !ok {
		return status
	}
	var a admin.Answer
	return p.ask(http.MethodGet, "/v1/pools/"+url.PathEscape(words[0])+"/primary", nil, &a, func() { p.server(&a) })
}

// nextCommand says that a server has failed, and names the next one.
func nextCommand(args []string, stdout, stderr io.Writer) int {
	p := newPrimitive("next", stdout, stderr, "POOL", "LAST")
	refresh := p.flags.Bool("refresh", false, "ask the pool's source first")
	words, status, ok := p.parse(args)
	if !ok {
		return status
	}
	var a admin.Answer
	return p.ask(http.MethodPost, "/v1/pools/"+url.PathEscape(words[0])+"/next", admin.Next{Last: words[1], Refresh: *refresh}, &a, func() {
		p.server(&a)
		switch {
		case !a.Reported:
			p.note("%q is no element of pool %q (any more): nobody was reported", words[1], words[0])
		case a.Same:
			p.note("pool %q has no other element: it is the same one again", words[0])
		}
	})
}

// server prints the address of a server, and nothing else, so that scripts can use it. What there is to say besides goes elsewhere.
func (p *primitive) server(a *admin.Answer) {
	fmt.Fprintln(p.stdout, a.Address)
	if a.Warning != "" {
		p.note("what was known %s ago counts: %s", shortDuration(a.Age), a.Warning)
	}
}

// note tells people something besides the answer.
func (p *primitive) note(format string, args ...any) {
	fmt.Fprintf(p.stderr, "%s: %s\n", p.flags.Name(), strings.Map(printable, fmt.Sprintf(format, args...)))
}

// registerCommand puts a server into a pool.
func registerCommand(args []string, stdout, stderr io.Writer) int {
	p := newPrimitive("register", stdout, stderr, "POOL")
	var r, a admin.Registration
	p.flags.StringVar(&r.Address, "address", "", "`IP:PORT` at which the server is reached; must be given")
	p.flags.StringVar(&r.Element, "name", "", "`NAME` of the element, unique in its pool (default its address)")
	p.flags.StringVar(&r.Mapping, "mapping", "", "by which it is reached: none, tcp or sctp (default that of the pool)")
	p.flags.StringVar(&r.Policy, "policy", "", "of the pool, as the server knows it: another one is an error (default that of the pool)")
	p.value(&r.Weight, "weight", "its share of service among others (default 1)")
	p.value(&r.Priority, "priority", "larger is better (default 0)")
	p.share(&r.Load, "load", "how much it is used, from 0% to 100%")
	p.share(&r.Degradation, "degradation", "by how much one more session uses it, from 0% to 100%")
	words, status, ok := p.parse(args)
	if !ok {
		return status
	}
	if r.Address == "" {
		return p.wrong("-address is missing")
	}
	r.Pool = words[0]
	p.advice[admin.SourceDown] = "Nothing was registered: try again when it is back"
	return p.ask(http.MethodPost, "/v1/registrations", &r, &a, func() { fmt.Fprintln(stdout, a.ID) })
}

// value adds a policy value to the flags.
func (p *primitive) value(to **uint32, name, usage string) {
	p.flags.Func(name, "`NUMBER`: "+usage, func(text string) error {
		n, err := strconv.ParseUint(text, 10, 32)
		if err != nil {
			return fmt.Errorf("it must be from 0 to %d", uint32(math.MaxUint32))
		}
		v := uint32(n)
		*to = &v
		return nil
	})
}

// share adds a policy value that is a share to the flags.
func (p *primitive) share(to **uint32, name, usage string) {
	p.flags.Func(name, "`SHARE`: "+usage, func(text string) error {
		f, err := strconv.ParseFloat(strings.TrimSuffix(text, "%"), 64)
		if err != nil || !strings.HasSuffix(text, "%") || !(f >= 0 && f <= 100) {
			return errors.New("shares are from 0% to 100%, as in 12.5%")
		}
		v := uint32(math.Round(f / 100 * math.MaxUint32)) // RFC 5356 §3.1
		*to = &v
		return nil
	})
}

// deregisterCommand ends a registration.
func deregisterCommand(args []string, stdout, stderr io.Writer) int {
	p := newPrimitive("deregister", stdout, stderr, "ID")
	words, status, ok := p.parse(args)
	if !ok {
		return status
	}
	p.advice[admin.SourceDown] = "There is nothing to be repeated: the id has ended"
	var a admin.Registration
	return p.ask(http.MethodDelete, "/v1/registrations/"+url.PathEscape(words[0]), nil, &a, func() {
		fmt.Fprintf(stdout, "element %q is no longer registered in pool %q\n", a.Element, a.Pool)
	})
}

// registrationsCommand lists what is registered with a proxy.
func registrationsCommand(args []string, stdout, stderr io.Writer) int {
	p := newPrimitive("registrations", stdout, stderr)
	_, status, ok := p.parse(args)
	if !ok {
		return status
	}
	var all []admin.Registration
	return p.ask(http.MethodGet, "/v1/registrations", nil, &all, func() {
		var rows [][]string
		for _, r := range all {
			rows = append(rows, []string{r.ID, r.Pool, r.Element, r.Address, r.Mapping, r.Policy, r.Standing})
		}
		if len(rows) == 0 {
			fmt.Fprintln(stdout, "nothing is registered with this proxy")
			return
		}
		table(stdout, "Registrations", []string{"ID", "POOL", "ELEMENT", "ADDRESS", "MAPPING", "POLICY", "STANDING"}, rows)
	})
}
