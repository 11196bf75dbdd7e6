//go:build linux

package main

import (
	"fmt"
	"strings"
)

// report is the whole outcome in markdown. The table of single rounds is for the terminal only.
func (b *bench) report(haproxy string, missing []string, withRounds bool) string {
	t := b.table()
	var out strings.Builder
	out.WriteString(machineLines(b.settings, b.results.Rounds, haproxy))
	for _, m := range missing {
		fmt.Fprintf(&out, "- **left out**: %s\n", m)
	}
	for _, base := range []string{baseSystem, singleSystem, spliceSystem} {
		compared := t
		if base == spliceSystem {
			compared.workloads = ofClass(t.workloads, classBulk)
		}
		if !compared.comparable(base) {
			continue
		}
		fmt.Fprintf(&out, "\n**Ratio to %s**, median of the rounds (least–greatest):\n\n%s", base, compared.ratioTable(base))
		if withRounds && base == baseSystem {
			fmt.Fprintf(&out, "\nRatio to %s, round by round:\n\n%s", base, compared.roundTable(base))
		}
	}
	fmt.Fprintf(&out, "\n**Figures**, median of the rounds (least–greatest):\n\n%s", t.figures())
	out.WriteString("\n↑: more is better; ↓: less is better. CPU and memory are those of both hops together. " +
		fmt.Sprintf("~n: in n rounds others used more than %.0f%% of the machine; !n: n rounds failed.\n\n", noisyShare*100))
	for _, s := range b.systems {
		fmt.Fprintf(&out, "- %s: %s\n", s.name, s.about)
	}
	if failures := t.failures(); failures != "" {
		out.WriteString("\n**Failed:**\n\n" + failures)
	}
	return out.String()
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
