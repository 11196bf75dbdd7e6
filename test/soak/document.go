//go:build linux

package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// document writes soak.md and its pictures into the folder of the documentation.
func (r *result) document(folder string) error {
	pictures := filepath.Join(folder, "soak")
	if err := os.MkdirAll(pictures, 0o755); err != nil {
		return err
	}
	for name, p := range r.plots() {
		if err := os.WriteFile(filepath.Join(pictures, name+".svg"), []byte(p.svg()), 0o644); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(folder, "soak.md"), []byte(r.page()), 0o644)
}

// plots are the pictures by name.
func (r *result) plots() map[string]plot {
	all := make(map[string]plot)
	for name, of := range map[string][]string{"goroutines": {"goroutines"}, "descriptors": {"descriptors"}, "memory": {"resident memory", "heap in use"},
		"buffers": {"buffers"}, "sessions": {"sessions"}} {
		p := plot{title: strings.ToUpper(name[:1]) + name[1:], end: r.Duration.Seconds()}
		for _, proc := range processes {
			for _, m := range measures {
				if !slices.Contains(of, m.name) {
					continue
				}
				c := curve{name: proc.name}
				if len(of) > 1 {
					c.name += ", " + strings.TrimSuffix(m.name, " memory")
				}
				for i := range r.Series {
					c.xs, c.ys = append(c.xs, r.Series[i].Seconds), append(c.ys, m.of(proc.of(&r.Series[i]))/m.per)
				}
				p.curves = append(p.curves, c)
				if m.unit != "" {
					p.unit = " " + m.unit
				}
			}
		}
		all[name] = p
	}
	return all
}

// waits says what the table of the kinds does not.
const waits = `Refused is what was unsafe and may have been executed when its server died: it is answered by the protocol's own error. The longest waits are
those of streams whose sidecar was killed, or whose path fell silent: of a stream nothing is known, so with ` + "`replay = \"session\"`" + ` it goes on
elsewhere only behind the [fence](replay.md#when-is-the-old-server-certain-to-be-dead), with the defaults 9.28 s after its association was lost, since
from afar nobody can tell a sidecar that was killed from one that is cut off. A stream whose server alone dies does not wait.
`

// page is the text.
func (r *result) page() string {
	var out strings.Builder
	minutes := fmt.Sprintf("%.0f minutes", r.Duration.Minutes())
	if r.Duration == time.Hour {
		minutes = "an hour"
	}
	fmt.Fprintf(&out, `# Soak: %s with something dying every %v

This page is written by `+"`make soak PAGES=docs`"+` (test/soak); [failover.md](failover.md) says what is promised when what fails.

%d sessions at a time come and go, each lives 5 to 60 s, over %s. There are three hosts, with a sidecar and a server of each kind.
The pool_user and the sidecar of the third host live all the time; whatever else there is was killed or cut %d times:

| what | times |
| --- | --- |
`, minutes, r.Every, r.Sessions, r.kinds(), r.struck())
	for _, what := range slices.Sorted(maps.Keys(r.Strikes)) {
		fmt.Fprintf(&out, "| %s | %d |\n", what, r.Strikes[what])
	}
	out.WriteString("\nEvery byte of every reply was compared, and what was carried out was taken from the servers' journals:\n\n" +
		"| kind | sessions | requests | answered | refused, as promised | lost | doubled | mixed | other | wait p50 | p99 | max |\n" +
		"| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n")
	for _, k := range r.Traffic {
		v := k.Verdict
		lost, doubled, mixed := v.Count("lost"), v.Count("doubled"), v.Count("mixed")
		fmt.Fprintf(&out, "| %s | %d | %d | %d | %d | %d | %d | %d | %d | %v | %v | %v |\n", k.Kind, v.Sessions, v.Sent, v.Answered, v.Refused, lost, doubled,
			mixed, int64(len(v.Findings))-lost-doubled-mixed, short(v.Gaps.Quantile(0.5)), short(v.Gaps.Quantile(0.99)), short(v.Gaps.Max()))
	}
	out.WriteString("\n" + waits + `
## What the two processes had

Judged is the second half: the median of the last quarter against that of the quarter before. Twice the difference is what it rose by, and must not be
more than the bound. Descriptors are counted without those of sessions.

| process | | median | most | rose by | bound | |
| --- | --- | --- | --- | --- | --- | --- |
`)
	for _, x := range r.Trends {
		bound, verdict := "-", ""
		if x.Bound > 0 {
			bound, verdict = fmt.Sprintf("%.2f", x.Bound), "flat"
		}
		if !x.Good {
			verdict = "**grows**"
		}
		fmt.Fprintf(&out, "| %s | %s | %.1f %s | %.1f | %+.2f | %s | %s |\n", x.Process, x.Measure, x.Mean, x.Unit, x.Most, x.Grew, bound, verdict)
	}
	if r.Duration < shortest {
		fmt.Fprintf(&out, "\nThis run was too short to judge what grows: that takes %v. `make soak DURATION=1h PAGES=docs` writes this page anew.\n", shortest)
	}
	fmt.Fprintf(&out, `
When all sessions had ended the pool_user had %.0f goroutines and %.0f descriptors (%.0f and %.0f before the first session), and %.0f bytes in buffers; the
pool_element %.0f and %.0f (%.0f and %.0f), and %.0f bytes.

`, r.After.User.Goroutines, r.After.User.Descriptors, r.Before.User.Goroutines, r.Before.User.Descriptors, r.After.User.Buffers,
		r.After.Element.Goroutines, r.After.Element.Descriptors, r.Before.Element.Goroutines, r.Before.Element.Descriptors, r.After.Element.Buffers)
	for _, name := range slices.Sorted(maps.Keys(r.plots())) {
		fmt.Fprintf(&out, "![%s over the time](soak/%s.svg)\n\n", name, name)
	}
	for _, f := range r.Findings {
		fmt.Fprintf(&out, "- **Found:** %s\n", f)
	}
	fmt.Fprintf(&out, "Measured on %s with %d processors, Linux %s, %s, everything on one machine. `make soak DURATION=1h PAGES=docs` does it again.\n",
		r.Begun.Format("2006-01-02"), r.Processors, r.Kernel, r.Go)
	return out.String()
}

func (r *result) kinds() string {
	var names []string
	for _, k := range r.Traffic {
		names = append(names, string(k.Kind))
	}
	return strings.Join(names, ", ")
}

// short rounds a duration to what people read.
func short(d time.Duration) time.Duration {
	switch {
	case d > time.Second:
		return d.Round(10 * time.Millisecond)
	case d > time.Millisecond:
		return d.Round(100 * time.Microsecond)
	}
	return d.Round(time.Microsecond)
}
