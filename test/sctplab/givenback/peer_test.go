//go:build linux

package givenback

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/loop"
	"github.com/poolproxy/poolproxy/mapping"
)

// peerEnv has the test binary be a peer, with this seed.
const peerEnv = "GIVENBACK_PEER"

// servePeer listens, prints where, and reads until it is killed, now quickly, now hardly. It acknowledges by the number of the message.
func servePeer() {
	seed, _ := strconv.ParseUint(os.Getenv(peerEnv), 10, 64)
	l, err := loop.New()
	if err != nil {
		panic(err)
	}
	p := &peer{random: rand.New(rand.NewPCG(seed, 1))}
	li, err := mapping.SCTPMapping{}.Listen(l, netip.MustParseAddrPort("127.0.0.1:0"), config, func(a mapping.Association) mapping.Handler {
		p.a = a
		return p
	})
	if err != nil {
		panic(err)
	}
	fmt.Println(li.Addr())
	l.Run()
}

type peer struct {
	a      mapping.Association
	random *rand.Rand
}

func (p *peer) Up() {}

// Receive acknowledges most messages and is slow with some, so that the kernel's buffer fills.
func (p *peer) Receive(m mapping.Message) {
	if p.random.IntN(3) > 0 {
		_ = p.a.Send(mapping.Message{PPID: mapping.PPIDEnd, Data: m.Data[:8]}, nil) // an association that has ended says so itself
	}
	if p.random.IntN(200) == 0 {
		time.Sleep(time.Duration(p.random.IntN(40)) * time.Millisecond)
	}
}

func (p *peer) Drained()   {}
func (p *peer) Down(error) { os.Exit(0) }

// startPeer starts one as a process of its own, which ends with the test at the latest.
func startPeer(t *testing.T, seed uint64) (*exec.Cmd, netip.AddrPort) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d", peerEnv, seed))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it has been, as a rule
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil && err != io.EOF {
		t.Fatal(err)
	}
	at, err := netip.ParseAddrPort(strings.TrimSpace(line))
	if err != nil {
		t.Fatalf("the peer said %q: %v", line, err)
	}
	return cmd, at
}

// messageOf is the i-th message of a seed: its number, then noise; most are short.
func messageOf(seed uint64, i int64, p []byte) []byte {
	r := rand.New(rand.NewPCG(seed, uint64(i)))
	n := 8 + r.IntN(1<<r.IntN(17))
	p = binary.BigEndian.AppendUint64(p[:0], uint64(i))
	for len(p) < n {
		p = append(p, byte(r.Uint32()))
	}
	return p
}
