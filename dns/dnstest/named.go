//go:build unix

package dnstest

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	wire "github.com/miekg/dns"

	"github.com/poolproxy/poolproxy/internal/porttest"
	"github.com/poolproxy/poolproxy/internal/threads"
)

// Named is a real authoritative server: BIND's, with the zone test. that can be updated, and the zone broken. whose file is no zone file.
type Named struct {
	t    testing.TB
	dir  string
	At   netip.AddrPort // where it answers
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

// Start starts one at a free port.
func Start(t testing.TB) *Named {
	t.Helper()
	if _, err := exec.LookPath(namedPath()); err != nil {
		if os.Getenv("POOLPROXY_CHECK") != "" {
			t.Fatal("named is not installed")
		}
		t.Skipf("%s SKIPPED: named is not installed (apt-get install bind9): no real name server was asked", t.Name())
	}
	n := &Named{t: t, dir: t.TempDir(), At: porttest.Free(t)}
	n.write("named.conf", fmt.Sprintf(namedConf, n.dir, n.At.Port()))
	n.write("test.zone", testZone)
	n.write("broken.zone", "this is no zone\n")
	n.Start()
	t.Cleanup(n.Kill)
	return n
}

func namedPath() string {
	if path, err := exec.LookPath("named"); err == nil {
		return path
	}
	return "/usr/sbin/named" // not everybody's PATH has that
}

func (n *Named) write(name, text string) {
	if err := os.WriteFile(filepath.Join(n.dir, name), []byte(text), 0o644); err != nil {
		n.t.Fatal(err)
	}
}

// Start starts the process, and waits until it answers.
func (n *Named) Start() {
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
	WaitFor(n.t, "named answers", func() bool {
		m := new(wire.Msg)
		m.SetQuestion("test.", wire.TypeSOA)
		r, err := wire.Exchange(m, n.At.String())
		if text, _ := os.ReadFile(log.Name()); err != nil && n.cmd.ProcessState != nil {
			n.t.Fatalf("named has ended:\n%s", text)
		}
		return err == nil && len(r.Answer) == 1
	})
}

// reap ends with the process; who kills it waits for gone.
func (n *Named) reap(cmd *exec.Cmd, gone chan struct{}) {
	_ = cmd.Wait()
	close(gone)
}

// Kill kills the process as kill -9 does, and waits until it is gone.
func (n *Named) Kill() {
	_ = n.cmd.Process.Kill()
	<-n.gone
}

// Freeze stops the process, and waits until each of its threads has stopped: until then it may answer. Thaw has it go on.
func (n *Named) Freeze() {
	n.t.Helper()
	n.signal(syscall.SIGSTOP)
	WaitFor(n.t, "named has stopped", func() bool { return threads.Stopped(n.cmd.Process.Pid) })
}

// Thaw has a frozen process go on.
func (n *Named) Thaw() { n.signal(syscall.SIGCONT) }

func (n *Named) signal(s syscall.Signal) {
	n.t.Helper()
	if err := n.cmd.Process.Signal(s); err != nil {
		n.t.Fatal(err)
	}
}

// Set makes these the only records of the name and type of the first, which are as in a zone file.
func (n *Named) Set(records ...string) {
	n.t.Helper()
	m := new(wire.Msg)
	m.SetUpdate("test.")
	rrs := n.parse(records)
	m.RemoveRRset(rrs[:1])
	m.Insert(rrs)
	n.update(m)
}

// Remove removes all records of a name.
func (n *Named) Remove(name string) {
	n.t.Helper()
	m := new(wire.Msg)
	m.SetUpdate("test.")
	m.RemoveName([]wire.RR{&wire.ANY{Hdr: wire.RR_Header{Name: name}}})
	n.update(m)
}

func (n *Named) parse(records []string) (rrs []wire.RR) {
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

func (n *Named) update(m *wire.Msg) {
	n.t.Helper()
	r, _, err := (&wire.Client{Net: "tcp"}).Exchange(m, n.At.String())
	if err != nil || r.Rcode != wire.RcodeSuccess {
		n.t.Fatalf("the zone was not updated: %v %v", err, r)
	}
}
