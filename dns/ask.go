package dns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	wire "github.com/miekg/dns"
)

// payload is how long an answer over UDP may be, in bytes: what passes without fragments nearly everywhere (DNS flag day 2020).
const payload = 1232

// rounds is how often each server is asked.
const rounds = 2

// answer is what a server has said.
type answer struct {
	*wire.Msg
	whole bool // nothing was left out of its additional section for want of room
}

// asks is how one server is asked one question: askServer.
type asks func(ctx context.Context, server netip.AddrPort, timeout time.Duration, name string, kind uint16) (answer, error)

// ask puts one question to the servers, one after another, until one of them knows: that there are no such records is knowledge too.
func (l *lookup) ask(name string, kind uint16) (answer, error) {
	ctx := l.ctx
	servers, err := l.c.servers()
	if err != nil {
		return answer{}, err
	}
	if i := slices.Index(servers, l.knows); i > 0 {
		servers = append([]netip.AddrPort{l.knows}, slices.Delete(slices.Clone(servers), i, i+1)...)
	}
	var why []string
	for round := range rounds {
		for _, server := range servers {
			a, problem := l.put(ctx, server, l.c.Timeout, name, kind)
			if problem == nil {
				l.knows = server
				return a, nil
			}
			err = problem
			if round == rounds-1 || ctx.Err() != nil {
				why = append(why, fmt.Sprintf("%v: %v", server, problem))
			}
			if ctx.Err() != nil {
				break
			}
		}
		if ctx.Err() != nil {
			break
		}
	}
	return answer{}, &unanswered{fmt.Sprintf("dns: %s %s: %s", name, wire.TypeToString[kind], strings.Join(why, "; ")), err}
}

// unanswered is that no server has answered; the error of the last one lies below.
type unanswered struct {
	text string
	last error
}

func (u *unanswered) Error() string { return u.text }
func (u *unanswered) Unwrap() error { return u.last }

// servers lists those to ask.
func (c *Config) servers() ([]netip.AddrPort, error) {
	if len(c.Servers) > 0 {
		return c.Servers, nil
	}
	const file = "/etc/resolv.conf"
	system, err := wire.ClientConfigFromFile(file)
	if err != nil {
		return nil, fmt.Errorf("dns: no server is configured, and the system's are not known: %w", err)
	}
	var servers []netip.AddrPort
	for _, s := range system.Servers {
		if ip, err := netip.ParseAddr(s); err == nil && len(servers) < 3 { // three is what the system's own resolver takes
			servers = append(servers, netip.AddrPortFrom(ip, 53))
		}
	}
	if len(servers) == 0 {
		return nil, fmt.Errorf("dns: no server is configured, and %s names none", file)
	}
	return servers, nil
}

// askServer asks over UDP, and over TCP if the answer had no room.
func askServer(ctx context.Context, server netip.AddrPort, timeout time.Duration, name string, kind uint16) (answer, error) {
	m := new(wire.Msg)
	m.SetQuestion(name, kind)
	m.SetEdns0(payload, false)
	r, err := exchange(ctx, "udp", server, timeout, m)
	if err == nil && r.Truncated {
		if r, err = exchange(ctx, "tcp", server, timeout, m); err == nil && r.Truncated {
			err = errors.New("the answer is truncated, over TCP too")
		}
		if err != nil {
			return answer{}, err
		}
		return answer{r, true}, judge(r, m)
	}
	if err != nil {
		return answer{}, err
	}
	return answer{r, r.Len() < payload*3/4}, judge(r, m)
}

// exchange sends the question and waits for the answer to it. When ctx is done it ends at once.
func exchange(ctx context.Context, network string, server netip.AddrPort, timeout time.Duration, m *wire.Msg) (*wire.Msg, error) {
	all := ctx
	ctx, cancel := context.WithTimeout(all, timeout)
	defer cancel()
	client := wire.Client{Net: network, Timeout: timeout}
	conn, err := client.DialContext(ctx, server.String())
	if err != nil {
		return nil, fmt.Errorf("over %s: %w", network, err)
	}
	defer context.AfterFunc(all, func() { conn.Close() })() // a deadline would be set anew by the library
	defer conn.Close()
	r, _, err := client.ExchangeWithConnContext(ctx, m, conn)
	var late net.Error
	switch {
	case errors.As(err, &late) && late.Timeout():
		return nil, fmt.Errorf("no answer over %s within %v: %w", network, timeout, err)
	case err != nil:
		return nil, fmt.Errorf("over %s: %w", network, err)
	}
	return r, nil
}

// judge reports why what came is of no use.
func judge(r, question *wire.Msg) error {
	asked := question.Question[0]
	switch {
	case !r.Response || len(r.Question) != 1 || r.Question[0].Qtype != asked.Qtype || !strings.EqualFold(r.Question[0].Name, asked.Name):
		return errors.New("it has answered another question")
	case r.Rcode != wire.RcodeSuccess && r.Rcode != wire.RcodeNameError:
		return fmt.Errorf("it has answered %s", wire.RcodeToString[r.Rcode])
	case len(r.Answer) == 0 && !r.Authoritative && !r.RecursionAvailable:
		return errors.New("it knows nothing of that name, and asks nobody else")
	}
	return nil
}
