package secure

import (
	"runtime"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/loop"
	"github.com/poolproxy/poolproxy/loop/looptest"
	"github.com/poolproxy/poolproxy/mapping"
)

// BenchmarkAssociation is what it costs both sides to begin and end an association over an in-memory network, and what each of those that are up keeps in
// memory, both ends: docs/security.md has the figures.
func BenchmarkAssociation(b *testing.B) {
	user, element := pair(b)
	for name, m := range map[string]struct {
		mapping.Dialer
		mapping.Acceptor
	}{"TLS": {user, element}, "bare": {mapping.TCPMapping{}, mapping.TCPMapping{}}} {
		b.Run(name, func(b *testing.B) {
			w := looptest.NewWorld(1)
			here, there := w.Host("here"), w.Host("there")
			if _, err := m.Listen(there, there.Addr(1), limits, func(a mapping.Association) mapping.Handler { h := newMute(); h.a = a; return h }); err != nil {
				b.Fatal(err)
			}
			begin := func() *muteHearer {
				h := newMute()
				h.a = m.Dial(here, there.Addr(1), limits, h)
				if !w.RunUntil(func() bool { return h.ups > 0 }, time.Minute) {
					b.Fatal("not up")
				}
				return h
			}
			begin().a.Close()
			w.RunFor(time.Second)
			b.ReportAllocs()
			for b.Loop() {
				begin().a.Close()
			}
			w.RunFor(time.Minute)
			const many = 200
			before := live()
			var all []*muteHearer
			for range many {
				all = append(all, begin())
			}
			w.RunFor(time.Second)
			b.ReportMetric(float64(live()-before)/many, "B/association")
			runtime.KeepAlive(all)
		})
	}
}

// live is how much memory lives.
func live() int64 {
	runtime.GC()
	runtime.GC() // what is in a sync.Pool lives one longer
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return int64(s.HeapAlloc)
}

// muteHearer is a mapping.Handler that counts Up.
type muteHearer struct {
	a   mapping.Association
	ups int
}

func newMute() *muteHearer { return &muteHearer{} }

func (h *muteHearer) Up()                     { h.ups++ }
func (h *muteHearer) Down(error)              {}
func (h *muteHearer) Receive(mapping.Message) {}
func (h *muteHearer) Drained()                {}

var _ loop.Loop = (*looptest.Host)(nil)
