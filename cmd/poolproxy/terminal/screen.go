package terminal

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/poolproxy/poolproxy/admin/board"
)

// views are what can be looked at, in the order of their keys.
var views = []string{"Overview", "Elements", "Sessions", "Failovers", "Sources"}

// look is what is looked at, and how.
type look struct {
	view   int    // of views
	top    int    // the first line of it that is shown
	find   string // only rows with this text; in small letters
	typing bool   // of find
}

// state is what is known, and how well.
type state struct {
	view      *board.View // nil: nothing yet
	address   string
	told      time.Time // when it was
	problem   string    // why there is nothing newer; "": there is
	restarted time.Time // when it was found that the sidecar was started anew; zero: not
}

// screen draws all of it: exactly height lines, of at most width characters each. It corrects what is looked at to what there is.
func screen(s *state, l *look, width, height int, now time.Time, colours bool) []string {
	body := s.body(l, width, now)
	room := max(height-4, 1)
	l.top = max(0, min(l.top, len(body)-room))
	lines := []line{s.head(now, width), s.tabs(l), {{strings.Repeat("─", max(width, 0)), faint}}}
	lines = append(lines, body[l.top:min(len(body), l.top+room)]...)
	for len(lines) < height-1 {
		lines = append(lines, nil)
	}
	lines = append(lines[:max(height-1, 0)], l.foot(len(body), room))
	out := make([]string, 0, height)
	for _, x := range lines[max(0, len(lines)-height):] {
		out = append(out, x.render(width, colours))
	}
	return out
}

// head says who it is, and whether it answers.
func (s *state) head(now time.Time, width int) line {
	l := line{{" poolproxy", bold}}
	if v := s.view; v != nil {
		l = append(l, span{" " + clean(v.Version) + " · up " + ago(now.Sub(v.Started)), faint})
	}
	l = append(l, span{" · " + clean(s.address) + "  ", faint})
	switch {
	case s.problem != "":
		since := ""
		if !s.told.IsZero() {
			since = fmt.Sprintf("no answer for %s, shown is what was: ", ago(now.Sub(s.told)))
		}
		return append(l, span{"● " + since + clean(s.problem), bad})
	case !s.restarted.IsZero() && now.Sub(s.restarted) < time.Minute:
		return append(l, span{"● live", good}, span{fmt.Sprintf("  (it was started anew %s ago)", ago(now.Sub(s.restarted))), warning})
	}
	return append(l, span{"● live", good})
}

func (s *state) tabs(l *look) line {
	counts := make([]string, len(views))
	if v := s.view; v != nil {
		counts[1], counts[2], counts[3] = count(len(v.Elements)), count(len(v.Sessions)), count(len(v.Failovers))
	}
	out := line{{" ", plain}}
	for i, name := range views {
		x := faint
		if i == l.view {
			x = chosen
		}
		out = append(out, span{strings.TrimRight(fmt.Sprintf(" %d %s %s", i+1, name, counts[i]), " ") + " ", x}, span{" ", plain})
	}
	return out
}

func (l *look) foot(lines, room int) line {
	if l.typing {
		return line{{" find: " + l.find + "▏", bold}, {"  Enter: done, Esc: all", faint}}
	}
	where := ""
	if lines > room {
		where = fmt.Sprintf("  lines %s to %s of %s", count(l.top+1), count(min(l.top+room, lines)), count(lines))
	}
	found := ""
	if l.find != "" {
		found = "  found: " + l.find + " (Esc: all)"
	}
	return line{{" 1-5 or Tab views · ↑ ↓ PgUp PgDn Home End · / find · q end", faint}, {found, bold}, {where, faint}}
}

// body is the view that is looked at.
func (s *state) body(l *look, width int, now time.Time) []line {
	v := s.view
	if v == nil {
		return nil
	}
	switch views[l.view] {
	case "Elements":
		return or(elements(v, l.find), "no element is known")
	case "Sessions":
		return or(sessions(v, l.find, now), "no session is there")
	case "Failovers":
		return or(failovers(v, l.find), "there was no failover yet")
	case "Sources":
		return or(sources(v, l.find, now), "the configuration has all elements, and nothing is registered")
	}
	return overview(v, l.find, width)
}

// or is the lines, or what to say where there are none.
func or(lines []line, none string) []line {
	if len(lines) == 0 {
		return []line{nil, {{gap + none, faint}}}
	}
	return append([]line{nil}, lines...)
}

// with keeps rows that have the text in one of their cells.
func with(find string, rows [][]cell) [][]cell {
	if find == "" {
		return rows
	}
	return slices.DeleteFunc(rows, func(row []cell) bool {
		return !slices.ContainsFunc(row, func(c cell) bool { return strings.Contains(strings.ToLower(c.text), find) })
	})
}

