package chaos

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/poolproxy/poolproxy/proxy"
	"github.com/poolproxy/poolproxy/session"
)

// attributed is how long after its end a disturbance may be what a failover of its element is due to: what it broke has been noticed by then.
const attributed = 5 * time.Second

// keptRecords is how many records of failovers a process keeps.
const keptRecords = 100

// recordKey tells a record of a failover from others.
type recordKey struct {
	peer    *Peer
	user    string
	session uint64
	time    time.Time
	kind    string
}

// tally counts what was done, and what became of sessions.
type tally struct {
	seen    map[recordKey]bool // records of the last look, not more: older ones do not come again
	kinds   map[string]*kindTally
	other   kindTally // of failovers that were nobody's here
	lost    []Lost
	ended   ended
	endings int  // records of ended sessions that were seen
	missed  bool // there may have been more records than a process keeps

	began     map[*Peer]time.Time // when each process that has pool_users has, by the first look at it
	restarted []*Peer             // that had begun anew when they were looked at later
	blind     bool                // the last look failed
}

// kindTally is what became of one kind of disturbance.
type kindTally struct {
	done, failed, hits             int
	moved, resumed, answered, lost int
	unprotected                    int // sessions that ended, as they were promised
	replies                        int // answered by an error
	gaps                           []time.Duration
}

// ended is how many sessions had ended in a failover, as the metrics of the processes say, at the beginning and at the end.
type ended struct{ begin, finish map[*Peer]float64 }

func newTally(f *field) *tally {
	t := &tally{seen: make(map[recordKey]bool), kinds: make(map[string]*kindTally), began: make(map[*Peer]time.Time)}
	for _, p := range f.processes {
		if len(p.status.Users) > 0 {
			t.began[p.peer] = p.status.Started
		}
	}
	t.unseen(f)
	return t
}

func (t *tally) kind(kind string) *kindTally {
	if t.kinds[kind] == nil {
		t.kinds[kind] = &kindTally{}
	}
	return t.kinds[kind]
}

func (t *tally) done(s *strike, hits int) {
	t.kind(s.kind).done++
	t.kind(s.kind).hits += hits
}

func (t *tally) failed(s *strike) { t.kind(s.kind).failed++ }

// record is a record with the process that has it.
type record struct {
	proxy.Record
	peer *Peer
}

// unseen are the records that were not there at the last look.
func (t *tally) unseen(f *field) (fresh []record) {
	now := make(map[recordKey]bool)
	for _, p := range f.processes {
		before := len(fresh)
		for _, r := range p.status.Failovers {
			key := recordKey{p.peer, r.User, r.Session, r.Time, r.Kind}
			now[key] = true
			if !t.seen[key] {
				fresh = append(fresh, record{r, p.peer})
			}
		}
		t.missed = t.missed || len(fresh)-before >= keptRecords
	}
	t.seen = now
	return fresh
}

// follow takes what is new in a field into the tally, and says what each disturbance led to.
func (t *tally) follow(a *Attack, f *field) {
	for _, p := range f.processes {
		if began, has := t.began[p.peer]; has && !p.status.Started.Equal(began) && !slices.Contains(t.restarted, p.peer) {
			t.restarted = append(t.restarted, p.peer)
		}
	}
	pools := make(map[string]string) // of pool_users
	for _, x := range f.targets {
		if x.block.Side == sideUser {
			pools[x.peer.Address+" "+x.block.Name] = x.block.Pool
		}
	}
	var all []outcome
	for _, r := range t.unseen(f) {
		k, number := &t.other, 0
		if s := a.causeOf(pools[r.peer.Address+" "+r.User], r.From); s != nil {
			k, number = t.kind(s.kind), s.number
		}
		k.add(&r.Record)
		if r.Kind == session.KindEnded {
			t.endings++
		}
		if r.Kind == session.KindEnded && !r.Unprotected {
			lost := Lost{Strike: number, Admin: r.peer.Address, Record: r.Record}
			t.lost = append(t.lost, lost)
			a.say(Event{Event: "lost", Number: number, Text: "LOST: " + lost.String()})
			continue
		}
		all = merge(all, number, &r.Record)
	}
	for _, o := range all {
		a.say(Event{Event: "failover", Number: o.number, Text: o.String()})
	}
}

// outcome is what became of some sessions, for people: of one kind, at one element.
type outcome struct {
	number int // of the disturbance; 0: nobody's here
	first  *proxy.Record
	count  int
	to     []string
	gap    time.Duration // the longest
}

