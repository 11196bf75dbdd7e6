//go:build linux

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// series is one thing that grows, and what that costs each system.
type series struct {
	name, title, axis string
	points            []float64
	label             func(float64) string
	systems           []string
	figures           []growthFigure // a plot for each
	rounds            int            // at most
	workload          func(x float64) workload
}

// growthFigure is one plot of a series.
type growthFigure struct {
	figure
	file  string             // of the plot, without .svg
	about string             // the plot's title
	why   map[string]reasons // by system; "" is for those that have none of their own
}

// reasons explain the parts of a curve that is neither flat nor linear: where it falls and where it rises. Which of them are told is
// decided by what was measured.
type reasons struct{ falls, rises string }

// growthLimit bounds one series: no round is begun that would end later.
const growthLimit = 3 * time.Minute

// chosenSeries are those that the settings ask for: all, if none is named.
func (w *whole) chosenSeries() ([]series, error) {
	all, err := choose(allSeries(), w.settings.series, func(s series) string { return s.name }, func(series) bool { return false })
	if err != nil {
		return nil, fmt.Errorf("-series: %w", err)
	}
	if err := linkMissing(); err != nil {
		w.lack("growth with delay and loss", err.Error())
		all = slices.DeleteFunc(all, func(s series) bool { return s.workload(s.points[0]).link != nil })
	}
	return all, nil
}

// growth measures all series and hands over what is to be said of each. Plots are written into folder, if it is not empty; path is where
// the text finds it.
func (w *whole) growth(folder, path string, say func(name, text string) error) error {
	all, err := w.chosenSeries()
	if err != nil {
		return err
	}
	for _, s := range all {
		b, err := w.measureSeries(s)
		if err != nil {
			return err
		}
		var out strings.Builder
		fmt.Fprintf(&out, "%s, %d rounds, %s, %s, poolproxy %s.\n\n", time.Now().UTC().Format("2006-01-02"), b.results.Rounds, cpuModel(),
			congestionControl(), w.revision)
		for _, f := range s.figures {
			p := s.plot(f, b)
			fmt.Fprintf(&out, "![%s](%s/%s.svg)\n\n%s\n%s\n", f.about, path, f.file, p.table(), p.say(f.why))
			if folder == "" {
				continue
			}
			if err := os.WriteFile(filepath.Join(folder, f.file+".svg"), []byte(p.svg()), 0o644); err != nil {
				return fmt.Errorf("writing a plot: %w", err)
			}
		}
		out.WriteString(tableOf{workloads: b.workloads, systems: s.systems, results: &b.results}.failures())
		if err := say(s.name, out.String()); err != nil {
			return err
		}
	}
	return nil
}

// measureSeries runs all points of a series. A system whose program is missing is left out; the plot then lacks its curve.
func (w *whole) measureSeries(s series) (*bench, error) {
	b := &bench{settings: w.settings, env: w.env}
	b.settings.rounds, b.settings.limit = min(w.settings.rounds, s.rounds), growthLimit
	systems, err := choose(allSystems, s.systems, func(s system) string { return s.name }, nil)
	if err != nil {
		return nil, err
	}
	for _, y := range systems {
		if _, gone := w.gone[y.needs]; !gone {
			b.systems = append(b.systems, y)
		}
	}
	for _, x := range s.points {
		work := s.workload(x)
		work.name, work.title = s.name+"-"+s.label(x), s.name+" "+s.label(x)
		for _, f := range s.figures {
			work.figures = append(work.figures, f.figure)
		}
		b.workloads = append(b.workloads, work)
	}
	if err := b.start(); err != nil {
		return nil, err
	}
	b.run()
	running.killAll()
	return b, nil
}

// plot makes the curves of what was measured; points that were not are left out.
func (s series) plot(f growthFigure, b *bench) plot {
	p := plot{title: f.about, x: s.axis, y: f.unit, xs: s.points}
	for _, x := range s.points {
		p.labels = append(p.labels, s.label(x))
	}
	for _, name := range s.systems {
		c := curve{name: name}
		for i, w := range b.workloads {
			if v := spreadOf(b.results.values(w.name, name, f.name)); v.n > 0 {
				c.points = append(c.points, point{at: i, spread: v})
			}
		}
		if len(c.points) > 0 {
			p.curves = append(p.curves, c)
		}
	}
	return p
}

// table is the medians in markdown: a row for each point, a column for each curve.
func (p plot) table() string {
	var out strings.Builder
	fmt.Fprintf(&out, "| %s |", p.x)
	for _, c := range p.curves {
		fmt.Fprintf(&out, " %s, %s |", c.name, p.y)
	}
	out.WriteString("\n| ---: |" + strings.Repeat(" ---: |", len(p.curves)) + "\n")
	for i, label := range p.labels {
		fmt.Fprintf(&out, "| %s |", label)
		for _, c := range p.curves {
			k := slices.IndexFunc(c.points, func(q point) bool { return q.at == i })
			if k < 0 {
				out.WriteString(" |")
				continue
			}
			q := c.points[k]
			fmt.Fprintf(&out, " %s (%s–%s) |", number(q.median), number(q.low), number(q.high))
		}
		out.WriteString("\n")
	}
	return out.String()
}

// count writes a number of sessions or elements; size one of bytes, with powers of 1024.
func count(x float64) string {
	if x < 1000 {
		return fmt.Sprint(int(x))
	}
	return number(x)
}

func size(x float64) string {
	n := int64(x)
	switch {
	case n >= 1<<20 && n%(1<<20) == 0:
		return fmt.Sprintf("%dM", n>>20)
	case n >= 1<<10 && n%(1<<10) == 0:
		return fmt.Sprintf("%dK", n>>10)
	default:
		return fmt.Sprint(n)
	}
}
