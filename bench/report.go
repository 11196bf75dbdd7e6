//go:build linux

package main

import (
	"fmt"
	"strings"
)

// report is the whole outcome in markdown. The tables of single rounds are for the terminal only.
func (w *whole) report(withRounds bool) string {
	var out strings.Builder
	out.WriteString(w.machineLines())
	for _, m := range w.missing {
		fmt.Fprintf(&out, "- **left out**: %s\n", m)
	}
	if w.settings.short { // compare says the rest, beside what the document says
		for i := range w.parts {
			out.WriteString(w.table(&w.parts[i]).failures())
		}
		return out.String()
	}
	out.WriteString("\n### Floors and goals\n\n" + w.floorTable())
	for i := range w.parts {
		if len(w.parts) > 1 {
			fmt.Fprintf(&out, "\n### Under %s\n", w.parts[i].Congestion)
		}
		w.reportPart(&out, w.table(&w.parts[i]), withRounds)
	}
	out.WriteString("\n↑: more is better; ↓: less is better. CPU and memory are those of all hops together. " +
		fmt.Sprintf("~n: in n rounds others used more than %.0f%% of the machine; !n: n rounds failed.\n\n", noisyShare*100))
	for _, s := range w.systems {
		fmt.Fprintf(&out, "- %s: %s\n", s.name, s.about)
	}
	return out.String()
}

// reportPart is the tables of one congestion control.
func (w *whole) reportPart(out *strings.Builder, t tableOf, withRounds bool) {
	for _, base := range []string{baseSystem, singleSystem, spliceSystem} {
		compared := t
		if base == spliceSystem {
			compared.workloads = ofClass(t.workloads, classBulk)
		}
		if !compared.comparable(base) {
			continue
		}
		fmt.Fprintf(out, "\n**Ratio to %s**, median of the rounds (least–greatest):\n\n%s", base, compared.ratioTable(base))
		if withRounds && base == baseSystem {
			fmt.Fprintf(out, "\nRatio to %s, round by round:\n\n%s", base, compared.roundTable(base))
		}
	}
	fmt.Fprintf(out, "\n**Figures**, median of the rounds (least–greatest):\n\n%s", t.figures())
	if failures := t.failures(); failures != "" {
		out.WriteString("\n**Failed:**\n\n" + failures)
	}
}

func ofClass(all []workload, c class) []workload {
	var some []workload
	for _, w := range all {
		if w.class&c != 0 {
			some = append(some, w)
		}
	}
	return some
}
