//go:build linux

package main

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/poolproxy/poolproxy/asap"
	"github.com/poolproxy/poolproxy/loop"
	"github.com/poolproxy/poolproxy/mapping"
)

// Times of rsplib's own elements.
const (
	life  = 90 * time.Second // of a registration
	again = 30 * time.Second // until it is renewed
)

var dialect = asap.RSPLIB()

// enlisted is one registration: the association with the registrar, which must stay for as long as it is to hold.
type enlisted struct {
	loop        loop.Loop
	association mapping.Association
	handle      asap.PoolHandle
	element     asap.PoolElement
	renew       loop.Timer
	ended       chan error // gets one error: why there is no registration any more; nil: it was asked for
}

// register keeps an element registered. The address at which it serves is the one from which it registers: the registrar knows it as that
// of the association.
func register(registrar netip.AddrPort, handle string, id uint32, at netip.AddrPort) error {
	l, err := loop.New()
	if err != nil {
		return err
	}
	r := &enlisted{loop: l, handle: asap.PoolHandle(handle), ended: make(chan error, 1), element: asap.PoolElement{
		ID: asap.PEIdentifier(id), Life: life, Policy: asap.Policy{Kind: asap.RoundRobin},
		User: asap.Transport{Protocol: asap.SCTP, Port: at.Port(), Use: asap.DataPlusControl, Addresses: []netip.Addr{at.Addr()}},
	}}
	r.renew.Func = r.enlist
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	go func() { // ends with the process
		<-stop
		l.Post(r.leave)
	}()
	l.Post(func() {
		m := mapping.SCTPMapping{Native: true, Local: []netip.Addr{at.Addr()}}
		r.association = m.Dial(l, registrar, mapping.Config{DialTimeout: 5 * time.Second}, r)
	})
	go l.Run() // ends with the process
	return <-r.ended
}

func (r *enlisted) say(m asap.Message) {
	p, err := dialect.Append(nil, m)
	if err == nil {
		err = r.association.Send(mapping.Message{PPID: asap.PPID, Data: p}, nil)
	}
	if err != nil {
		r.end(fmt.Errorf("%v: %w", m.Type(), err))
	}
}

func (r *enlisted) end(err error) {
	select {
	case r.ended <- err:
	default: // it has been said
	}
}

// Up registers (mapping.Handler).
func (r *enlisted) Up() { r.enlist() }

func (r *enlisted) enlist() {
	r.say(asap.Registration{Handle: r.handle, Element: r.element})
	r.loop.Schedule(&r.renew, r.loop.Now().Add(again))
}

func (r *enlisted) leave() { r.say(asap.Deregistration{Handle: r.handle, PE: r.element.ID}) }

// Receive hears the registrar (mapping.Handler).
func (r *enlisted) Receive(in mapping.Message) {
	m, _, err := dialect.Parse(in.Data)
	if err != nil {
		r.end(err)
		return
	}
	switch m := m.(type) {
	case asap.RegistrationResponse:
		if m.Rejected {
			r.end(fmt.Errorf("rejected: %v", m.Errors))
			return
		}
		fmt.Println("registered")
	case asap.EndpointKeepAlive:
		r.say(asap.EndpointKeepAliveAck{Handle: r.handle, PE: r.element.ID})
	case asap.DeregistrationResponse:
		fmt.Println("deregistered")
		r.end(nil)
	}
}

// Drained has nothing to do (mapping.Handler).
func (r *enlisted) Drained() {}

// Down ends the registration (mapping.Handler).
func (r *enlisted) Down(err error) { r.end(errors.Join(errors.New("the registrar has gone"), err)) }
