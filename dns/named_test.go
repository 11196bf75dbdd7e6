package dns

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	wire "github.com/miekg/dns"
)

// named is a real authoritative server: BIND's, with the zone test. that can be updated, and the zone broken. whose file is no zone file.
type named struct {
	t    *testing.T
	dir  string
	at   netip.AddrPort
	cmd  *exec.Cmd
	gone chan struct{} // closed when the process is reaped
}

const namedConf = `
options {
	directory "%s"; pid-file none; session-keyfile none; recursion no; dnssec-validation no; minimal-responses no;
	listen-on port %d { 127.0.0.1; }; listen-on-v6 { none; }; notify no; querylog no; max-udp-size 1232; max-records-per-type 0;
};
controls { };
zone "test" { type primary; file "test.zone"; allow-update { 127.0.0.1; }; };
zone "broken" { type primary; file "broken.zone"; };
`

const testZone = `$TTL 7
@ IN SOA ns hostmaster 1 60 60 60 2
@ IN NS ns
ns IN A 127.0.0.1
`

// startNamed starts one at a free port.
func startNamed(t *testing.T) *named {
	t.Helper()
	if _, err := exec.LookPath(namedPath()); err != nil {
		if os.Getenv("POOLPROXY_CHECK") != "" {
			t.Fatal("named is not installed")
		}
		t.Skipf("%s SKIPPED: named is not installed (apt-get install bind9): no real name server was asked", t.Name())
	}
	n := &named{t: t, dir: t.TempDir(), at: freePort(t)}
	n.write("named.conf", fmt.Sprintf(namedConf, n.dir, n.at.Port()))
	n.write("test.zone", testZone)
	n.write("broken.zone", "this is no zone\n")
	n.start()
	t.Cleanup(n.kill)
	return n
}

func namedPath() string {
	if path, err := exec.LookPath("named"); err == nil {
		return path
	}
	return "/usr/sbin/named" // not everybody's PATH has that
}

// freePort is a port at which nobody listens, neither over UDP nor over TCP.
func freePort(t *testing.T) netip.AddrPort {
	t.Helper()
	for range 20 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		at := l.Addr().(*net.TCPAddr).AddrPort()
		u, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
		l.Close()
		if err == nil {
			u.Close()
			return at
		}
	}
	t.Fatal("no port is free")
	return netip.AddrPort{}
}

func (n *named) write(name, text string) {
	if err := os.WriteFile(filepath.Join(n.dir, name), []byte(text), 0o644); err != nil {
		n.t.Fatal(err)
	}
}

// start starts the process, and waits until it answers.
func (n *named) start() {
	n.t.Helper()
	log, err := os.Create(filepath.Join(n.dir, "log"))
	if err != nil {
		n.t.Fatal(err)
	}
	defer log.Close()
	n.cmd = exec.Command(namedPath(), "-g", "-n", "1", "-c", filepath.Join(n.dir, "named.conf"))
	n.cmd.Stdout, n.cmd.Stderr = log, log
	if err := n.cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	n.gone = make(chan struct{})
	go n.reap(n.cmd, n.gone)
	waitFor(n.t, "named answers", func() bool {
		m := new(wire.Msg)
		m.SetQuestion("test.", wire.TypeSOA)
		r, err := wire.Exchange(m, n.at.String())
		if text, _ := os.ReadFile(log.Name()); err != nil && n.cmd.ProcessState != nil {
			n.t.Fatalf("named has ended:\n%s", text)
		}
		return err == nil && len(r.Answer) == 1
	})
}

// reap ends with the process; who kills it waits for gone.
func (n *named) reap(cmd *exec.Cmd, gone chan struct{}) {
	_ = cmd.Wait()
	close(gone)
}

// kill kills the process as kill -9 does, and waits until it is gone.
func (n *named) kill() {
	_ = n.cmd.Process.Kill()
	<-n.gone
}

// freeze stops the process, and waits until each of its threads has stopped: until then it may answer. thaw has it go on.
func (n *named) freeze() {
	n.t.Helper()
	n.signal(syscall.SIGSTOP)
	waitFor(n.t, "named has stopped", func() bool {
		threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", n.cmd.Process.Pid))
		for _, thread := range threads {
			if stat, err := os.ReadFile(thread); err == nil && !bytes.Contains(stat, []byte(") T ")) {
				return false
			}
		}
		return len(threads) > 0
	})
}

func (n *named) thaw() { n.signal(syscall.SIGCONT) }

func (n *named) signal(s syscall.Signal) {
	n.t.Helper()
	if err := n.cmd.Process.Signal(s); err != nil {
		n.t.Fatal(err)
	}
}

// set makes these the only records of the name and type of the first, which are as in a zone file.
func (n *named) set(records ...string) {
	n.t.Helper()
	m := new(wire.Msg)
	m.SetUpdate("test.")
	rrs := n.parse(records)
	m.RemoveRRset(rrs[:1])
	m.Insert(rrs)
	n.update(m)
}

// remove removes all records of a name.
func (n *named) remove(name string) {
	n.t.Helper()
	m := new(wire.Msg)
	m.SetUpdate("test.")
	m.RemoveName([]wire.RR{&wire.ANY{Hdr: wire.RR_Header{Name: name}}})
	n.update(m)
}

func (n *named) parse(records []string) (rrs []wire.RR) {
	n.t.Helper()
	for _, text := range records {
		rr, err := wire.NewRR(text)
		if err != nil {
			n.t.Fatal(err)
		}
		rrs = append(rrs, rr)
	}
	return rrs
}

func (n *named) update(m *wire.Msg) {
	n.t.Helper()
	r, _, err := (&wire.Client{Net: "tcp"}).Exchange(m, n.at.String())
	if err != nil || r.Rcode != wire.RcodeSuccess {
		n.t.Fatalf("the zone was not updated: %v %v", err, r)
	}
}

// waitFor polls until it is so, with a deadline.
func waitFor(t *testing.T, what string, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !so(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("in 20 s not seen: %s", what)
		}
	}
}
