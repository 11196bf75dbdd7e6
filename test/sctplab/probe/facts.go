//go:build linux

package main

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"
)

// fact is something that the project takes for granted of the kernel.
type fact struct {
	about string
	want  string
	look  func() (string, error)
}

// checkFacts looks at every fact; it fails when one is not as written here.
func checkFacts() error {
	all := slices.Concat(sizeFacts(), optionFacts(), associationFacts(), readinessFacts())
	wrong := 0
	for _, f := range all {
		got, err := f.look()
		if err != nil {
			got = "error: " + err.Error()
		}
		if got == f.want {
			say("%s: %s", f.about, got)
			continue
		}
		wrong++
		say("DIFFERS %s:\n    is    %s\n    not   %s", f.about, got, f.want)
	}
	if wrong > 0 {
		return fmt.Errorf("%d of %d facts are not as written", wrong, len(all))
	}
	return nil
}

// ends are the two sides of an association over the loopback.
type ends struct{ listener, client, server int }

func (e *ends) close() {
	e.leave()
	unix.Close(e.client)
	unix.Close(e.listener)
}

// leave closes the server's socket, as its death would.
func (e *ends) leave() {
	if e.server >= 0 {
		unix.Close(e.server)
	}
	e.server = -1
}

// associate connects two sockets. prepare, if not nil, sets the options of both before.
func associate(prepare func(fd int) error) (e ends, err error) {
	e.server = -1
	if e.listener, err = listen("127.0.0.1:0", prepare); err != nil {
		return e, err
	}
	if e.client, err = socket(unix.AF_INET, 0); err != nil {
		return e, err
	}
	if prepare != nil {
		if err := prepare(e.client); err != nil {
			return e, err
		}
	}
	there, err := listAddresses(e.listener, optGetLocalAddrs)
	if err != nil {
		return e, err
	}
	if _, err := connectx(e.client, there); err != nil {
		return e, err
	}
	e.server, _, err = unix.Accept4(e.listener, unix.SOCK_CLOEXEC)
	if err != nil {
		return e, err
	}
	for _, fd := range []int{e.client, e.server} { // no test waits for what does not come
		if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 3}); err != nil {
			return e, err
		}
		if _, _, err := receive(fd); err != nil { // COMM_UP
			return e, err
		}
	}
	return e, nil
}

func listen(address string, prepare func(fd int) error) (int, error) {
	a := netip.MustParseAddrPort(address)
	family := unix.AF_INET
	if a.Addr().Is6() {
		family = unix.AF_INET6
	}
	fd, err := socket(family, 0)
	if err != nil {
		return -1, err
	}
	if prepare != nil {
		if err := prepare(fd); err != nil {
			return -1, err
		}
	}
	if err := setOption(fd, optBindxAdd, packed([]netip.AddrPort{a})); err != nil {
		return -1, err
	}
	return fd, unix.Listen(fd, 8)
}

// between is a look at an association.
func between(prepare func(fd int) error, look func(e *ends) (string, error)) func() (string, error) {
	return func() (string, error) {
		e, err := associate(prepare)
		if err != nil {
			return "", err
		}
		defer e.close()
		return look(&e)
	}
}

// everything reads until the end or an error, and puts all of it into words.
func everything(fd int) string {
	all := ""
	for range 100 {
		message, notification, err := receive(fd)
		all += outcome(message, notification, err)
		if err != nil || len(message) == 0 {
			return all
		}
		all += "; "
	}
	return all + "and so on"
}

// sizeFacts are the sizes that the kernel gives back of the options that the project may use.
func sizeFacts() []fact {
	size := func(name string, option, want int, fill ...byte) fact {
		return fact{fmt.Sprintf("%s (%d)", name, option), fmt.Sprintf("%d bytes", want), between(nil, func(e *ends) (string, error) {
			value := make([]byte, 512)
			copy(value, fill)
			got, err := getOption(e.client, option, value)
			return fmt.Sprintf("%d bytes", len(got)), err
		})}
	}
	return []fact{
		size("SCTP_RTOINFO", optRTOInfo, 16),
		size("SCTP_ASSOCINFO", optAssocInfo, 20),
		size("SCTP_INITMSG", optInitMsg, 8),
		size("SCTP_NODELAY", optNoDelay, 4),
		size("SCTP_PRIMARY_ADDR", 6, 132),
		size("SCTP_ADAPTATION_LAYER", 7, 4),
		size("SCTP_DISABLE_FRAGMENTS", 8, 4),
		size("SCTP_PEER_ADDR_PARAMS", optPeerAddrParams, 156),
		size("SCTP_EVENTS", optEvents, eventBytes),
		size("SCTP_STATUS", optStatus, 176),
		size("SCTP_DELAYED_SACK", 16, 12),
		size("SCTP_CONTEXT", 17, 8),
		size("SCTP_FRAGMENT_INTERLEAVE", 18, 4),
		size("SCTP_PARTIAL_DELIVERY_POINT", 19, 4),
		size("SCTP_RECVRCVINFO", 32, 4),
		size("SCTP_RECVNXTINFO", 33, 4),
		size("SCTP_DEFAULT_SNDINFO", 34, 16),
		size("SCTP_PEER_ADDR_THLDS_V2", 37, 144),
		size("SCTP_GET_ASSOC_STATS", 112, 256),
		size("SCTP_PR_SUPPORTED", 113, 8),
		size("SCTP_DEFAULT_PRINFO", 114, 12),
		size("SCTP_STREAM_SCHEDULER", 123, 8),
		size("SCTP_INTERLEAVING_SUPPORTED", 125, 8),
		size("SCTP_EVENT", optEvent, 8, 0, 0, 0, 0, 1, 0x80),
		size("SCTP_EXPOSE_PF_STATE", 131, 8),
		size("SCTP_REMOTE_UDP_ENCAPS_PORT", 132, 144),
	}
}

