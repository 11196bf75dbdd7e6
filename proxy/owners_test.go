//go:build linux

package proxy

import (
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// testOwners is what is known of a socket of this process that listens: nothing yet.
func testOwners(t *testing.T) *owners {
	t.Helper()
	k := testKernel(t)
	_, port := listen(t, "tcp4", "127.0.0.1:0")
	inode, err := k.listener(netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port))
	if err != nil || inode == 0 {
		t.Fatalf("socket %d, %v", inode, err)
	}
	o := k.census.owners(inode)
	t.Cleanup(o.release)
	return o
}

// diedAlready is the number of a process that has ended.
func diedAlready(t *testing.T) int {
	t.Helper()
	dead := exec.Command("true")
	if err := dead.Run(); err != nil {
		t.Fatal(err)
	}
	return dead.Process.Pid
}

// foundBy is that these processes hold the socket, and that all in seen were there.
func (o *owners) foundBy(seen []int, pids ...int) found {
	return found{holders: map[listenerID][]int{o.socket: pids}, seen: seen}
}

// When all processes that held a listening socket have died, and nobody has come since who holds it, nothing listens, however often that
// is asked while the socket is still there.
func TestOwnersGone(t *testing.T) {
	o := testOwners(t)
	if got := o.life(); got != present {
		t.Errorf("nobody has looked whose it is: %d, not present", got)
	}
	all, _ := holders([]listenerID{o.socket}, nil, nil)
	if pids := all.holders[o.socket]; !slices.Equal(pids, []int{os.Getpid()}) {
		t.Fatalf("it is held by %v, not by %d alone", pids, os.Getpid())
	}
	dead := diedAlready(t)
	o.learn(o.foundBy(append(all.seen, dead), dead))
	for range 3 {
		if got := o.life(); got != absent {
			t.Errorf("its process is dead: %d, not absent", got)
		}
	}
}

// A process that has begun since, and holds the socket of one that has died, listens.
func TestOwnersChild(t *testing.T) {
	o := testOwners(t)
	dead := diedAlready(t)
	o.learn(o.foundBy([]int{dead}, dead)) // we have begun since
	for range 3 {
		if got := o.life(); got != held {
			t.Errorf("another process holds it: %d, not held", got)
		}
	}
}

// Where the processes cannot be seen a socket that listens is present, and no more.
func TestOwnersUnseen(t *testing.T) {
	o := testOwners(t)
	o.learn(o.foundBy([]int{1}))
	if got := o.life(); got != present || !o.known() {
		t.Errorf("%d, known %v", got, o.known())
	}
}

// Where the processes cannot be seen, a server is believed to live when its connections have been quiet, and to be dead when it does not
// listen any more, whichever is first.
func TestProbeUnseen(t *testing.T) {
	for name, dies := range map[string]bool{"it lives": false, "it dies": true} {
		t.Run(name, func(t *testing.T) {
			l, _ := listen(t, "tcp4", "127.0.0.1:0")
			p := newProbed(t, l.Addr().String(), testKernel(t))
			want := 3
			if dies {
				want = 0
			}
			if yes := p.ask(t, 3, func(p *probe) listenerID {
				listener := p.connected(p.server.Addr())
				p.owners.learn(found{})
				if dies {
					p.loop.Later(func() { _ = l.Close() }) // while they wait
				}
				return listener
			}); yes != want {
				t.Errorf("%d of 3 answers say that it lives, not %d", yes, want)
			}
		})
	}
}

// Who asks before anybody has looked whose the listening socket is waits for that to be found out.
func TestProbeLooksUp(t *testing.T) {
	l, _ := listen(t, "tcp4", "127.0.0.1:0")
	p := newProbed(t, l.Addr().String(), testKernel(t))
	if yes := p.ask(t, 3, func(p *probe) listenerID { return p.connected(p.server.Addr()) }); yes != 3 {
		t.Errorf("it lives, %d of 3 answers say so", yes)
	}
	for until := time.Now().Add(patience); ; {
		known := false
		p.connect(t, func(p *probe) listenerID {
			known = p.owners.known()
			return 0
		})
		if known {
			return
		}
		if time.Now().After(until) {
			t.Fatal("nobody has looked whose it is")
		}
	}
}

// A socket of ours that listens at a port of all addresses says nothing about another host's port.
func TestProbeElsewhere(t *testing.T) {
	_, port := listen(t, "tcp4", "0.0.0.0:0")
	p := newProbed(t, netip.AddrPortFrom(netip.MustParseAddr("192.0.2.1"), port).String(), testKernel(t))
	p.connect(t, func(p *probe) listenerID {
		listener := p.connected(netip.MustParseAddr("192.0.2.2"))
		if listener != 0 || p.local {
			t.Errorf("socket %d, local %v", listener, p.local)
		}
		return 0
	})
}

// A process that has no descriptors left cannot look at its server's: that says nothing of the server, now or later.
func TestOwnersOutOfDescriptors(t *testing.T) {
	o := testOwners(t)
	all, _ := holders([]listenerID{o.socket}, nil, nil)
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	none := limit
	none.Cur = 0
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &none); err != nil {
		t.Fatal(err)
	}
	o.learn(o.foundBy(all.seen, os.Getpid()))
	without := o.life()
	f, _ := holders([]listenerID{o.socket}, nil, nil)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if !f.blind {
		t.Error("without descriptors all processes were looked at")
	}
	if with := o.life(); without != present || with != held {
		t.Errorf("%d without descriptors, not present; %d with them, not held", without, with)
	}
}
