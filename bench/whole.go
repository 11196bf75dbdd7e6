//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// part is what was measured under one congestion control.
type part struct {
	Congestion string
	Results    results
}

// whole is a whole run: a part for each congestion control.
type whole struct {
	settings  settings
	revision  string // of what is measured: as it was at the start, before anything was written into the working tree
	env       *environment
	systems   []system
	workloads []workload
	missing   []string          // what was asked for and could not be measured, and why
	haproxy   string            // version; "" if it is not there
	gone      map[string]string // programs that are missing, and why
	parts     []part
}

// runAll measures and reports.
func runAll(s settings) error {
	if err := allowFiles(1 << 16); err != nil {
		return fmt.Errorf("raising the limit of open files: %w", err)
	}
	folder, err := os.MkdirTemp("", "poolproxy-bench")
	if err != nil {
		return err
	}
	cleanUp := func() {
		running.killAll()
		_ = os.RemoveAll(folder) // it is in the system's folder for temporary things
	}
	defer cleanUp()
	onSignal(cleanUp)
	w := &whole{settings: s, revision: workingRevision(), env: &environment{folder: folder, poolproxy: s.poolproxy}}
	if err := w.choose(); err != nil {
		return err
	}
	if s.instructs {
		return w.saveInstructions()
	}
	if len(s.series) > 0 {
		return w.saveGrowth(s.congest[0])
	}
	if err := w.measure(); err != nil {
		return err
	}
	if s.short {
		fmt.Println(w.report(false))
		return w.compare(os.Stdout)
	}
	fmt.Println(w.report(true))
	if err := w.save(); err != nil || !s.growth {
		return err
	}
	return w.saveGrowth(w.parts[0].Congestion)
}

// saveGrowth measures how costs grow, under the given congestion control, and writes text and plots if -write asks for them.
func (w *whole) saveGrowth(congestion string) error {
	if w.settings.namespace {
		if err := setSysctl("tcp_congestion_control", congestion); err != nil {
			return err
		}
	}
	folder := strings.TrimSuffix(w.settings.document, ".md")
	if !w.settings.write {
		return w.growth("", filepath.Base(folder), func(name, text string) error {
			_, err := fmt.Printf("#### %s\n\n%s\n", name, text)
			return err
		})
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return fmt.Errorf("writing plots: %w", err)
	}
	return w.growth(folder, filepath.Base(folder), func(name, text string) error {
		return writeDocument(w.settings.document, growthMarkers(name), text)
	})
}

// choose settles what is measured: the systems asked for, less those whose program is missing, which are named.
func (w *whole) choose() (err error) {
	w.workloads, err = choose(allWorkloads(w.settings.length), w.settings.only,
		func(w workload) string { return w.name }, func(workload) bool { return false })
	if err != nil {
		return fmt.Errorf("-only: %w", err)
	}
	chosen, err := choose(allSystems, w.settings.systems,
		func(s system) string { return s.name }, func(s system) bool { return s.option })
	if err != nil {
		return fmt.Errorf("-systems: %w", err)
	}
	if err := redisMissing(); err != nil {
		w.lack("redis", err.Error())
		w.workloads = slices.DeleteFunc(w.workloads, func(w workload) bool { return w.plan == planRedis })
	}
	w.gone = w.reasons()
	for _, s := range chosen {
		if why, gone := w.gone[s.needs]; gone {
			w.lack(s.name, why)
			continue
		}
		w.systems = append(w.systems, s)
	}
	return nil
}

// reasons says why programs are missing, by their names.
func (w *whole) reasons() map[string]string {
	reasons := map[string]string{}
	if w.haproxy = haproxyVersion(); w.haproxy == "" {
		reasons["haproxy"] = "it is not installed"
	}
	if err := nginxMissing(); err != nil {
		reasons["nginx"] = err.Error()
	}
	if w.env.poolproxy == "" {
		var err error
		if w.env.poolproxy, err = buildPoolproxy(w.env.folder); err != nil {
			reasons["poolproxy"] = err.Error()
		}
	}
	return reasons
}

// lack notes, loudly, that something is left out.
func (w *whole) lack(what, why string) {
	w.missing = append(w.missing, what+": "+oneLine(why))
	fmt.Fprintf(os.Stderr, "bench: %s IS LEFT OUT: %s\n", strings.ToUpper(what), oneLine(why))
}

// measure takes the parts one after the other. Congestion controls that are not to be had are left out; if none is, that is an error.
func (w *whole) measure() error {
	controls := w.settings.congest
	if !w.settings.namespace { // the machine's own is not ours to change
		controls = []string{congestionControl()}
	}
	for _, control := range controls {
		if w.settings.namespace {
			if err := setSysctl("tcp_congestion_control", control); err != nil {
				w.lack("congestion control "+control, err.Error())
				continue
			}
		}
		if len(controls) > 1 {
			fmt.Fprintln(os.Stderr, "bench: congestion control", control)
		}
		b := &bench{settings: w.settings, env: w.env, systems: w.systems, workloads: w.workloads}
		if err := b.start(); err != nil {
			return err
		}
		b.run()
		running.killAll() // listeners keep the congestion control that they began with
		w.parts = append(w.parts, part{control, b.results})
	}
	if len(w.parts) == 0 {
		return fmt.Errorf("none of the congestion controls %q is to be had", w.settings.congest)
	}
	return nil
}

// table is what was measured in a part, for the systems that took part.
func (w *whole) table(p *part) tableOf {
	t := tableOf{workloads: w.workloads, results: &p.Results}
	for _, s := range w.systems {
		t.systems = append(t.systems, s.name)
	}
	return t
}

// save writes what -out and -write ask for.
func (w *whole) save() error {
	if w.settings.out != "" {
		text, err := json.MarshalIndent(w.parts, "", "  ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(w.settings.out, append(text, '\n'), 0o644); err != nil {
			return fmt.Errorf("-out: %w", err)
		}
	}
	if !w.settings.write {
		return nil
	}
	if err := writeDocument(w.settings.document, resultMarkers, w.report(false)); err != nil {
		return err
	}
	return writeBaseline(w.settings.baseline, w.baseline())
}
