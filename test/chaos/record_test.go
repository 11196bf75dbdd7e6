//go:build linux

package chaos

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/poolproxy/poolproxy/internal/workload"
)

// record is what a run has seen, as results.json has it.
type record struct {
	Began    time.Time     `json:"began"`
	Took     time.Duration `json:"took"`
	Seed     uint64        `json:"seed"`
	Machine  string        `json:"machine"`
	Strikes  int64         `json:"strikes"`                   // at one process, link, association or host each
	Missed   int64         `json:"missed"`                    // strikes that met no session in the state that was meant: not counted
	Upgrades int64         `json:"upgrades,omitempty"`        // of a sidecar each, while a failure strikes
	Failed   int64         `json:"upgrades_failed,omitempty"` // those that came to nothing, the failure being no reason for it
	Sessions int64         `json:"sessions"`
	Requests int64         `json:"requests"`
	Answered int64         `json:"answered"`
	Refused  int64         `json:"refused"`
	Unsafe   int64         `json:"unsafe_carried_out"`
	Bytes    int64         `json:"bytes"`

	Protected   int64 `json:"protected_sessions"`
	Unprotected int64 `json:"unprotected_sessions"`

	Cells    map[string]*cellRecord    `json:"cells"`    // by failure/state/protocol/mapping
	Failures map[string]*failureRecord `json:"failures"` // by failure
	Findings []string                  `json:"findings"`
}

// cellRecord is one cell: the strikes that met sessions of it.
type cellRecord struct {
	Strikes  int64         `json:"strikes"`
	Sessions int64         `json:"sessions"` // that were met
	Findings int64         `json:"findings"`
	P50      time.Duration `json:"p50"` // of the gaps, in nanoseconds
	P99      time.Duration `json:"p99"`
	Max      time.Duration `json:"max"`

	gaps workload.Histogram
}

// failureRecord is one kind of failure.
type failureRecord struct {
	Strikes int64                          `json:"strikes"`
	How     string                         `json:"how,omitempty"` // it was made here, where there is more than one way
	Gaps    map[string]*workload.Histogram `json:"gaps"`          // by mapping
	States  map[string]*workload.Histogram `json:"states"`        // the same, by state
}

// gap notes one of a kind.
func gap(of map[string]*workload.Histogram, kind string, d time.Duration) {
	if of[kind] == nil {
		of[kind] = &workload.Histogram{}
	}
	of[kind].Add(d)
}

// none is the verdict on nothing.
var none = &workload.Verdict{}

// run is a run of the tests: what it has seen so far.
type run struct {
	mu     sync.Mutex
	record record
	errs   []error // what kept the tests from going on
	kept   int     // findings of which the logs were kept
	missed string  // why the last strike that was missed, was
}

func newRun(seed uint64) *run {
	return &run{record: record{Began: time.Now().UTC().Truncate(time.Second), Seed: seed,
		Machine:  fmt.Sprintf("%d processors, Linux %s", runtime.NumCPU(), kernel()),
		Findings: []string{}, Cells: map[string]*cellRecord{}, Failures: map[string]*failureRecord{}}}
}

func kernel() string {
	text, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	return strings.TrimSpace(string(text))
}

// cellName is how a cell is called: what POOLPROXY_CELL has.
func cellName(f failure, s state, c *column) string {
	return f.id + "/" + s.id + "/" + c.dialect.name + "/" + c.mapping
}

// note takes the outcomes of a step in, and returns the columns of which no session was met.
func (r *run) note(s *step, all []outcome) (missed []*column) {
	r.mu.Lock()
	defer r.mu.Unlock()
	hit := int64(0)
	for _, o := range all {
		r.add(&o)
		if o.struck == 0 {
			missed = append(missed, o.column)
			r.missed = cmp.Or(o.missed, "no session was met in that state")
			continue
		}
		hit++
	}
	if hit > 0 && s.failure.shared(s.columns) {
		hit = 1
	}
	for _, u := range s.replaced {
		r.record.Upgrades++
		if u.failed(&s.failure) {
			r.record.Failed++
		}
	}
	f := r.failure(s.failure.id)
	f.Strikes += hit
	if how := s.world.how(s.failure.name); how != "" {
		f.How = how
	}
	r.record.Strikes += hit
	r.record.Missed += int64(len(missed))
	r.record.Took = time.Since(r.record.Began)
	return missed
}

func (r *run) failure(id string) *failureRecord {
	f := r.record.Failures[id]
	if f == nil {
		f = &failureRecord{Gaps: map[string]*workload.Histogram{}, States: map[string]*workload.Histogram{}}
		r.record.Failures[id] = f
	}
	return f
}

// add takes one column's outcome in. Whoever calls has the lock.
func (r *run) add(o *outcome) {
	v := o.verdict
	r.record.Sessions += v.Sessions
	r.record.Requests += v.Sent
	r.record.Answered += v.Answered
	r.record.Refused += v.Refused
	r.record.Unsafe += v.CarriedOut
	r.record.Bytes += v.Bytes
	r.record.Protected += int64(o.protected)
	r.record.Unprotected += int64(o.unprotected)
	name := cellName(o.failure, o.state, o.column)
	for _, f := range v.Findings {
		r.record.Findings = append(r.record.Findings, name+": "+f.String())
	}
	cell := r.record.Cells[name]
	if cell == nil {
		cell = &cellRecord{}
		r.record.Cells[name] = cell
	}
	cell.Findings += int64(len(v.Findings))
	if o.struck == 0 {
		return
	}
	cell.Strikes++
	cell.Sessions += int64(o.struck)
	f := r.failure(o.failure.id)
	for _, g := range o.gaps {
		cell.gaps.Add(g)
		gap(f.Gaps, o.column.mapping, g)
		gap(f.States, o.state.id, g)
	}
}

// mostKept is how many findings have their logs kept.
const mostKept = 20

// keepLogs copies the ends of the world's logs, and what was found, to where they can be looked at; those of a few findings.
func (r *run) keepLogs(w *world, o *outcome) string {
	r.mu.Lock()
	r.kept++
	n := r.kept
	r.mu.Unlock()
	if n > mostKept {
		return "(no more logs are kept)"
	}
	dir := filepath.Join(workdir, fmt.Sprintf("finding-%d", n))
	_ = os.MkdirAll(dir, 0o755)
	logs, _ := filepath.Glob(filepath.Join(w.dir, "*.log"))
	for _, path := range logs {
		if text, err := tail(path, 1<<20); err == nil && len(text) > 0 {
			_ = os.WriteFile(filepath.Join(dir, filepath.Base(path)), text, 0o644)
		}
	}
	text := ""
	for _, f := range o.verdict.Findings {
		text += f.String() + "\n"
	}
	_ = os.WriteFile(filepath.Join(dir, "findings.txt"), []byte(cellName(o.failure, o.state, o.column)+"\n"+text), 0o644)
	return dir
}

// tail is the end of a file.
func tail(path string, size int64) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	text := make([]byte, min(size, info.Size()))
	n, err := file.ReadAt(text, max(0, info.Size()-size))
	if n > 0 {
		err = nil
	}
	return text[:n], err
}

// write writes the record.
func (r *run) write(path string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.record.Cells {
		c.P50, c.P99, c.Max = c.gaps.Quantile(0.5), c.gaps.Quantile(0.99), c.gaps.Max()
	}
	text, err := json.MarshalIndent(&r.record, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}
