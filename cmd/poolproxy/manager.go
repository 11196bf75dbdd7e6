package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/hashicorp/go-hclog"

	"github.com/poolproxy/poolproxy/internal/sockets"
)

// What the service manager that has started this process (systemd) is told by sd_notify(3), and what it hands over by
// sd_listen_fds(3). Where there is none, as on other systems, nothing of this does anything.

// stopMargin is what stopping takes beyond the grace of the sessions: others are told first that the pool_elements are gone.
const stopMargin = 30 * time.Second

// tell sends a message, assignments of which each is one line. That it does not get there is no reason not to serve.
func tell(log hclog.Logger, lines ...string) {
	if _, err := daemon.SdNotify(false, strings.Join(lines, "\n")); err != nil {
		log.Warn("the service manager cannot be told", "message", lines[0], "error", err)
	}
}

// tellReady says that all is listened on, and that this process is the service: after an upgrade it is not the one that was started.
func tellReady(log hclog.Logger, runs string) {
	tell(log, daemon.SdNotifyReady, "STATUS="+runs, fmt.Sprintf("MAINPID=%d", os.Getpid()))
}

// tellReloading says that the configuration is read again; tellReloaded that this has ended, one way or the other.
func tellReloading(log hclog.Logger) {
	tell(log, daemon.SdNotifyReloading, fmt.Sprintf("MONOTONIC_USEC=%d", monotonic().Microseconds()))
}

func tellReloaded(log hclog.Logger) { tell(log, daemon.SdNotifyReady) }

// tellStopping says that this process is about to end, and asks for the time that its sessions may take: TimeoutStopSec may be less.
func tellStopping(log hclog.Logger, grace time.Duration) {
	tell(log, daemon.SdNotifyStopping, fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d", (grace+stopMargin).Microseconds()))
}

// takeSockets takes over the sockets that the service manager has opened for us, before anything listens.
func takeSockets() error {
	var errs []error
	for _, f := range activation.Files(true) {
		errs = append(errs, sockets.Given.Add(f))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("what a socket unit has opened for poolproxy cannot be used: %w; it can have ListenStream and ListenDatagram with "+
			"IP addresses, and Accept=no", err)
	}
	return nil
}

// allTaken complains of sockets on which nobody listens: clients would wait there for ever.
func allTaken() error {
	if left := sockets.Given.Left(); len(left) > 0 {
		return fmt.Errorf("a socket unit listens at %s, but nothing in the configuration does: change its ListenStream, or a listen in the "+
			"configuration; both must be the same address", strings.Join(left, ", "))
	}
	return nil
}