// merge adds a record to those that are told in one line.
func merge(all []outcome, number int, r *proxy.Record) []outcome {
	at := slices.IndexFunc(all, func(o outcome) bool { return o.number == number && o.first.Kind == r.Kind && o.first.From == r.From })
	if at < 0 {
		at, all = len(all), append(all, outcome{number: number, first: r})
	}
	o := &all[at]
	o.count++
	o.gap = max(o.gap, gap(r))
	if r.To != "" && !slices.Contains(o.to, r.To) {
		o.to = append(o.to, r.To)
	}
	return all
}

// String tells of it in a line.
func (o outcome) String() string {
	r, text := o.first, plural(o.count, "session")
	switch r.Kind {
	case session.KindEnded:
		text = fmt.Sprintf("%s ended at %s that had no protection: %s", text, r.From, r.Verdict)
	case session.KindResumed:
		text = fmt.Sprintf("%s resumed at %s, after %v at most", text, r.From, rough(o.gap))
	case session.KindAnswered:
		text = fmt.Sprintf("%s waited in vain for an element, and had requests answered by an error: %s", text, r.Verdict)
	default:
		text = fmt.Sprintf("%s moved from %s to %s, after %v at most", text, r.From, list(o.to), rough(o.gap))
	}
	if o.number > 0 {
		text = fmt.Sprintf("#%d %s", o.number, text)
	}
	return printable(text)
}

// causeOf finds the strike that a failover of an element is due to: the last one there that goes on, or has ended a moment ago. nil: none.
func (a *Attack) causeOf(pool, element string) *struck {
	now := time.Now()
	for _, s := range slices.Backward(a.strikes) {
		if !s.over.IsZero() && now.Sub(s.over) > attributed {
			continue
		}
		for _, e := range s.target.elements {
			if e.name == element && (e.pool.handle == pool || pool == "" || e.pool.handle == "") {
				return s
			}
		}
	}
	return nil
}

// gap is how long a failover kept a client from going on, with the time until it was noticed.
func gap(r *proxy.Record) time.Duration {
	return r.Detect + max(r.Connect, r.Restored, r.Replayed, r.First)
}

func (k *kindTally) add(r *proxy.Record) {
	k.replies += r.Lost
	switch {
	case r.Kind == session.KindMoved:
		k.moved++
	case r.Kind == session.KindResumed:
		k.resumed++
	case r.Kind == session.KindAnswered:
		k.answered++
		return
	case r.Unprotected:
		k.unprotected++
		return
	default:
		k.lost++
		return
	}
	k.gaps = append(k.gaps, gap(r))
}

// counted reads from the metrics how many sessions have ended in failovers. Records are only kept of the last ones: these numbers say whether there
// were more. A process that does not say is left out.
func counted(ctx context.Context, peers []*Peer) map[*Peer]float64 {
	all := make(map[*Peer]float64)
	for _, p := range peers {
		status, text, err := p.Call(ctx, http.MethodGet, "/metrics", nil)
		if err == nil && status == http.StatusOK {
			all[p] = endings(text)
		}
	}
	return all
}

// endings is the sum of the counters of ended sessions on a page of metrics.
func endings(page []byte) (sum float64) {
	lines := bufio.NewScanner(bytes.NewReader(page))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		if !strings.HasPrefix(line, "poolproxy_failovers_total{") || !strings.Contains(line, `kind="ended"`) {
			continue
		}
		if n, err := strconv.ParseFloat(line[strings.LastIndexByte(line, ' ')+1:], 64); err == nil {
			sum += n
		}
	}
	return sum
}

// unseenEndings is how many sessions have ended of which no record was seen.
func (t *tally) unseenEndings() int {
	sum := -t.endings
	for p, n := range t.ended.finish {
		if before, is := t.ended.begin[p]; is && n >= before {
			sum += int(n - before)
		}
	}
	return max(0, sum)
}

// unknown says why what became of sessions is not known: only the processes of pool users know it, and only as long as they live.
func (t *tally) unknown(a *Attack) (why []string) {
	note := func(format string, args ...any) {
		if text := fmt.Sprintf(format, args...); !slices.Contains(why, text) {
			why = append(why, text)
		}
	}
	for _, s := range a.strikes {
		for _, e := range s.target.elements {
			if !e.pool.known && (s.id != "" || a.unsure) {
				note("none of these processes is a pool user of %s; name the pool_user's process, too (-admin)", s.target)
			}
		}
	}
	for _, p := range t.restarted {
		note("the process at %s is another one than at the beginning; unless it was upgraded, its sessions ended with it", p.Address)
	}
	for _, p := range a.Peers {
		_, has := t.began[p]
		_, begin := t.ended.begin[p]
		if _, finish := t.ended.finish[p]; has && !(begin && finish) {
			note("%s has not told its metrics", p.Address)
		}
	}
	if t.blind {
		note("in the end not all processes have answered")
	}
	return why
}
