package mapping

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/poolproxy/poolproxy/internal/sockets"
	"github.com/poolproxy/poolproxy/loop"
)

var (
	_ Dialer   = SCTPMapping{}
	_ Acceptor = SCTPMapping{}
	_ Pather   = (*sctpAssociation)(nil)
	_ Pauser   = (*sctpAssociation)(nil)
	_ Breaker  = (*sctpAssociation)(nil)
)

// Supported tells whether SCTP can be used here; the error wraps ErrNoSCTP and says what is missing.
func (s SCTPMapping) Supported() error { return sctpSupported(s.UDPPort) }

// Dial begins an association with the peer that listens at to; see Dialer.
func (s SCTPMapping) Dial(l loop.Loop, to netip.AddrPort, c Config, h Handler) Association {
	a := newSCTPAssociation(l, s, c)
	a.handler, a.remote = h, to
	if err := a.dial(to); err != nil {
		// Nothing is said before Dial has returned.
		l.Post(func() { a.fail(err) })
	}
	return a
}

// dial opens the socket and begins to connect.
func (a *sctpAssociation) dial(to netip.AddrPort) error {
	all := withPort(to, nil)
	if a.mapping.Peer != nil {
		all = withPort(to, a.mapping.Peer(to))
	}
	local := withPort(a.mapping.From, a.mapping.Local)
	if a.mapping.From.IsValid() {
		local = local[:1]
	}
	fd, err := openSCTP(familyOf(append(all, local...)))
	if err != nil {
		return err
	}
	if err := a.begin(fd, all, local); err != nil {
		if a.file == nil {
			unix.Close(fd)
		}
		return fmt.Errorf("connect to %v: %w", to, sctpReason(err))
	}
	return nil
}

func (a *sctpAssociation) begin(fd int, peer, local []netip.AddrPort) error {
	if err := a.mapping.setOptions(fd, a.config); err != nil {
		return err
	}
	if err := encapsulate(fd, a.mapping.UDPPort); err != nil {
		return err
	}
	if len(local) > 0 {
		if err := share(fd, a.mapping.From.IsValid()); err != nil {
			return err
		}
		if err := bindAll(fd, local); err != nil {
			return fmt.Errorf("bind to %v: %w", local, err)
		}
	}
	if err := a.watch(fd); err != nil {
		return err
	}
	return connectAll(fd, peer)
}

// withPort is the address, if it is one, and others with its port.
func withPort(first netip.AddrPort, others []netip.Addr) []netip.AddrPort {
	var all []netip.AddrPort
	if first.IsValid() {
		all = append(all, first)
	}
	for _, other := range others {
		if other != first.Addr() {
			all = append(all, netip.AddrPortFrom(other, first.Port()))
		}
	}
	return all
}

// watch has the loop watch the socket.
func (a *sctpAssociation) watch(fd int) error {
	w, can := a.loop.(loop.Watcher)
	if !can {
		return fmt.Errorf("%w: this loop cannot watch its sockets", ErrNoSCTP)
	}
	file, err := w.Watch(fd, a)
	if err != nil {
		return err
	}
	a.file = file
	return nil
}

// sctpListener accepts associations.
type sctpListener struct {
	mapping SCTPMapping
	loop    loop.Loop
	config  Config
	accept  func(Association) Handler
	file    loop.File
	addr    netip.AddrPort
	pause   loop.Timer
}

// Listen accepts associations at the address, and at those of Local; see Acceptor.
func (s SCTPMapping) Listen(l loop.Loop, at netip.AddrPort, c Config, accept func(Association) Handler) (loop.Listener, error) {
	w, can := l.(loop.Watcher)
	if !can {
		return nil, fmt.Errorf("listen %v: %w: this loop cannot watch its sockets", at, ErrNoSCTP)
	}
	if err := listensOverUDP(s.UDPPort); err != nil {
		return nil, fmt.Errorf("listen %v (sctp): %w", at, err)
	}
	fd, addr, err := s.listen(withPort(at, s.Local), c)
	if err != nil {
		return nil, fmt.Errorf("listen %v (sctp): %w", at, err)
	}
	li := &sctpListener{mapping: s, loop: l, config: c, accept: accept, addr: addr}
	if li.file, err = w.Watch(fd, li); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("listen %v (sctp): %w", at, err)
	}
	li.pause.Func = func() { li.Ready(loop.Readable) }
	return li, nil
}

