package proxy

import (
	"fmt"
	"net/netip"
	"strconv"
)

// queued returns how many bytes lie in the receive queue of the socket at the other end of our connection from local to remote, a
// FIN that was not read counting as one: what that socket's process has been sent and has not read. ok is false where the kernel
// does not know: the other end is on another host or in another network namespace, is reached by translated addresses, is gone,
// or has no process any more that could read.
//
// Only a socket with exactly these two addresses is the other end. Two things cannot be seen, and are for docs/replay.md to say: a
// process that reads only to pass on (docker-proxy) counts as the server, and so does the kernel where it reads on behalf of a
// process (kernel TLS, a BPF sockmap). INET_DIAG_INFO would tell more, but takes the lock of the server's socket, and a server
// that reads into memory that is swapped out keeps that for as long as the disk takes: it would hold up our loop.
func (k *kernel) queued(local, remote netip.AddrPort) (n int, ok bool, err error) {
	device, known := zone(local.Addr())
	if !known || plain(local) == plain(remote) { // a connection with itself: what is found would be our own end
		return 0, false, nil
	}
	msg, err := k.ask(diagRequest(remote, local, device))
	if err != nil {
		return 0, false, fmt.Errorf("proxy: sock_diag about the connection from %v to %v: %w", local, remote, err)
	}
	if msg == nil || !msg.is(remote, local) || !msg.readable() {
		return 0, false, nil
	}
	return int(msg.received()), true, nil
}

// zone is the number of the interface that a link-local address belongs to, 0 for others.
func zone(a netip.Addr) (device uint32, known bool) {
	if a.Zone() == "" {
		return 0, true
	}
	n, err := strconv.ParseUint(a.Zone(), 10, 32) // package loop gives local addresses a number
	return uint32(n), err == nil
}

// readable reports whether a process may still read from the connection.
func (m diagMessage) readable() bool {
	switch m.state() {
	case tcpEstablished, tcpCloseWait:
		return true // also before a process has accepted it: then it is nobody's, too
	case tcpSynReceived:
		return true // TCP_DEFER_ACCEPT: it becomes a connection with the first byte, which is unacknowledged until then
	case tcpFinWait1, tcpFinWait2, tcpClosing, tcpLastAck:
		return m.inode() != 0 // it has said its end, and was not closed: a half-close
	}
	return false
}
