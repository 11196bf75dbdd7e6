package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// The path is a TUN device in the run's network namespace. The second hop listens on linkHere; the first one connects to linkThere, which
// nobody has, so its packets go into the device. The link process takes them out there, and when their time has come it puts them back
// with source and destination exchanged: now they are for linkHere, from linkThere. No checksum changes by that, and both ends are the
// kernel's own TCP, which sees segments late or not at all, and acts as on any such path.
var linkHere, linkThere = netip.MustParseAddr("10.99.0.1"), netip.MustParseAddr("10.99.0.2")

const (
	linkDevice = "bench0"
	linkMTU    = 1500
	linkQueue  = 1 << 16 // packets under way; more are dropped
)

// startLink starts the link process and waits until the device is there.
func startLink(l link) (*process, error) {
	if err := setSysctl("tcp_no_metrics_save", "1"); err != nil { // no connection shall know what those before it have met
		return nil, err
	}
	argument, err := json.Marshal(l)
	if err != nil {
		return nil, err
	}
	p, err := startProcess("the bad link", again(context.Background(), roleLink, string(argument)))
	if err != nil {
		return nil, err
	}
	for until := time.Now().Add(readyWithin); ; time.Sleep(5 * time.Millisecond) {
		if isUp() {
			return p, nil
		}
		if err := p.ended(); err != nil {
			return p, err
		}
		if time.Now().After(until) {
			return p, fmt.Errorf("the bad link is not up within %v", readyWithin)
		}
	}
}

// isUp tells whether linkHere can be listened on, and there is a way to linkThere: the device has its address before it is up.
func isUp() bool {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	return unix.Bind(fd, &unix.SockaddrInet4{Addr: linkHere.As4()}) == nil &&
		unix.Connect(fd, &unix.SockaddrInet4{Addr: linkThere.As4(), Port: 9}) == nil // which sends nothing
}

// linkMissing says why there can be no bad link here; nil if there can.
func linkMissing() error {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("no bad link is possible: /dev/net/tun: %w", err)
	}
	return unix.Close(fd)
}

// linkMain is the link process: it carries packets until it is killed.
func linkMain(argument string) error {
	var l link
	if err := json.Unmarshal([]byte(argument), &l); err != nil {
		return fmt.Errorf("the link: %w", err)
	}
	fd, err := openTun()
	if err != nil {
		return fmt.Errorf("the bad link: %w", err)
	}
	w := &wire{link: l, fd: fd, buffer: make([]byte, linkMTU+64)}
	for {
		if err := w.turn(); err != nil {
			return fmt.Errorf("the bad link: %w", err)
		}
	}
}

// openTun makes the device and gives it linkHere.
func openTun() (int, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return 0, err
	}
	request, err := unix.NewIfreq(linkDevice)
	if err != nil {
		return 0, err
	}
	request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, request); err != nil {
		return 0, fmt.Errorf("TUNSETIFF: %w", err)
	}
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(s)
	set := func(what uint, fill func(*unix.Ifreq) error) error {
		r, err := unix.NewIfreq(linkDevice)
		if err == nil {
			err = fill(r)
		}
		if err != nil {
			return err
		}
		return unix.IoctlIfreq(s, what, r)
	}
	number := func(n uint32) func(*unix.Ifreq) error {
		return func(r *unix.Ifreq) error { r.SetUint32(n); return nil }
	}
	here := linkHere.As4()
	return fd, errors.Join(
		set(unix.SIOCSIFMTU, number(linkMTU)),
		set(unix.SIOCSIFTXQLEN, number(10000)), // what the link process has not read yet is not to be lost
		set(unix.SIOCSIFADDR, func(r *unix.Ifreq) error { return r.SetInet4Addr(here[:]) }),
		set(unix.SIOCSIFNETMASK, func(r *unix.Ifreq) error { return r.SetInet4Addr([]byte{255, 255, 255, 0}) }),
		set(unix.SIOCSIFFLAGS, func(r *unix.Ifreq) error { r.SetUint16(unix.IFF_UP | unix.IFF_RUNNING); return nil }))
}

// wire is the link with the packets that are under way, in the order in which they are due.
type wire struct {
	link
	fd     int
	queue  []packet
	buffer []byte
}

type packet struct {
	due  time.Time
	data []byte
}

// turn waits until a packet comes or is due, and does what there is to do.
func (w *wire) turn() error {
	if err := w.wait(); err != nil {
		return err
	}
	for {
		n, errno := readNow(w.fd, w.buffer)
		if errno == unix.EAGAIN {
			break
		}
		if errno != 0 {
			return errno
		}
		w.take(w.buffer[:n])
	}
	sent, now := 0, time.Now()
	for sent < len(w.queue) && !w.queue[sent].due.After(now) {
		w.put(w.queue[sent].data)
		sent++
	}
	w.queue = w.queue[sent:]
	if len(w.queue) == 0 {
		w.queue = nil
	}
	return nil
}

func (w *wire) wait() error {
	var limit *unix.Timespec
	if len(w.queue) > 0 {
		t := unix.NsecToTimespec(int64(max(time.Until(w.queue[0].due), 0)))
		limit = &t
	}
	_, err := unix.Ppoll([]unix.PollFd{{Fd: int32(w.fd), Events: unix.POLLIN}}, limit, nil)
	if err == unix.EINTR {
		return nil
	}
	return err
}

// take loses a packet, or turns it round and lets it wait.
func (w *wire) take(p []byte) {
	if len(p) < 20 || p[0]>>4 != 4 || len(w.queue) >= linkQueue {
		return
	}
	if w.Loss > 0 && rand.Float64() < w.Loss {
		return
	}
	var source [4]byte
	copy(source[:], p[12:16])
	copy(p[12:16], p[16:20])
	copy(p[16:20], source[:])
	if w.Delay == 0 {
		w.put(p)
		return
	}
	w.queue = append(w.queue, packet{time.Now().Add(w.Delay), append([]byte(nil), p...)})
}

// put gives a packet back to the kernel. One that it does not take is lost, as on any path.
func (w *wire) put(p []byte) { _, _ = writeNow(w.fd, p) }
