package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// runInNamespace starts this program again, with the same arguments, in a network namespace of its own, and waits for it. There it is
// alone: no other traffic on its loopback, no other ports taken, and the congestion control is its own to choose.
// started is false when the namespace could not be made (no privileges); then nothing has run.
func runInNamespace() (started bool, status int) {
	cmd := exec.Command(ownBinary(), append([]string{childFlag, roleInside}, os.Args[1:]...)...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Unshareflags: syscall.CLONE_NEWNET,
		Pdeathsig:    syscall.SIGKILL,
		Setpgid:      true,
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)
	if err := cmd.Start(); err != nil {
		fmt.Fprintln(os.Stderr, "bench: no network namespace of its own:", err)
		return false, 0
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		select {
		case s := <-signals:
			_ = cmd.Process.Signal(s) // it ends everything that it has started, then itself
		case err := <-ended:
			var exit *exec.ExitError
			if err != nil && !errors.As(err, &exit) {
				fmt.Fprintln(os.Stderr, "bench:", err)
			}
			return true, cmd.ProcessState.ExitCode()
		}
	}
}

// prepareNamespace makes a new namespace fit for measuring: loopback up, ports enough for short connections.
func prepareNamespace() error {
	if err := loopbackUp(); err != nil {
		return fmt.Errorf("bringing the loopback up: %w", err)
	}
	return setSysctl("ip_local_port_range", "16384 65535")
}

// loadModules asks for the kernel's modules of congestion controls that it does not have yet. What is then still missing is said
// where it is set.
func loadModules(controls []string) {
	available, _ := os.ReadFile(sysctlFolder + "tcp_available_congestion_control")
	for _, c := range controls {
		if !slices.Contains(strings.Fields(string(available)), c) {
			_ = exec.Command("modprobe", "tcp_"+c).Run()
		}
	}
}

func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	request, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	request.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, request)
}

const sysctlFolder = "/proc/sys/net/ipv4/"

// setSysctl sets what belongs to this network namespace only.
func setSysctl(name, value string) error {
	if err := os.WriteFile(sysctlFolder+name, []byte(value), 0o644); err != nil {
		available, _ := os.ReadFile(sysctlFolder + "tcp_available_congestion_control")
		return fmt.Errorf("setting net.ipv4.%s to %q: %w (congestion controls here: %s)", name, value, err, strings.TrimSpace(string(available)))
	}
	return nil
}

// congestionControl is the one in force.
func congestionControl() string {
	text, err := os.ReadFile(sysctlFolder + "tcp_congestion_control")
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(text))
}

// filesAllowed is the limit of open files.
func filesAllowed() uint64 {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 1024 // what it is at least, everywhere
	}
	return limit.Cur
}

// allowFiles raises the limit of open files for this process and those it starts. It goes through package syscall, or Go would give
// children the old limit back.
func allowFiles(n uint64) error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	more := syscall.Rlimit{Cur: max(n, limit.Cur), Max: max(n, limit.Max)}
	if syscall.Setrlimit(syscall.RLIMIT_NOFILE, &more) == nil {
		return nil
	}
	fmt.Fprintf(os.Stderr, "bench: only %d open files are allowed; %d would be better\n", limit.Max, n)
	limit.Cur = limit.Max
	return syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)
}
