package proxy

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/poolproxy/poolproxy/pool"
)

const (
	// loadTimeout is how long the program that tells the load may take.
	loadTimeout = 5 * time.Second

	// shownLoad is how much of what such a program writes is quoted, in bytes.
	shownLoad = 40
)

// loadMeter finds out the load of a registered element. It belongs to its registration.
type loadMeter struct {
	r       *registration
	runner  *runner // LoadExec; else nil
	running bool    // a program
	last    uint32  // LoadExec: what the program said last
	asked   bool    // LoadExec: it has ended once, so last is to be used
	err     error   // LoadExec: why it says nothing now
	begun   uint64  // sessions when the load was told last
}

func (m *loadMeter) begin(r *registration) {
	m.r, m.last = r, r.config.Load
	if r.config.LoadFrom != LoadExec {
		return
	}
	m.last = math.MaxUint32 // until it is known: nobody should be sent here because of a load that nobody knows
	m.runner = newRunner(r.shard.loop, r.log, make(chan struct{}, 1))
}

// known reports whether the load can be told. If that takes a program, it is run, and the registration goes on when it has ended.
func (m *loadMeter) known() bool {
	if m.runner == nil || m.asked {
		return true
	}
	m.run()
	return false
}

// now is the load.
func (m *loadMeter) now() uint32 {
	switch m.r.config.LoadFrom {
	case LoadSessions:
		return m.sessions()
	case LoadExec:
		return m.last
	}
	return m.r.config.Load
}

// sessions is the load by those that have a connection to the server, in all shards.
func (m *loadMeter) sessions() uint32 {
	most := uint64(max(m.r.config.MaxSessions, 1))
	legs := uint64(max(m.r.side.counts.legs.Load(), 0))
	return uint32(min(legs, most) * math.MaxUint32 / most)
}

// look has the load told if it has changed. A program is asked first.
func (m *loadMeter) look() {
	if m.runner != nil {
		m.run()
		return
	}
	m.tell()
}

func (m *loadMeter) run() {
	if m.running {
		return
	}
	m.running = true
	m.runner.run(job{args: m.r.config.LoadExec, timeout: loadTimeout}, m.ran)
}

// ran takes what the program has said. If it has failed, the load known last stays.
func (m *loadMeter) ran(output []byte, err error) {
	load := m.last
	if err == nil {
		var said uint32
		if said, err = parseLoad(output); err == nil {
			load = said
		}
	}
	if err != nil && m.err == nil {
		m.r.log.Warn("the load is not known: the last one stays", "load", percentOf(m.last), "error", err)
	} else if err == nil && m.err != nil {
		m.r.log.Info("the load is known again", "load", percentOf(load))
	}
	m.running, m.asked, m.last, m.err = false, true, load, err
	if m.r.held == nil {
		m.r.step()
		return
	}
	m.tell()
}

// tell tells the registry the load if it has changed by enough. With policy least_used_degradation sessions that were begun are a change,
// too: those who sent them here have counted them on top of the load that they know (RFC 5356 §5.2.2), and begin anew.
func (m *loadMeter) tell() {
	r := m.r
	if r.calling || r.held == nil || r.leaving {
		return
	}
	load := m.now()
	if far(load, r.element.Load) || m.counted() && r.side.counts.begun.Load() != m.begun {
		r.element.Load = load
		r.held.Revalue(r.element)
		m.told()
		r.shard.count(regRevalued, r.side.name)
	}
}

// told notes that the load is being told now.
func (m *loadMeter) told() { m.begun = m.r.side.counts.begun.Load() }

// counted reports whether pool users count what they send here on top of the load.
func (m *loadMeter) counted() bool { return m.r.config.Policy == pool.LeastUsedDegradation }

// changes reports whether the load is to be looked at again and again.
func (m *loadMeter) changes() bool {
	return m.r.config.Every > 0 && (m.r.config.LoadFrom != LoadFixed || m.counted())
}

// status is the load as it was told, and why it is not known; nil: the policy does not read it.
func (m *loadMeter) status() (load *float64, why string) {
	if m.err != nil {
		why = m.err.Error()
	}
	if !slices.Contains(m.r.config.Policy.Needs(), "load") {
		return nil, why
	}
	share := float64(m.r.element.Load) / math.MaxUint32
	return &share, why
}

// far reports whether two loads are so different that others should know.
func far(a, b uint32) bool { return max(a, b)-min(a, b) >= enoughLoad }

// close ends a program that runs.
func (m *loadMeter) close() { m.runner.close() }

// parseLoad reads a percentage from 0 to 100, with or without its sign.
func parseLoad(output []byte) (uint32, error) {
	text := strings.TrimSpace(string(output[:min(len(output), shownLoad+1)]))
	number := strings.TrimSpace(strings.TrimSuffix(text, "%"))
	f, err := strconv.ParseFloat(number, 64)
	switch {
	case len(strings.TrimSpace(string(output))) > shownLoad || err != nil:
		return 0, fmt.Errorf("it wrote %q, which is no percentage", text[:min(len(text), shownLoad)])
	case !(f >= 0 && f <= 100): // NaN neither
		return 0, fmt.Errorf("it wrote %q, which is not from 0 to 100", text)
	}
	return uint32(math.Round(f / 100 * math.MaxUint32)), nil
}

// errNoLoad is shown while the program has not ended for the first time.
var errNoLoad = errors.New("the program that tells the load has not ended yet")

// percentOf writes a load for people.
func percentOf(load uint32) string {
	return strconv.FormatFloat(math.Round(float64(load)/math.MaxUint32*1000)/10, 'f', -1, 64) + "%"
}
