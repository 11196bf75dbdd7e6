//go:build linux

package chaos

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/internal/workload"
)

var writePage = flag.Bool("write", false, "write docs/reliability.md anew, from the recorded run")

// The recorded runs, and the page that is made of it.
const (
	recorded    = "results.json"
	recordedLab = "sctp.json" // by TestCells of test/sctplab
	page        = "../../docs/reliability.md"
)

// TestPage holds docs/reliability.md to what was recorded.
func TestPage(t *testing.T) {
	var r, lab record
	for path, into := range map[string]*record{recorded: &r, recordedLab: &lab} {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(text, into); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
	}
	want := r.page(&lab)
	if *writePage {
		if err := os.WriteFile(page, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if string(have) != want {
		t.Errorf("%s is not what %s says: make chaos-page", page, recorded)
	}
}

// TestPageLeavesNothingOut: each kind of failure is explained, and each cell is there.
func TestPageLeavesNothingOut(t *testing.T) {
	for _, f := range failures {
		if explained[f.id] == "" {
			t.Errorf("the page does not say what %s is", f.name)
		}
	}
	r := newRun(1).record
	r.Cells[cellName(failures[0], stateIdle, &column{dialect: dialects[0], mapping: "tcp"})] = &cellRecord{Strikes: 4711}
	text := r.page(&record{})
	if !strings.Contains(text, "4711") || strings.Count(text, "**0**") < 1000 {
		t.Error("cells are missing, or those that nothing has struck are not marked")
	}
}

// explained says how each failure is made.
var explained = map[string]string{
	"server-kill":  "SIGKILL to the server's process; it is started again 20 to 80 ms later",
	"server-stop":  "SIGSTOP; after 50 ms to 1.5 s SIGCONT, or SIGKILL and a new one. reply_timeout is 1.2 s; stream has none",
	"server-term":  "SIGTERM: a real redis stores and ends, others end",
	"server-oom":   "the server has used up its memory",
	"sidecar-kill": "SIGKILL to the pool_element process of a host, in front of all its servers",
	"user-kill":    "SIGKILL to the pool_user process: all its sessions end; what is judged is that nothing was mixed, and nothing unsafe done twice",
	"cut":          "a host's cable, or the packets of one port, are lost both ways for 0.1 to 1.2 s; heartbeats of 100 ms × 3, mapping none has reply_timeout alone",
	"one-way":      "the same, in one direction",
	"reset":        "RSTs that nobody has sent, to both ends of an association, or of a server's connections with mapping none",
	"delay-loss":   "2 to 22 % of all packets are lost, the others come up to 50 ms late, for 0.2 to 1 s",
	"etcd-leader":  "SIGKILL to the leader of the three members that the elements are registered in, and a new one 0.2 to 1.5 s later",
	"clock":        "the calendar jumps, and comes back",
	"disk":         "the disks with the servers' journals, redis' files and the sidecars' access logs have no byte left",
	"descriptors":  "a host's processes, and at times the pool_user, may open no further descriptor",
	"processor":    "a host's processes get next to no processor for 0.3 to 1.2 s",
}

// page is the whole page.
func (r *record) page(lab *record) string {
	var b strings.Builder
	fmt.Fprintf(&b, pageHead, r.Strikes, r.Began.Format("2006-01-02"), r.Took.Round(time.Second), float64(r.Strikes)/max(1, r.Took.Seconds()),
		r.Machine, r.Seed, r.Sessions, r.Protected, r.Unprotected, r.Requests, r.Bytes, r.Unsafe, r.count(workload.Lost)+r.count(workload.Broken),
		r.count(workload.Doubled), r.count(workload.Mixed)+r.count(workload.Reordered)+r.count(workload.Truncated))
	for _, f := range r.Findings {
		fmt.Fprintf(&b, "- %s\n", f)
	}
	b.WriteString(pageGaps)
	for _, f := range failures {
		of := r.Failures[f.id]
		if of == nil {
			of = &failureRecord{}
		}
		how := explained[f.id]
		if of.How != "" {
			how += ": " + of.How
		}
		fmt.Fprintf(&b, "| %s | %d | %s | %s | %s |\n", f.name, of.Strikes, gapText(of.Gaps["tcp"]), gapText(of.Gaps["none"]), how)
	}
	b.WriteString(pageCells)
	for _, f := range failures {
		r.rows(&b, f)
	}
	lab.sctp(&b)
	b.WriteString(pageFoot)
	return b.String()
}

// count is how many findings are of a kind.
func (r *record) count(kind workload.FindingKind) (n int) {
	for _, f := range r.Findings {
		if strings.Contains(f, ": "+string(kind)+": ") {
			n++
		}
	}
	return n
}

// rows are the cells of one failure.
func (r *record) rows(b *strings.Builder, f failure) {
	fmt.Fprintf(b, "\n### %s\n\n| |", strings.ToUpper(f.name[:1])+f.name[1:])
	for _, d := range dialects {
		fmt.Fprintf(b, " %s |", d.name)
	}
	b.WriteString(" p50, p99, max |\n" + strings.Repeat("| --- ", len(dialects)+2) + "|\n")
	for _, s := range states {
		fmt.Fprintf(b, "| %s |", s.name)
		for _, d := range dialects {
			fmt.Fprintf(b, " %s · %s |", r.cell(f, s, d, "tcp"), r.cell(f, s, d, "none"))
		}
		var gaps *workload.Histogram
		if of := r.Failures[f.id]; of != nil {
			gaps = of.States[s.id]
		}
		fmt.Fprintf(b, " %s |\n", gapText(gaps))
	}
	if f.unmeetable != nil {
		fmt.Fprintf(b, "\n–: %s.\n", f.unmeetable(&column{mapping: "none"}))
	}
}

// sctp is the table of the cells of mapping sctp, which is the laboratory's record.
func (r *record) sctp(b *strings.Builder) {
	fmt.Fprintf(b, pageSCTP, len(r.Cells), r.Began.Format("2006-01-02"), r.Machine, r.Sessions, r.Requests, len(r.Findings))
	for _, f := range failures {
		of := r.Failures[f.id]
		if of == nil {
			continue
		}
		fmt.Fprintf(b, "| %s |", f.name)
		for _, s := range states[:5] {
			line, http := r.cell(f, s, dialects[0], "sctp"), r.cell(f, s, dialects[2], "sctp")
			if line == "**0**" && http == line {
				line, http = "–", "–"
			}
			fmt.Fprintf(b, " %s · %s |", line, http)
		}
		fmt.Fprintf(b, " %s | %s |\n", gapText(of.Gaps["sctp"]), of.How)
	}
}

// cell is one: how often it was struck, what is held against it, or why there is none.
func (r *record) cell(f failure, s state, d dialect, mapping string) string {
	c := &column{dialect: d, mapping: mapping}
	if f.senseless(c, s) != "" {
		return "–"
	}
	of := r.Cells[cellName(f, s, c)]
	switch {
	case of == nil || of.Strikes == 0:
		return "**0**"
	case of.Findings > 0:
		return fmt.Sprintf("%d, **%d wrong**", of.Strikes, of.Findings)
	}
	return fmt.Sprint(of.Strikes)
}

// gapText is p50, p99 and the longest, in milliseconds.
func gapText(h *workload.Histogram) string {
	if h == nil || h.Count() == 0 {
		return "–"
	}
	ms := func(d time.Duration) string {
		if d < 10*time.Millisecond {
			return fmt.Sprintf("%.1f", float64(d)/1e6)
		}
		return fmt.Sprint(d.Round(time.Millisecond).Milliseconds())
	}
	return fmt.Sprintf("%s, %s, %s", ms(h.Quantile(0.5)), ms(h.Quantile(0.99)), ms(h.Max()))
}
