package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// tableOf says what a table shows: a row for each figure, a column for each system.
type tableOf struct {
	workloads []workload
	systems   []string // in the order of the columns
	results   *results
}

// cell makes the text of one place of a table.
type cell func(w workload, f figure, system string) string

// render writes a markdown table. Rows of which no cell says anything are left out.
func (t tableOf) render(cell cell) string {
	var out strings.Builder
	out.WriteString("| figure | " + strings.Join(t.systems, " | ") + " |\n")
	out.WriteString("| --- |" + strings.Repeat(" ---: |", len(t.systems)) + "\n")
	for _, w := range t.workloads {
		for _, f := range w.figures {
			cells := make([]string, len(t.systems))
			said := false
			for i, s := range t.systems {
				cells[i] = cell(w, f, s)
				said = said || cells[i] != ""
			}
			if said {
				fmt.Fprintf(&out, "| %s: %s | %s |\n", w.title, f.label(), strings.Join(cells, " | "))
			}
		}
	}
	return out.String()
}

// figures is the table of medians with the least and the greatest round. "~n" counts noisy rounds, "!n" failed ones.
func (t tableOf) figures() string {
	return t.render(func(w workload, f figure, system string) string {
		noisy, failed, _ := t.results.marks(w.name, system)
		s := spreadOf(t.results.values(w.name, system, f.name))
		text := ""
		if s.n > 0 {
			text = fmt.Sprintf("%s (%s–%s)", number(s.median), number(s.low), number(s.high))
		}
		if noisy > 0 && s.n > 0 {
			text += fmt.Sprintf(" ~%d", noisy)
		}
		if failed > 0 {
			text += fmt.Sprintf(" !%d", failed)
		}
		return strings.TrimSpace(text)
	})
}

// ratioTable compares with one system, which has no column of its own: the median of the ratios of the rounds, with the least
// and greatest.
func (t tableOf) ratioTable(base string) string {
	return t.ratioCells(base, func(values []float64) string {
		s := spreadOf(values)
		if s.n == 0 {
			return ""
		}
		return fmt.Sprintf("**%.2f** (%.2f–%.2f)", s.median, s.low, s.high)
	})
}

// roundTable is ratioTable with each round's ratio instead of their median.
func (t tableOf) roundTable(base string) string {
	return t.ratioCells(base, func(values []float64) string {
		words := make([]string, len(values))
		for i, v := range values {
			words[i] = "-"
			if !math.IsNaN(v) {
				words[i] = fmt.Sprintf("%.2f", v)
			}
		}
		if spreadOf(values).n == 0 {
			return ""
		}
		return strings.Join(words, " ")
	})
}

func (t tableOf) ratioCells(base string, text func(ratios []float64) string) string {
	others := t
	others.systems = nil
	for _, s := range t.systems {
		if s != base {
			others.systems = append(others.systems, s)
		}
	}
	return others.render(func(w workload, f figure, system string) string {
		return text(ratios(t.results.values(w.name, system, f.name), t.results.values(w.name, base, f.name)))
	})
}

// comparable says whether there is anything to be said in a table of ratios to base.
func (t tableOf) comparable(base string) bool {
	for _, w := range t.workloads {
		for _, f := range w.figures {
			if len(t.systems) > 1 && spreadOf(t.results.values(w.name, base, f.name)).n > 0 {
				return true
			}
		}
	}
	return false
}

// failures lists each system and workload that did not work, with the reason.
func (t tableOf) failures() string {
	var out strings.Builder
	for _, w := range t.workloads {
		for _, s := range t.systems {
			if _, failed, reason := t.results.marks(w.name, s); failed > 0 {
				fmt.Fprintf(&out, "- %s, %s: %d of %d rounds failed: %s\n", s, w.title, failed, t.results.Rounds, oneLine(reason))
			}
		}
	}
	return out.String()
}

// number writes v with three significant digits or, from 1000 on, whole with commas.
func number(v float64) string {
	switch {
	case math.Abs(v) >= 1000:
		text := strconv.FormatFloat(math.Round(v), 'f', 0, 64)
		for i := len(text) - 3; i > 0 && text[i-1] != '-'; i -= 3 {
			text = text[:i] + "," + text[i:]
		}
		return text
	case math.Abs(v) >= 100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case math.Abs(v) >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	default:
		return strconv.FormatFloat(v, 'f', 2, 64)
	}
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }
