//go:build linux

package proxy

import (
	"net"
	"testing"
)

// A server that was killed and is back before anybody has looked is not taken for the old one: not for the old one's connections,
// in whatever turn they are asked about, while the new one's are its own. When the old one's time has passed, what listens is believed.
func TestReplacedServer(t *testing.T) {
	for name, noticed := range map[string]func(*probe) listenerID{
		"noticed by the question": unknownListener,
		"noticed by a connect":    func(p *probe) listenerID { return p.connectedAgain() },
	} {
		t.Run(name, func(t *testing.T) {
			at, kill := startListener(t, "127.0.0.1:0")
			p := newProbed(t, at.String(), testKernel(t))
			old := p.connect(t, (*probe).joined)
			if old == 0 {
				t.Fatal("the listening socket was not seen")
			}
			kill()
			startListener(t, at.String())
			p.connect(t, noticed)
			for range 3 { // turns
				if yes := p.ask(t, 3, func(*probe) listenerID { return old }); yes != 0 {
					t.Errorf("%d of 3 connections of the dead server seem closed in peace", yes)
				}
			}
			if yes := p.ask(t, 3, (*probe).connectedAgain); yes != 3 {
				t.Errorf("%d of 3 connections of the new server are known as its own", yes)
			}
			if yes := p.ask(t, 3, func(p *probe) listenerID {
				p.replaced = p.replaced.Add(-deathTime)
				return old
			}); yes != 3 {
				t.Errorf("long after, %d of 3 are told that a server listens", yes)
			}
		})
	}
}

// A process that opens its port anew has not died.
func TestListenerReopened(t *testing.T) {
	l, _ := listen(t, "tcp4", "127.0.0.1:0")
	p := newProbed(t, l.Addr().String(), testKernel(t))
	old := p.connect(t, (*probe).joined)
	_ = l.Close()
	again, err := net.Listen("tcp4", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if yes := p.ask(t, 3, func(*probe) listenerID { return old }); yes != 3 {
		t.Errorf("it lives, %d of 3 answers say so", yes)
	}
	if renewed := p.connect(t, (*probe).connectedAgain); renewed == old {
		t.Error("the new socket was not noticed: nothing was tested")
	}
}

// The kernel is asked about a connect only if what is known is old.
func TestConnectsShareALook(t *testing.T) {
	l, _ := listen(t, "tcp4", "127.0.0.1:0")
	p := newProbed(t, l.Addr().String(), testKernel(t))
	p.connect(t, func(p *probe) listenerID {
		first := p.joined()
		questions := p.kernel.sequence
		for range 1000 {
			if p.joined() != first {
				t.Error("another listener")
			}
		}
		if n := p.kernel.sequence - questions; n != 0 {
			t.Errorf("%d questions for 1000 connects in a turn", n)
		}
		return first
	})
}

// connectedAgain is connected when what is known has become old.
func (p *probe) connectedAgain() listenerID {
	p.looked = p.looked.Add(-lookAgain)
	return p.joined()
}

// connect runs one connect's end in a turn of its own.
func (p *probed) connect(t *testing.T, connected func(*probe) listenerID) (listener listenerID) {
	t.Helper()
	done := make(chan struct{})
	p.loop.Post(func() {
		defer close(done)
		listener = connected(p.probe)
	})
	<-done
	return listener
}