// listen opens a listening socket, unless this process was given one for the address. With port 0 the kernel chooses one.
func (s SCTPMapping) listen(at []netip.AddrPort, c Config) (int, netip.AddrPort, error) {
	if f := sockets.Given.SCTP(at[0]); f != nil {
		fd, err := s.takeOver(f, c)
		return fd, at[0], err
	}
	fd, err := openSCTP(familyOf(at))
	if err != nil {
		return -1, netip.AddrPort{}, err
	}
	addr, err := s.listenAt(fd, at, c)
	if err != nil {
		unix.Close(fd)
		return -1, netip.AddrPort{}, err
	}
	return fd, addr, nil
}

// takeOver has a socket that listens already do so as our own would; it stays bound to the addresses that it has. It closes the file.
func (s SCTPMapping) takeOver(f *os.File, c Config) (int, error) {
	defer f.Close()
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("the socket that this process was given: dup: %w", err)
	}
	if err := errors.Join(unix.SetNonblock(fd, true), s.setOptions(fd, c)); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("the socket that this process was given: %w", err)
	}
	return fd, nil
}

func (s SCTPMapping) listenAt(fd int, at []netip.AddrPort, c Config) (netip.AddrPort, error) {
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return netip.AddrPort{}, err
	}
	if err := share(fd, s.Shared); err != nil {
		return netip.AddrPort{}, err
	}
	if err := s.setOptions(fd, c); err != nil {
		return netip.AddrPort{}, err
	}
	if err := bindAll(fd, at[:1]); err != nil {
		return netip.AddrPort{}, err
	}
	first := addressesOf(fd, optLocals)
	if len(first) == 0 {
		return netip.AddrPort{}, errNoStatus
	}
	addr := netip.AddrPortFrom(at[0].Addr(), first[0].Port())
	if len(at) > 1 {
		var others []netip.Addr
		for _, a := range at[1:] {
			others = append(others, a.Addr())
		}
		if err := bindAll(fd, withPort(addr, others)[1:]); err != nil {
			return netip.AddrPort{}, fmt.Errorf("also at %v: %w", others, err)
		}
	}
	return addr, unix.Listen(fd, acceptBacklog)
}

// SCTPAddresses are all the addresses that a socket of SCTP is bound to; getsockname(2) knows one of them.
func SCTPAddresses(fd int) []netip.AddrPort { return addressesOf(fd, optLocals) }

// Addr is where it listens; see loop.Listener.
func (li *sctpListener) Addr() netip.AddrPort { return li.addr }

// Close stops accepting; see loop.Listener.
func (li *sctpListener) Close() {
	li.loop.Cancel(&li.pause)
	li.file.Close()
}

// acceptPause is how long a listener rests when the process has no descriptors left; acceptTurn how many are accepted in a turn.
const (
	acceptPause   = 100 * time.Millisecond
	acceptTurn    = 64
	acceptBacklog = 1024
)

// Ready accepts those that have come; see loop.Handler.
func (li *sctpListener) Ready(loop.Event) {
	for range acceptTurn {
		if li.file.FD() < 0 {
			return
		}
		fd, _, err := unix.Accept4(li.file.FD(), unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		switch {
		case err == nil:
			li.accepted(fd)
		case errors.Is(err, unix.EAGAIN):
			return
		case errors.Is(err, unix.EMFILE), errors.Is(err, unix.ENFILE), errors.Is(err, unix.ENOBUFS), errors.Is(err, unix.ENOMEM):
			li.loop.Schedule(&li.pause, li.loop.Now().Add(acceptPause))
			return
		default: // that association's failure, or EINTR
		}
	}
	li.loop.Schedule(&li.pause, li.loop.Now()) // the rest in the next turn
}

func (li *sctpListener) accepted(fd int) {
	a := newSCTPAssociation(li.loop, li.mapping, li.config)
	a.accepted = true
	if err := a.watch(fd); err != nil { // no memory for one more in the epoll
		a.end(false)
		unix.Close(fd)
		return
	}
	if peers := addressesOf(fd, optPeers); len(peers) > 0 {
		a.remote = peers[0]
	}
	if a.handler = li.accept(a); a.handler == nil {
		a.end(false)
		return
	}
	a.connect()
}

// sctpReason makes an error of the kernel one of those that Handler.Down names.
func sctpReason(err error) error {
	switch {
	case errors.Is(err, unix.ECONNREFUSED):
		return fmt.Errorf("%w: %w", loop.ErrRefused, err)
	case errors.Is(err, unix.ECONNRESET), errors.Is(err, unix.EPIPE), errors.Is(err, unix.ECONNABORTED):
		return fmt.Errorf("%w: %w", loop.ErrReset, err)
	case errors.Is(err, ErrNoSCTP):
		return err
	}
	return classify(err)
}
