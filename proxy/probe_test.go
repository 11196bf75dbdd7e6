//go:build linux

package proxy

import (
	"bufio"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/loop"
)

// patience bounds what these tests wait for in the real world.
const patience = 30 * time.Second

// listen listens at the address, of which the port is 0.
func listen(t testing.TB, network, address string) (net.Listener, uint16) {
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatalf("listen at %s: %v", address, err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l, uint16(l.Addr().(*net.TCPAddr).Port)
}

// testKernel has a census of its own, which has not begun: it looks for processes only if somebody waits for that.
func testKernel(t testing.TB) *kernel {
	t.Helper()
	c := newCensus()
	k := openKernel(c)
	if k == nil {
		t.Fatal("the kernel does not answer sock_diag: is inet_diag missing?")
	}
	t.Cleanup(func() { k.close(); c.close() })
	return k
}

// find is what a pass does for one socket.
func (o *owners) find() {
	f, _ := holders([]listenerID{o.socket}, nil, nil)
	o.learn(f)
}

// lives asks the kernel, and learns whose the socket is that listens.
func (k *kernel) lives(t *testing.T, host string, port uint16) life {
	t.Helper()
	at := netip.AddrPortFrom(netip.MustParseAddr(host), port)
	inode, err := k.listener(at)
	if err != nil {
		t.Fatal(err)
	}
	if inode == 0 {
		return absent
	}
	o := k.census.owners(inode)
	defer o.release()
	o.find()
	return o.life()
}

// joined is connected for a server whose processes have been looked up since.
func (p *probe) joined() listenerID {
	listener := p.connected(p.server.Addr())
	if listener != 0 && !p.owners.known() {
		p.owners.find()
	}
	return listener
}

func TestKernelKnowsListeners(t *testing.T) {
	k := testKernel(t)
	for _, c := range []struct {
		network, at string
		found       []string // addresses at which it can be reached
		not         []string
	}{
		{"tcp4", "127.0.0.1:0", []string{"127.0.0.1", "::ffff:127.0.0.1"}, []string{"127.0.0.2", "::1"}},
		{"tcp4", "0.0.0.0:0", []string{"127.0.0.1", "127.0.0.2"}, []string{"::1"}},
		{"tcp6", "[::1]:0", []string{"::1"}, []string{"127.0.0.1"}},
		{"tcp6", "[::]:0", []string{"::1"}, []string{"127.0.0.1"}},
		{"tcp", "[::]:0", []string{"::1", "127.0.0.1", "127.0.0.2"}, nil},
	} {
		l, port := listen(t, c.network, c.at)
		for _, host := range c.found {
			if got := k.lives(t, host, port); got != held {
				t.Errorf("%s %s: asked about %s: %d, not held", c.network, c.at, host, got)
			}
		}
		for _, host := range c.not {
			if got := k.lives(t, host, port); got != absent {
				t.Errorf("%s %s: asked about %s: %d, not absent", c.network, c.at, host, got)
			}
		}
		_ = l.Close()
		for _, host := range append(c.found, c.not...) {
			if got := k.lives(t, host, port); got != absent {
				t.Errorf("%s %s, closed: asked about %s: %d, not absent", c.network, c.at, host, got)
			}
		}
	}
}

// Connections that a closed listener leaves behind are no listener.
func TestConnectionIsNoListener(t *testing.T) {
	k := testKernel(t)
	l, port := listen(t, "tcp4", "127.0.0.1:0")
	there, err := net.Dial("tcp4", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer there.Close()
	here, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer here.Close()
	_ = l.Close()
	if got := k.lives(t, "127.0.0.1", port); got != absent {
		t.Errorf("%d, not absent", got)
	}
}

// helperListens is the address for a process that these tests start: it listens there, says where, and waits to be killed.
const helperListens = "POOLPROXY_TEST_LISTENS"

func TestHelperListens(t *testing.T) {
	if os.Getenv(helperListens) == "" {
		return // not the helper: there is nothing to test
	}
	l, err := net.Listen("tcp4", os.Getenv(helperListens))
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println("listening", l.Addr())
	_, _ = os.Stdin.Read(make([]byte, 1)) // ends with the parent, too
}

// startListener starts a process that listens; kill kills it and returns when it is gone.
func startListener(t *testing.T, address string) (at netip.AddrPort, kill func()) {
	t.Helper()
	c := exec.Command(os.Args[0], "-test.run=^TestHelperListens$")
	c.Env = append(os.Environ(), helperListens+"="+address)
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = in.Close() })
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	kill = sync.OnceFunc(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
	})
	t.Cleanup(kill)
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	at, err = netip.ParseAddrPort(strings.TrimPrefix(strings.TrimSpace(line), "listening "))
	if err != nil {
		t.Fatal(err)
	}
	return at, kill
}

