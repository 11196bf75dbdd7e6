//go:build linux

package main

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// What a socket reads when the peer has shut down, and when it has aborted: error 3072 is cause 12 (user-initiated abort) with its
// bytes as they are on the wire, and four bytes of the ABORT's chunk follow the notification.
const (
	complete = "ASSOC_CHANGE SHUTDOWN_COMP error 0 streams 0 out 0 in, 20 bytes; "
	shutDown = "SHUTDOWN_EVENT, 12 bytes; " + complete + "end"
	aborted  = "ASSOC_CHANGE COMM_LOST error 3072 streams 0 out 0 in, 24 bytes; "
)

// associationFacts are what the kernel does with messages, and what it says at the end of an association.
func associationFacts() []fact {
	return []fact{
		{"accept4: what the new socket has of the listener's",
			"events [0 1 1 0 1 1 1 1 0 0 1 1 1 1], RTO 100 to 400 ms, heartbeat 200 ms, path misses 3, nodelay 1",
			between(limits, inherited)},
		{"65535 streams each way, asked for by both", "4, 65535, 65535", between(allStreams, status)},
		{"a message larger than the send buffer", "EMSGSIZE", between(nil, tooLarge)},
		{"a message of 100000 bytes", "100000 bytes in pieces, the last with MSG_EOR", between(nil, pieces(100000))},
		{"a message of 400000 bytes, more than the receive buffer", "400000 bytes in pieces, the last with MSG_EOR",
			between(nil, pieces(400000))},
		// The side that began it gets no end, but ENOTCONN.
		{"the peer shuts down",
			shutDown + " / at the peer ASSOC_CHANGE SHUTDOWN_COMP error 0 streams 0 out 0 in, 20 bytes; error ENOTCONN",
			between(nil, peerShutsDown)},
		// A death is no failure to SCTP: kill -9 closes sockets, and a close is a shutdown unless something came that was not read.
		{"the peer's process dies with everything read", shutDown, between(nil, func(e *ends) (string, error) {
			e.leave()
			return everything(e.client), nil
		})},
		{"the peer's process dies with a message unread", aborted + "error ECONNRESET", between(nil, peerDiesUnread)},
		// Message 1 is not given back: the peer's kernel had acknowledged it, though no program ever read it.
		{"the peer aborts with messages under way", aborted +
			failed("sent", 2, 0x3, 1500) + failed("unsent", 3, 0x3, 1500) + failed("unsent", 4, 0x3, 1500) +
			failed("unsent", 5, 0x2, 65484) + failed("unsent", 5, 0x0, 65484) + failed("unsent", 5, 0x1, 19032) + "error ECONNRESET",
			between(smallBuffers, abortUnderWay)},
		// Messages that arrive at the closed socket are acknowledged and thrown away: the three that are sent are lost, and nothing
		// says so. Only an acknowledgement of the application's is one.
		{"messages to a peer that died while it was still sending", strings.Repeat("message of 1500 bytes; ", 8) + "SHUTDOWN_EVENT, 12 bytes; end",
			between(smallBuffers, intoTheVoid)},
		{"reads after the error", "error ECONNRESET, then error ENOTCONN, then error ENOTCONN", between(nil, afterTheError)},
		{"a send after the end", "EPIPE", between(nil, func(e *ends) (string, error) {
			e.leave()
			everything(e.client)
			return unix.ErrnoName(errno(send(e.client, 0, 0, []byte("late")))), nil
		})},
	}
}

func tooLarge(e *ends) (string, error) {
	if err := unix.SetsockoptInt(e.client, unix.SOL_SOCKET, unix.SO_SNDBUF, 100<<10); err != nil {
		return "", err
	}
	return unix.ErrnoName(errno(send(e.client, 0, 0, make([]byte, 1<<20)))), nil
}

func peerShutsDown(e *ends) (string, error) {
	if err := unix.Shutdown(e.server, unix.SHUT_WR); err != nil {
		return "", err
	}
	return everything(e.client) + " / at the peer " + everything(e.server), nil
}

func peerDiesUnread(e *ends) (string, error) {
	if err := send(e.client, 0, 1, []byte("unread")); err != nil {
		return "", err
	}
	e.leave()
	return everything(e.client), nil
}

// failed is what the kernel says of a message, or a fragment of one, that it gives back. Stream and context are the same number.
func failed(what string, number, flags, size int) string {
	return fmt.Sprintf("SEND_FAILED_EVENT %s error 3072 stream %d chunk-flags %#x ppid 33 context %d, %d bytes of data; ",
		what, number, flags, number, size)
}