func titled(title string, lines []line) []line {
	if len(lines) == 0 {
		return nil
	}
	return append([]line{nil, {{gap + title, bold}}}, lines...)
}

// of is how a protection, or a kind of failover, looks.
func of(word string) style {
	switch word {
	case "protected", "resumed", "alive", "ok":
		return good
	case "degraded", "answered":
		return warning
	case "unprotected", "ended":
		return bad
	case "moving":
		return calm
	case "moved":
		return main
	}
	return plain
}

// protections are in the order of the bar.
var protections = []string{"protected", "degraded", "unprotected", "moving"}

func overview(v *board.View, find string, width int) []line {
	by := map[string]int{}
	for i := range v.Sessions {
		by[v.Sessions[i].Protection]++
	}
	alive := 0
	for i := range v.Elements {
		if v.Elements[i].Alive {
			alive++
		}
	}
	var pauses []float64
	for i := range v.Failovers {
		if f := &v.Failovers[i]; f.Kind != "ended" {
			pauses = append(pauses, pause(f))
		}
	}
	median := "–"
	if slices.Sort(pauses); len(pauses) > 0 {
		median = milliseconds(pauses[len(pauses)/2])
	}
	share := "–"
	if n := len(v.Sessions); n > 0 {
		share = fmt.Sprintf("%.1f %%", 100*float64(by["protected"])/float64(n))
	}
	all := []line{nil, {{gap + "Sessions ", faint}, {count(len(v.Sessions)), bold}, {"    Protected ", faint}, {share, bold}, {"    Elements alive ", faint},
		{count(alive) + " / " + count(len(v.Elements)), bold}, {"    Pause of failovers, median ", faint}, {median, bold}}}
	if len(v.Sessions) > 0 {
		var parts []span
		var shares []float64
		legend := line{{gap, plain}}
		for _, p := range protections {
			parts, shares = append(parts, span{"█", of(p)}), append(shares, float64(by[p]))
			legend = append(legend, span{"█ ", of(p)}, span{fmt.Sprintf("%s %s   ", p, count(by[p])), plain})
		}
		all = append(all, nil, append(line{{gap, plain}}, bar(min(width-4, 100), parts, shares)...), legend)
	}
	var reasons [][]cell
	for _, r := range v.Reasons() {
		reasons = append(reasons, []cell{number(count(r.Sessions)), styled(r.Protection, of(r.Protection)), text(r.Reason)})
	}
	all = append(all, titled("Why sessions are not protected", columns([]string{"SESSIONS", "", "REASON"}, with(find, reasons)))...)
	all = append(all, titled("Drains", drains(v, find))...)
	all = append(all, titled("Pools", pools(v, find))...)
	return append(all, titled("Sidecars of this process", sides(v, find))...)
}

func drains(v *board.View, find string) []line {
	var rows [][]cell
	for _, d := range v.Drains() {
		left, x := max(d.Sessions, d.Legs), calm
		state := count(left) + " left"
		if left == 0 {
			state, x = "nobody is left", good
		}
		why := make([]string, 0, len(d.Reasons))
		for _, r := range d.Reasons {
			why = append(why, fmt.Sprintf("%s × %s", count(r.Sessions), r.Reason))
		}
		if d.Legs > d.Sessions {
			why = append(why, "its pool users' sidecars know why")
		}
		rows = append(rows, []cell{text(d.Element), styled(state, x), text(strings.Join(why, "; ")), text(d.Why)})
	}
	return columns([]string{"ELEMENT", "STATE", "WHO STAYS, AND WHY", "BECAUSE"}, with(find, rows))
}

func pools(v *board.View, find string) []line {
	var rows [][]cell
	for _, p := range v.Pools {
		x := good
		if p.Alarm || p.Alive == 0 {
			x = bad
		} else if p.Alive < p.Elements || p.Problem != "" {
			x = warning
		}
		rows = append(rows, []cell{text(p.Handle), text(p.Policy), text(p.Mapping), styled(count(p.Alive)+" / "+count(p.Elements), x), number(count(p.Sessions)),
			text(cmp.Or(p.Source, "–"))})
	}
	return columns([]string{"POOL", "POLICY", "MAPPING", "ALIVE", "SESSIONS", "SOURCE"}, with(find, rows))
}

func sides(v *board.View, find string) []line {
	var rows [][]cell
	for _, s := range v.Sides {
		x := plain
		if !s.Well {
			x = bad
		}
		state := ""
		if s.Drained {
			state = "drained"
		}
		rows = append(rows, []cell{text(s.Side), text(s.Name), text(s.Listen), text(s.To), number(count(s.Sessions)), number(count(s.Held)),
			styled(s.What, x), styled(state, calm)})
	}
	return columns([]string{"SIDE", "NAME", "LISTENS ON", "TO", "SESSIONS", "HELD", "PROTOCOL, HEALTH", ""}, with(find, rows))
}
