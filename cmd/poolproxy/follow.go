package main

import (
	"fmt"
	"net/netip"
	"os"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-metrics"

	"github.com/poolproxy/poolproxy/internal/sockets"
	"github.com/poolproxy/poolproxy/mapping"
	"github.com/poolproxy/poolproxy/proxy"
	"github.com/poolproxy/poolproxy/upgrade"
)

// follower is this process where it takes another one's place; nil: it does not.
type follower struct {
	old *upgrade.Predecessor
}

// follow finds out whether this process takes another one's place, and takes up the sockets on which that listens.
func follow() (*follower, error) {
	old, err := upgrade.Follow()
	if old == nil || err != nil {
		return nil, err
	}
	f := &follower{old: old}
	for _, s := range old.Sockets {
		file := os.NewFile(uintptr(s.FD), "listening on "+s.Address.String())
		if s.Network == upgrade.SCTP {
			sockets.Given.AddSCTP(file, append(mapping.SCTPAddresses(s.FD), s.Address)...) // it says the last one of several
		} else if err := sockets.Given.Add(file); err != nil {
			return nil, f.fail(err)
		}
	}
	return f, nil
}

// fail tells the old process why nothing comes of it. It returns the error.
func (f *follower) fail(err error) error {
	if f != nil {
		f.old.Fail(err)
	}
	return err
}

// start is proxy.Start; with a follower the proxy goes on with all that the old process had. After an error the process has to end,
// and close nothing in order.
func (f *follower) start(c proxy.Config, log hclog.Logger, m *metrics.Metrics) (*proxy.Proxy, error) {
	if f == nil {
		return proxy.Start(c, log, m)
	}
	p, err := f.takeOver(c, log, m)
	if err != nil {
		return nil, f.fail(err)
	}
	return p, nil
}

func (f *follower) takeOver(c proxy.Config, log hclog.Logger, m *metrics.Metrics) (*proxy.Proxy, error) {
	log.Info("taking the place of another process", "pid", f.old.PID, "its_version", f.old.Version)
	heir, err := proxy.Continue(f.old.Begin, c, log, m)
	if err != nil {
		return nil, err
	}
	if err := f.prepare(c); err != nil {
		return nil, err
	}
	if err := f.old.Ready(); err != nil {
		return nil, err
	}
	pieces := 0
	for {
		item, ok, err := f.old.Next()
		if err != nil {
			return nil, err
		}
		if !ok {
			break
		}
		if err := heir.Take(item.Body, item.FD); err != nil {
			return nil, err
		}
		pieces++
	}
	if err := f.old.Take(); err != nil {
		return nil, err
	}
	p := heir.Resume()
	log.Info("this process serves now", "handed_over", pieces)
	return p, nil
}

// prepare sees to it that what is begun behind the proxy can listen.
func (f *follower) prepare(c proxy.Config) error {
	var err error
	if c.Admin.On() && c.Admin.Unix == "" {
		err = prepared("admin.listen", c.Admin.Listen, sockets.Given.Prepare)
	}
	if err == nil && c.DNS.Listen.IsValid() {
		err = prepared("dns.listen", c.DNS.Listen, sockets.Given.Prepare)
		if err == nil {
			err = prepared("dns.listen", c.DNS.Listen, sockets.Given.PreparePacket)
		}
	}
	return err
}

func prepared(what string, at netip.AddrPort, prepare func(netip.AddrPort) error) error {
	if err := prepare(at); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// unused closes the sockets of the old process for which there is no use in the new configuration.
func (f *follower) unused(log hclog.Logger) {
	if f == nil {
		return
	}
	for _, at := range sockets.Given.Drop() {
		log.Info("nobody listens there any more", "address", at)
	}
}
