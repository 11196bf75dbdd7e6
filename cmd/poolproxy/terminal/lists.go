package terminal

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/poolproxy/poolproxy/admin/board"
)

func elements(v *board.View, find string) []line {
	rows := make([][]cell, 0, len(v.Elements))
	for i := range v.Elements {
		e := &v.Elements[i]
		health := styled("alive", good)
		if !e.Alive {
			health = styled("failed", bad)
			if e.Failures > 1 {
				health.text = fmt.Sprintf("failed, %d times", e.Failures)
			}
		}
		load := number("–")
		if e.Load != nil {
			load.text = fmt.Sprintf("%.1f %%", 100**e.Load)
		}
		draining := ""
		if e.Draining != "" {
			draining = "draining: " + e.Draining
		}
		rows = append(rows, []cell{text(e.Name), text(e.Pool), text(e.Address), health, number(count(e.Sessions)), load, styled(draining, calm)})
	}
	return columns([]string{"ELEMENT", "POOL", "ADDRESS", "HEALTH", "SESSIONS", "LOAD", ""}, with(find, rows))
}

func sessions(v *board.View, find string, now time.Time) []line {
	rows := make([][]cell, 0, len(v.Sessions))
	for i := range v.Sessions {
		s := &v.Sessions[i]
		state, why := s.State, s.Reason
		if s.Leaves != "" {
			state = "leaving"
		}
		if s.Stays != "" {
			why = "stays: " + s.Stays
		}
		rows = append(rows, []cell{number(fmt.Sprint(s.ID)), text(s.User), text(s.Client), text(cmp.Or(s.Element, "–")), number(fmt.Sprint(s.Leg)), text(state),
			number(ago(now.Sub(s.Since))), number(Bytes(s.Up)), number(Bytes(s.Down)), styled(s.Protection, of(s.Protection)), text(why)})
	}
	return columns([]string{"SESSION", "POOL USER", "CLIENT", "ELEMENT", "LEG", "STATE", "AGE", "FROM", "TO", "PROTECTION", "REASON"}, with(find, rows))
}

// steps are those of a failover, in their order, with the letter and the style of each in its bar.
var steps = []struct {
	letter string
	style  style
	done   func(*board.Failover) float64
}{
	{"F", bad, func(f *board.Failover) float64 { return f.Fence }},
	{"C", calm, func(f *board.Failover) float64 { return f.Choose }},
	{"c", main, func(f *board.Failover) float64 { return f.Connect }},
	{"r", warning, func(f *board.Failover) float64 { return f.Restored }},
	{"s", step, func(f *board.Failover) float64 { return f.Replayed }},
	{"1", good, func(f *board.Failover) float64 { return f.First }},
}

// pause is how long a client waited from the moment when the failure was noticed, in milliseconds.
func pause(f *board.Failover) float64 { return max(f.Connect, f.Restored, f.Replayed, f.First) }

const barWidth = 24

// failovers are the last ones, the newest first, each with its steps as a bar.
func failovers(v *board.View, find string) []line {
	rows := make([][]cell, 0, len(v.Failovers))
	for i := len(v.Failovers) - 1; i >= 0; i-- {
		f := &v.Failovers[i]
		var parts []span
		var shares []float64
		at := 0.0
		for _, s := range steps {
			done := s.done(f)
			parts, shares = append(parts, span{s.letter, s.style}), append(shares, max(0, done-at))
			at = max(at, done)
		}
		took := "–"
		if f.Kind != "ended" {
			took = milliseconds(pause(f))
		}
		rows = append(rows, []cell{text(f.Time.Local().Format("15:04:05")), styled(f.Kind, of(f.Kind)), text(f.User), number(fmt.Sprint(f.Session)),
			text(cmp.Or(f.From, "–") + " → " + cmp.Or(f.To, "–")), number(took), drawn(bar(barWidth, parts, shares)), text(strings.Trim(f.Cause+"; "+f.Verdict, "; "))})
	}
	lines := columns([]string{"TIME", "KIND", "POOL USER", "SESSION", "FROM → TO", "PAUSE", "STEPS", "CAUSE"}, with(find, rows))
	if len(lines) > 0 {
		lines = append(lines, nil, line{{gap + "F fence  C choose  c connect  r restore  s sent again  1 first reply", faint}})
	}
	return lines
}

// sources are where pools have their elements from, and where the pool_elements of the process are registered.
func sources(v *board.View, find string, now time.Time) []line {
	var rows, enrolled [][]cell
	for _, p := range v.Pools {
		if p.Source == "" {
			continue
		}
		age, state, x := "never told", "ok", good
		if p.Age != nil {
			age = ago(time.Duration(*p.Age * float64(time.Second)))
		}
		if p.Problem != "" {
			state, x = "fails: "+p.Problem, warning
		}
		if p.Alarm {
			state, x = strings.TrimSuffix("too old: "+p.Problem, ": "), bad
		}
		rows = append(rows, []cell{text(p.Handle), text(p.Source), number(count(p.Elements)), number(age), styled(state, x)})
	}
	for _, r := range v.Enrolled {
		state, x := fmt.Sprintf("%s for %s", r.State, ago(now.Sub(r.Since))), good
		if r.State != "registered" || r.Problem != "" {
			x = warning
		}
		if r.Problem != "" {
			state += ": " + r.Problem
		}
		load := "–"
		if r.Load != nil {
			load = fmt.Sprintf("%.1f %%", 100**r.Load)
		}
		enrolled = append(enrolled, []cell{text(r.Element), text(r.Pool), text(r.Source), text(r.Name), text(r.Address), number(load), styled(state, x)})
	}
	all := titled("Sources", columns([]string{"POOL", "SOURCE", "ELEMENTS", "AGE", "STATE"}, with(find, rows)))
	return append(all, titled("Registrations of this process", columns([]string{"POOL ELEMENT", "POOL", "SOURCE", "NAME", "ADDRESS", "LOAD", "STATE"},
		with(find, enrolled)))...)
}
