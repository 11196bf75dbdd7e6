package mapping

import (
	"encoding/binary"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// SCTP over UDP (RFC 6951). The kernel itself has a UDP port, one for all sockets of a network namespace, that is the source of all it
// sends: net.sctp.udp_port. Where that is 0, which is the default, an association that should go over UDP goes without, and nobody says
// so: therefore it is looked at here.
const (
	optUDPPort  = 132                           // SCTP_REMOTE_UDP_ENCAPS_PORT: struct sctp_udpencaps
	udpPortFile = "/proc/sys/net/sctp/udp_port" // there since Linux 5.11
	udpPortSize = 144                           // struct sctp_udpencaps
)

// encapsulate has the associations of a socket go to the port of UDP, if it is not 0. The error wraps ErrNoSCTP where the kernel cannot
// do it, or was not told to.
func encapsulate(fd int, port uint16) error {
	if port == 0 {
		return nil
	}
	if own, err := ownUDPPort(); err != nil {
		return err
	} else if own == 0 {
		return fmt.Errorf("%w over UDP (udp_port) while net.sctp.udp_port is 0: set it (sysctl -w net.sctp.udp_port=%d)", ErrNoSCTP, port)
	}
	b := make([]byte, udpPortSize) // no address: all paths
	binary.BigEndian.PutUint16(b[136:], port)
	if err := unix.SetsockoptString(fd, unix.IPPROTO_SCTP, optUDPPort, string(b)); err != nil {
		return fmt.Errorf("%w over UDP (RFC 6951, Linux 5.11): leave udp_port out: %w", ErrNoSCTP, err)
	}
	return nil
}

// listensOverUDP tells whether peers that send to the port of UDP are heard.
func listensOverUDP(port uint16) error {
	if port == 0 {
		return nil
	}
	own, err := ownUDPPort()
	if err == nil && own != int(port) {
		err = fmt.Errorf("%w at the UDP port %d while net.sctp.udp_port is %d: they must be the same (sysctl -w net.sctp.udp_port=%d)",
			ErrNoSCTP, port, own, port)
	}
	return err
}

// ownUDPPort is the kernel's own port of UDP; 0: it has none.
func ownUDPPort() (int, error) {
	text, err := os.ReadFile(udpPortFile)
	if err != nil {
		return 0, fmt.Errorf("%w over UDP (RFC 6951, Linux 5.11): leave udp_port out: %w", ErrNoSCTP, err)
	}
	port, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0, fmt.Errorf("mapping: %s is not a number: %w", udpPortFile, err)
	}
	return port, nil
}
