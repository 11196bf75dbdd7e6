//go:build linux

package chaos

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// host is a network namespace and a mount namespace without names, on a thread of their own. Its only way out is a TUN device, whose
// packets the exchange carries. Nothing of it has to be cleaned up: all is gone with the thread, the processes that it started, and the
// device's descriptor, also when the tests are killed.
type host struct {
	name    string
	address netip.Addr
	tun     *os.File
	work    chan func() // run on the host's thread; closed: the host ends
	ended   chan struct{}
	tid     int
	admin   *http.Client // of the sidecar that runs on it
}

// hostSetup is the shell's: paravirtual cables have a large MTU so that bulk costs few packets. BBR would pace every connection, and
// the kernel's memory of paths would carry one cell's losses into the next.
const hostSetup = `set -e
ip link set lo up
ip address add %s/24 dev eth0
ip link set eth0 mtu 16000 txqueuelen 10000 up
sysctl -qw net.ipv4.tcp_congestion_control=reno net.ipv4.tcp_no_metrics_save=1 net.ipv4.ip_local_port_range="20000 60999" || true
`

// newHost makes a host and plugs it into the exchange.
func newHost(x *exchange, name string, address netip.Addr) (*host, error) {
	h := &host{name: name, address: address, work: make(chan func()), ended: make(chan struct{})}
	h.admin = adminOf(h)
	ready := make(chan error)
	go h.live(ready)
	if err := <-ready; err != nil {
		return nil, fmt.Errorf("host %s: %w", name, err)
	}
	x.plug(h)
	return h, nil
}

// live is the host's thread: it ends when the host is closed, and its namespaces with it. close waits for it.
func (h *host) live(ready chan<- error) {
	defer close(h.ended)
	runtime.LockOSThread() // and never unlocked: no other goroutine shall get into these namespaces
	h.tid = unix.Gettid()
	err := h.enter()
	ready <- err
	if err != nil {
		return
	}
	for f := range h.work {
		f()
	}
}

// enter takes the thread into namespaces of its own, with a loopback and eth0.
func (h *host) enter() error {
	if err := unix.Unshare(unix.CLONE_NEWNET | unix.CLONE_NEWNS | unix.CLONE_FS); err != nil {
		return fmt.Errorf("new namespaces: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return fmt.Errorf("mounts that are its own: %w", err)
	}
	tun, err := openTun("eth0")
	if err != nil {
		return err
	}
	h.tun = tun
	if out, err := exec.Command("sh", "-c", fmt.Sprintf(hostSetup, h.address)).CombinedOutput(); err != nil {
		return fmt.Errorf("setting up eth0: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}

// openTun makes a TUN device in the thread's network namespace.
func openTun(name string) (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("/dev/net/tun: %w", err)
	}
	request, err := unix.NewIfreq(name)
	if err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, request); err != nil {
		return nil, errors.Join(fmt.Errorf("a TUN device: %w", err), unix.Close(fd))
	}
	return os.NewFile(uintptr(fd), "/dev/net/tun"), nil
}

// do runs f on the host's thread: what it opens and starts is the host's.
func (h *host) do(f func()) {
	done := make(chan struct{})
	h.work <- func() {
		defer close(done)
		f()
	}
	<-done
}

// dial connects from the host. It must not block the host's thread for longer than a SYN on a cable takes: within one world nothing that
// is dialled by the tests is ever cut off.
func (h *host) dial(address string) (conn *net.TCPConn, err error) {
	to, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return nil, err
	}
	h.do(func() { conn, err = net.DialTCP("tcp", nil, to) })
	return conn, err
}

// root is where the host's file system can be seen from outside, its own mounts included.
func (h *host) root() string { return fmt.Sprintf("/proc/self/task/%d/root", h.tid) }

// close ends the thread. All that it started is killed by the kernel then (Pdeathsig).
func (h *host) close() {
	close(h.work)
	<-h.ended
	_ = h.tun.Close()
}