// optionFacts are how some options are laid out, and what they take.
func optionFacts() []fact {
	return []fact{
		{"SCTP_GET_PEER_ADDR_INFO (15): size, address state, MTU", "152 bytes, 2, 65532", between(nil, peerAddrInfo)},
		{"SCTP_STATUS of an established association: state, streams in and out", "4, 10, 10", between(nil, status)},
		{"SCTP_EVENTS with a byte too many", "EINVAL", between(nil, func(e *ends) (string, error) {
			return unix.ErrnoName(errno(setOption(e.client, optEvents, make([]byte, eventBytes+1)))), nil
		})},
		// A heartbeat interval is kept in ticks of 4 ms, and rounded up.
		{"SCTP_PEER_ADDR_PARAMS keeps interval, misses, flags at 132, 136, 146", "1236 ms, 7, 0x1", between(nil, peerAddrParams(156))},
		{"SCTP_PEER_ADDR_PARAMS with the 152 bytes of old", "1236 ms, 7, 0x1", between(nil, peerAddrParams(152))},
		// Only one of the two counts the 8 bytes before the addresses: go by the number of addresses, never by the length.
		{"SCTP_GET_LOCAL_ADDRS: reported length of five IPv4 addresses", "80 bytes", between(nil, reported(optGetLocalAddrs))},
		{"SCTP_GET_PEER_ADDRS: reported length of one IPv4 address", "24 bytes", between(nil, reported(optGetPeerAddrs))},
		// An IPv6 socket lists IPv4 addresses as IPv6 (SCTP_I_WANT_MAPPED_V4_ADDR is on), so that a list has one size of entries.
		{"addresses of both families on one IPv6 socket", "[[::ffff:127.0.0.1]:7100 [::1]:7100], first family 10, port 7100",
			mixedFamilies},
	}
}

func peerAddrInfo(e *ends) (string, error) {
	there, err := listAddresses(e.client, optGetPeerAddrs)
	if err != nil {
		return "", err
	}
	value := make([]byte, 512)
	copy(value[4:], packed(there))
	got, err := getOption(e.client, optPeerAddrInfo, value)
	return fmt.Sprintf("%d bytes, %d, %d", len(got), native.Uint32(value[132:]), native.Uint32(value[148:])), err
}

func status(e *ends) (string, error) {
	value := make([]byte, 176)
	_, err := getOption(e.client, optStatus, value)
	return fmt.Sprintf("%d, %d, %d", native.Uint32(value[4:]), native.Uint16(value[16:]), native.Uint16(value[18:])), err
}

func peerAddrParams(size int) func(e *ends) (string, error) {
	return func(e *ends) (string, error) {
		value := make([]byte, size)
		native.PutUint32(value[132:], 1234)
		native.PutUint16(value[136:], 7)
		native.PutUint32(value[146:], 1)
		if err := setOption(e.client, optPeerAddrParams, value); err != nil {
			return "", err
		}
		value = make([]byte, size)
		_, err := getOption(e.client, optPeerAddrParams, value)
		return fmt.Sprintf("%d ms, %d, %#x", native.Uint32(value[132:]), native.Uint16(value[136:]), native.Uint32(value[146:])&3), err
	}
}

func reported(option int) func(e *ends) (string, error) {
	return func(e *ends) (string, error) {
		got, err := getOption(e.client, option, make([]byte, 512))
		return fmt.Sprintf("%d bytes", len(got)), err
	}
}

// mixedFamilies shows in which form the kernel lists an IPv4 and an IPv6 address.
func mixedFamilies() (string, error) {
	fd, err := socket(unix.AF_INET6, 0)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	list := []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:7100"), netip.MustParseAddrPort("[::1]:7100")}
	if err := setOption(fd, optBindxAdd, packed(list)); err != nil {
		return "", err
	}
	value := make([]byte, 512)
	if _, err := getOption(fd, optGetLocalAddrs, value); err != nil {
		return "", err
	}
	here, err := listAddresses(fd, optGetLocalAddrs)
	return fmt.Sprintf("%v, first family %d, port %d", here, native.Uint16(value[8:]), binary.BigEndian.Uint16(value[10:])), err
}