func inherited(e *ends) (string, error) {
	events, err := getOption(e.server, optEvents, make([]byte, eventBytes))
	if err != nil {
		return "", err
	}
	rto, err := getOption(e.server, optRTOInfo, make([]byte, 16))
	if err != nil {
		return "", err
	}
	path, err := getOption(e.server, optPeerAddrParams, make([]byte, 156))
	if err != nil {
		return "", err
	}
	noDelay, err := getOption(e.server, optNoDelay, make([]byte, 4))
	return fmt.Sprintf("events %v, RTO %d to %d ms, heartbeat %d ms, path misses %d, nodelay %d", events, native.Uint32(rto[12:]),
		native.Uint32(rto[8:]), native.Uint32(path[132:]), native.Uint16(path[136:]), noDelay[0]), err
}

// pieces reads a message with a buffer smaller than it, and says how it came.
func pieces(size int) func(e *ends) (string, error) {
	return func(e *ends) (string, error) {
		if err := unix.SetsockoptInt(e.client, unix.SOL_SOCKET, unix.SO_SNDBUF, 1<<20); err != nil {
			return "", err
		}
		if err := send(e.client, 0, 0, make([]byte, size)); err != nil {
			return "", err
		}
		total, how := 0, "one piece"
		for b := make([]byte, 60000); total < size; how = "pieces" {
			n, _, flags, _, err := unix.Recvmsg(e.server, b, nil, 0)
			if err != nil {
				return "", err
			}
			if flags&msgNotification != 0 {
				return "a notification in between: " + describe(b[:n]), nil
			}
			total += n
			if flags&unix.MSG_EOR != 0 {
				return fmt.Sprintf("%d bytes in %s, the last with MSG_EOR", total, how), nil
			}
		}
		return "no MSG_EOR", nil
	}
}

// smallBuffers let few messages fill what is between two sockets.
func smallBuffers(fd int) error {
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 4096); err != nil {
		return err
	}
	return setOption(fd, optNoDelay, []byte{1, 0, 0, 0})
}

// abortUnderWay sends until the peer's window is shut, and a message that needs fragments; then the peer aborts.
func abortUnderWay(e *ends) (string, error) {
	for i := uint32(1); i <= 4; i++ {
		if err := send(e.client, uint16(i), i, make([]byte, 1500)); err != nil {
			return "", err
		}
	}
	if err := send(e.client, 5, 5, make([]byte, 150000)); err != nil {
		return "", err
	}
	if err := unix.SetsockoptLinger(e.server, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}); err != nil {
		return "", err
	}
	e.leave()
	return everything(e.client), nil
}

func allStreams(fd int) error {
	init := make([]byte, 8)
	native.PutUint16(init, 65535)     // out
	native.PutUint16(init[2:], 65535) // in, at most
	return setOption(fd, optInitMsg, init)
}

func afterTheError(e *ends) (string, error) {
	if _, err := peerDiesUnread(e); err != nil {
		return "", err
	}
	again := []string{"error ECONNRESET"} // as peerDiesUnread has read
	for range 2 {
		again = append(again, outcome(receive(e.client)))
	}
	return strings.Join(again, ", then "), nil
}

// intoTheVoid sends to a socket that was closed with nothing unread, but with messages of its own under way.
func intoTheVoid(e *ends) (string, error) {
	for range 8 {
		if err := send(e.server, 0, 0, make([]byte, 1500)); err != nil {
			return "", err
		}
	}
	e.leave()
	for i := range uint32(3) {
		if err := send(e.client, 0, 1+i, []byte("lost?")); err != nil {
			return "", err
		}
	}
	// The end may be read before the shutdown is complete: how long that takes is the timers' business, as messages are still unacknowledged.
	return strings.Replace(everything(e.client), complete, "", 1), nil
}

// readinessFacts are what epoll says of SCTP sockets, edge-triggered, which an event loop has to know.
func readinessFacts() []fact {
	const begun = "nothing before; connectx EINPROGRESS, number told: true; "
	return []fact{
		{"connectx without waiting, towards a listener",
			begun + `IN+OUT; SO_ERROR ""; ASSOC_CHANGE COMM_UP error 0 streams 10 out 10 in, 20 bytes`,
			func() (string, error) {
				listener, err := listen("127.0.0.1:7200", nil)
				if err != nil {
					return "", err
				}
				defer unix.Close(listener)
				return connecting("127.0.0.1:7200", connectx)
			}},
		// The older way needs no pointer within its argument; it does not tell the number, which one-to-one sockets do without.
		{"connectx as setsockopt (110), without waiting, towards nobody",
			`nothing before; connectx EINPROGRESS, number told: false; IN+ERR; SO_ERROR "ECONNREFUSED"; ` +
				"ASSOC_CHANGE CANT_STR_ASSOC error 0 streams 0 out 0 in, 20 bytes",
			func() (string, error) {
				return connecting("127.0.0.1:7201", func(fd int, remote []netip.AddrPort) (int32, error) {
					return 0, setOption(fd, optConnectx, packed(remote))
				})
			}},
		{"connectx without waiting, towards nobody",
			begun + `IN+ERR; SO_ERROR "ECONNREFUSED"; ASSOC_CHANGE CANT_STR_ASSOC error 0 streams 0 out 0 in, 20 bytes`,
			func() (string, error) { return connecting("127.0.0.1:7201", connectx) }},
		{"connectx without waiting, into silence", begun + `nothing; SO_ERROR ""; error EAGAIN`,
			func() (string, error) { return connecting("10.1.1.200:7202", connectx) }},
		{"writability of a full socket", "at first OUT; EAGAIN when full, nothing; OUT when the peer has read", between(nil, fullSocket)},
		{"the peer's end", "at first OUT; then IN+OUT+RDHUP, " + shutDown, between(nil, peerEnds)},
		// There is no HUP.
		{"a socket at its end", "IN+OUT+RDHUP", between(nil, atTheEnd)},
	}
}

