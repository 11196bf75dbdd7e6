//go:build linux

package givenback

import (
	"encoding/binary"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/poolproxy/poolproxy/loop"
	"github.com/poolproxy/poolproxy/mapping"
	"github.com/poolproxy/poolproxy/retrieval"
)

var config = mapping.Config{Heartbeat: mapping.Heartbeat{Interval: time.Second, Misses: 3}, DialTimeout: 10 * time.Second}

const kills = 200

// TestKilledPeerSCTP kills the peer of an association 200 times at a random moment. What the kernel gives back is what retrieval names once
// it was told what the packets have acknowledged: no message more, none less, unsent and unacknowledged told apart. And whatever the
// peer's process has acknowledged itself, which is what sessions go by, is never among it.
func TestKilledPeerSCTP(t *testing.T) {
	if err := (mapping.SCTPMapping{}).Supported(); err != nil {
		t.Skipf("%v; test/sctplab runs this on a kernel that has it", err)
	}
	l, err := loop.New()
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { // ends with Stop; the test waits for it
		defer close(ended)
		l.Run()
	}()
	defer func() { l.Stop(); <-ended }()
	w := newWire(t)
	var total sums
	for seed := range uint64(kills) {
		kill(t, l, w, seed, &total)
		if t.Failed() {
			t.Fatalf("with seed %d", seed)
		}
	}
	t.Logf("%d kills: of %d messages sent, the kernel gave back %d unacknowledged and %d unsent; retrieval named the same. %d times there were some; "+
		"%d messages were acknowledged by the peer's kernel, but not by its process", kills, total.sent, total.unacknowledged, total.unsent, total.some, total.unread)
	if total.unacknowledged == 0 || total.unsent == 0 || total.some < kills/2 {
		t.Error("too little was given back: this has compared nothing with nothing")
	}
}

type sums struct{ sent, unacknowledged, unsent, some, unread int }

// kill runs one association to its end.
func kill(t *testing.T, l loop.Loop, w *wire, seed uint64, total *sums) {
	random := rand.New(rand.NewPCG(seed, 3))
	cmd, at := startPeer(t, seed)
	w.follow(at.Port())
	u := &user{seed: seed, random: random, acked: -1}
	do(l, func() { u.a = mapping.SCTPMapping{}.Dial(l, at, config, u) })
	deadline := time.Now().Add(30 * time.Second)
	var when time.Time
	for !u.down.Load() {
		w.wait()
		if err := w.take(); err != nil {
			t.Fatal(err)
		}
		switch now := time.Now(); {
		case now.After(deadline):
			t.Fatal("the association does not end")
		case when.IsZero() && w.seen >= 0:
			when = now.Add(time.Duration(random.IntN(60_000)) * time.Microsecond)
		case !when.IsZero() && now.After(when):
			_ = unix.Kill(cmd.Process.Pid, unix.SIGKILL)
			when = deadline
		}
	}
	if err := w.take(); err != nil {
		t.Fatal(err)
	}
	do(l, func() { u.compare(t, w, total) })
}

// do runs f on the loop's goroutine and waits for it.
func do(l loop.Loop, f func()) {
	done := make(chan struct{})
	l.Post(func() { f(); close(done) })
	<-done
}

// user sends as much as the association takes, and retains it.
type user struct {
	a      mapping.Association
	seed   uint64
	random *rand.Rand
	store  retrieval.Store[int64]
	pool   loop.Pool
	sent   int64
	acked  int64 // by the peer's process; -1: none
	down   atomic.Bool
	err    error
	buf    []byte
}

func (u *user) Up() { u.more() }

func (u *user) more() {
	for u.a.Queued() < 2*mapping.LowWater {
		u.buf = messageOf(u.seed, u.sent, u.buf)
		if err := u.a.Send(mapping.Message{Stream: uint16(u.sent % 7), PPID: mapping.PPIDEnd, Data: u.buf, Context: uint64(u.sent)}, nil); err != nil {
			return // it has ended: Down comes
		}
		u.store.Append(&u.pool, u.buf)
		u.store.Mark(len(u.buf), u.sent, true)
		u.sent++
	}
}

func (u *user) Receive(m mapping.Message) {
	u.acked = max(u.acked, int64(binary.BigEndian.Uint64(m.Data)))
}

func (u *user) Drained()       { u.more() }
func (u *user) Down(err error) { u.err = err; u.down.Store(true) }

// compare lays the three accounts side by side.
func (u *user) compare(t *testing.T, w *wire, total *sums) {
	given := u.a.Retrieve()
	var onWire int64
	for m := range u.store.All() {
		m.Released = m.About <= w.acked
		if m.About == w.seen {
			onWire = m.Start + 1
		}
	}
	unacknowledged, unsent := numbers(u.store.Unacknowledged(onWire)), numbers(u.store.Unsent(onWire))
	if !slices.Equal(given.Unacknowledged, unacknowledged) {
		t.Errorf("unacknowledged: the kernel gave back %s, retrieval names %s", short(given.Unacknowledged), short(unacknowledged))
	}
	if !slices.Equal(given.Unsent, unsent) {
		t.Errorf("unsent: the kernel gave back %s, retrieval names %s", short(given.Unsent), short(unsent))
	}
	if u.acked > w.acked {
		t.Errorf("the peer's process has acknowledged message %d, its kernel only %d", u.acked, w.acked)
	}
	if t.Failed() {
		t.Logf("of %d messages %d were on the wire, %d acknowledged by the peer's kernel, %d by its process; then: %v", u.sent, w.seen+1, w.acked+1, u.acked+1, u.err)
	}
	total.sent += int(u.sent)
	total.unacknowledged += len(given.Unacknowledged)
	total.unsent += len(given.Unsent)
	total.unread += int(w.acked - u.acked)
	if len(given.Unacknowledged)+len(given.Unsent) > 0 {
		total.some++
	}
	u.store.Clear()
}

func numbers(all iter.Seq[*retrieval.Message[int64]]) []uint64 {
	var n []uint64
	for m := range all {
		n = append(n, uint64(m.About))
	}
	return n
}

// short is the ends of a list.
func short(n []uint64) string {
	if len(n) == 0 {
		return "none"
	}
	return fmt.Sprintf("%d: %d to %d", len(n), n[0], n[len(n)-1])
}