// A process that was killed is not listening, as soon as it is known to be dead.
func TestKilledListener(t *testing.T) {
	k := testKernel(t)
	at, kill := startListener(t, "127.0.0.1:0")
	if got := k.lives(t, at.Addr().String(), at.Port()); got != held {
		t.Errorf("it lives: %d, not held", got)
	}
	kill()
	if got := k.lives(t, at.Addr().String(), at.Port()); got != absent {
		t.Errorf("it is dead: %d, not absent", got)
	}
}

// probed is a real loop with a probe on it.
type probed struct {
	loop  loop.Runner
	probe *probe
}

func newProbed(t *testing.T, server string, k *kernel) *probed {
	l, err := loop.New()
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(l.Run)
	t.Cleanup(func() { l.Stop(); running.Wait() })
	return &probed{l, newProbe(l, netip.MustParseAddrPort(server), k)}
}

// ask asks n times in one turn, for connections to the listener that before returns, and counts who answers yes.
func (p *probed) ask(t *testing.T, n int, before func(*probe) listenerID) (yes int) {
	t.Helper()
	answers := make(chan bool, n)
	p.loop.Post(func() {
		listener := before(p.probe)
		for range n {
			p.probe.listening(listener, func(listens bool) { answers <- listens })
		}
	})
	limit := time.After(patience)
	for range n {
		select {
		case listens := <-answers:
			if listens {
				yes++
			}
		case <-limit:
			t.Fatal("no answer")
		}
	}
	return yes
}

// The probe tells a living server from a dead one, by the kernel where it knows the server's socket, else by a connect.
func TestProbe(t *testing.T) {
	for name, c := range map[string]struct {
		kernel bool
		before func(*probe) listenerID
	}{
		"by the kernel":                            {true, (*probe).joined},
		"by a connect, no kernel":                  {false, (*probe).joined},
		"by a connect, the kernel has not seen it": {true, unknownListener},
	} {
		t.Run(name, func(t *testing.T) {
			l, _ := listen(t, "tcp4", "127.0.0.1:0")
			var k *kernel
			if c.kernel {
				k = testKernel(t)
			}
			p := newProbed(t, l.Addr().String(), k)
			if yes := p.ask(t, 3, c.before); yes != 3 {
				t.Errorf("it listens, %d of 3 answers say so", yes)
			}
			_ = l.Close()
			if yes := p.ask(t, 3, unknownListener); yes != 0 {
				t.Errorf("it does not listen, %d of 3 answers say it does", yes)
			}
		})
	}
}

// unknownListener is that of a connection of which the kernel could not be asked.
func unknownListener(*probe) listenerID { return 0 }

// Once closed, a probe answers nobody.
func TestProbeClosed(t *testing.T) {
	l, _ := listen(t, "tcp4", "127.0.0.1:0")
	p := newProbed(t, l.Addr().String(), nil)
	asked := make(chan bool, 1)
	closed := make(chan bool)
	p.loop.Post(func() {
		p.probe.listening(p.probe.listener, func(listens bool) { asked <- listens })
		p.probe.close()
		var after loop.Timer
		after.Func = func() { close(closed) }
		p.loop.Schedule(&after, p.loop.Now().Add(2*settled))
	})
	<-closed
	select {
	case <-asked:
		t.Error("answered after it was closed")
	default:
	}
}