func peerEnds(e *ends) (string, error) {
	w, err := watchSocket(e.client)
	if err != nil {
		return "", err
	}
	defer w.close()
	first := w.gather(0)
	e.leave()
	return fmt.Sprintf("at first %s; then %s, %s", first, w.gather(500), everything(e.client)), nil
}

func atTheEnd(e *ends) (string, error) {
	e.leave()
	everything(e.client)
	w, err := watchSocket(e.client)
	if err != nil {
		return "", err
	}
	defer w.close()
	return w.gather(0), nil
}

// watch is an epoll instance with one socket in it, edge-triggered.
type watch struct{ epfd int }

func (w watch) close() { unix.Close(w.epfd) }

func watchSocket(fd int) (watch, error) {
	epfd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return watch{}, err
	}
	bits := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET, Fd: int32(fd)}
	return watch{epfd}, unix.EpollCtl(epfd, unix.EPOLL_CTL_ADD, fd, &bits)
}

// gather names all readiness that is reported within a time.
func (w watch) gather(milliseconds int) string {
	var bits uint32
	for end := time.Now().Add(time.Duration(milliseconds) * time.Millisecond); ; {
		events := make([]unix.EpollEvent, 1)
		n, err := unix.EpollWait(w.epfd, events, max(0, int(time.Until(end).Milliseconds())))
		if n > 0 {
			bits |= events[0].Events
		}
		if err != unix.EINTR && n <= 0 {
			break
		}
	}
	var names []string
	for _, bit := range []struct {
		mask uint32
		name string
	}{{unix.EPOLLIN, "IN"}, {unix.EPOLLOUT, "OUT"}, {unix.EPOLLRDHUP, "RDHUP"}, {unix.EPOLLERR, "ERR"}, {unix.EPOLLHUP, "HUP"}} {
		if bits&bit.mask != 0 {
			names = append(names, bit.name)
		}
	}
	if names == nil {
		return "nothing"
	}
	return strings.Join(names, "+")
}

// connecting connects a non-blocking socket that is watched, and tells what happens.
func connecting(to string, begin func(int, []netip.AddrPort) (int32, error)) (string, error) {
	fd, err := socket(unix.AF_INET, unix.SOCK_NONBLOCK)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	w, err := watchSocket(fd)
	if err != nil {
		return "", err
	}
	defer w.close()
	before := w.gather(0)
	association, err := begin(fd, []netip.AddrPort{netip.MustParseAddrPort(to)})
	all := fmt.Sprintf("%s before; connectx %s, number told: %t; %s",
		before, unix.ErrnoName(errno(err)), association != 0, w.gather(500))
	soError, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return "", err
	}
	message, notification, err := receive(fd)
	return fmt.Sprintf("%s; SO_ERROR %q; %s", all, unix.ErrnoName(unix.Errno(soError)), outcome(message, notification, err)), nil
}

// fullSocket fills a socket, lets the peer read, and looks when it is said to be writable.
func fullSocket(e *ends) (string, error) {
	if err := unix.SetNonblock(e.client, true); err != nil {
		return "", err
	}
	w, err := watchSocket(e.client)
	if err != nil {
		return "", err
	}
	defer w.close()
	first := w.gather(0)
	sent := 0
	for err == nil {
		if err = send(e.client, 0, 0, make([]byte, 10000)); err == nil {
			sent++
		}
	}
	full := w.gather(0)
	for i := range sent {
		if _, _, err := receive(e.server); err != nil {
			return "", fmt.Errorf("message %d of %d: %w", i, sent, err)
		}
	}
	return fmt.Sprintf("at first %s; %s when full, %s; %s when the peer has read",
		first, unix.ErrnoName(errno(err)), full, w.gather(500)), nil
}
