//go:build linux

// Bench compares two poolproxy sidecars with two chained HAProxy, in one interleaved run, and prints a table.
//
//	go run ./bench            all of it, less than 6 minutes
//	go run ./bench -short     less than 100 seconds
//	go run ./bench -write     put the tables into docs/performance.md
//
// docs/performance.md says what is measured, and how.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"
)

// childFlag, as the first argument, makes this program one of its own helpers. It is followed by the role.
const childFlag = "-child"

const (
	roleInside = "inside" // the run itself, in its network namespace
	roleOrigin = "origin" // the server
	roleLoad   = "load"   // the client, for one sample
	roleCopy   = "copy"   // a hop of the system io.Copy
)

// settings is what the command line asks for.
type settings struct {
	arguments []string // as they were given
	namespace bool     // this process has a network namespace of its own
	rounds    int
	length    time.Duration // of one sample
	limit     time.Duration // no round is begun that would end later
	only      []string      // workloads; none: all
	systems   []string      // none: all
	out       string
	write     bool
	document  string
	congest   string
	poolproxy string
}

func init() {
	// Children are to die with the thread that starts them (see child), so that must be the one that lives longest.
	runtime.LockOSThread()
}

func main() {
	if err := start(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// start gives this process its role.
func start(args []string) error {
	if len(args) > 1 && args[0] == childFlag {
		return startChild(args[1], args[2:])
	}
	s, err := parse(args)
	if err != nil {
		return err
	}
	if err := installHaproxy(); err != nil { // here, where the network is
		fmt.Fprintln(os.Stderr, "bench: HAPROXY IS LEFT OUT, AND WITH IT ALL RATIOS:", err)
	}
	if os.Geteuid() == 0 {
		if started, status := runInNamespace(); started {
			os.Exit(status)
		}
	}
	fmt.Fprintln(os.Stderr, "bench: without root it runs on the machine's own loopback, with congestion control", congestionControl())
	return runAll(s)
}

func startChild(role string, args []string) error {
	switch {
	case role == roleInside:
		s, err := parse(args)
		if err != nil {
			return err
		}
		s.namespace = true
		if err := prepareNamespace(s.congest); err != nil {
			return err
		}
		return runAll(s)
	case role == roleOrigin && len(args) == 1:
		return originMain(args[0])
	case role == roleLoad && len(args) == 1:
		return loadMain(args[0])
	case role == roleCopy && len(args) == 2:
		return copyMain(args[0], args[1])
	}
	return fmt.Errorf("no such role: %s %q", role, args)
}

func parse(args []string) (settings, error) {
	s := settings{arguments: args, length: fullLength, limit: 5*time.Minute + 30*time.Second}
	flags := flag.NewFlagSet("bench", flag.ExitOnError)
	short := flags.Bool("short", false, "3 rounds of short samples")
	only := flags.String("only", "", "only these `workloads` (requests-64,connect,...)")
	systems := flags.String("systems", "", "only these `systems` (haproxy,poolproxy-line,...)")
	flags.IntVar(&s.rounds, "rounds", 0, "number of rounds (default 5, with -short 3)")
	flags.StringVar(&s.out, "out", "", "write every sample to this `file`, as JSON")
	flags.BoolVar(&s.write, "write", false, "put the tables into the document")
	flags.StringVar(&s.document, "document", "docs/performance.md", "the `file` that -write changes")
	flags.StringVar(&s.congest, "cc", "reno", "congestion `control` in the namespace: reno, bbr, cubic")
	flags.StringVar(&s.poolproxy, "poolproxy", "", "measure this `binary` (default: build the working tree)")
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	if flags.NArg() > 0 {
		return s, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if *short {
		s.length, s.limit = shortLength, 75*time.Second
	}
	switch {
	case s.rounds < 0:
		return s, fmt.Errorf("-rounds is %d, must be positive", s.rounds)
	case s.rounds == 0 && *short:
		s.rounds = 3
	case s.rounds == 0:
		s.rounds = 5
	}
	s.only, s.systems = split(*only), split(*systems)
	return s, nil
}

func split(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' })
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
	b := &bench{settings: s, env: &environment{folder: folder, poolproxy: s.poolproxy}}
	version, missing, err := b.choose()
	if err != nil {
		return err
	}
	if err := b.start(); err != nil {
		return err
	}
	b.run()
	fmt.Println(b.report(version, missing, true))
	return b.save(version, missing)
}

// choose settles what is measured: the systems asked for, less those whose program is missing, which are named.
func (b *bench) choose() (version string, missing []string, err error) {
	b.workloads, err = choose(allWorkloads(b.settings.length), b.settings.only,
		func(w workload) string { return w.name }, func(workload) bool { return false })
	if err != nil {
		return "", nil, fmt.Errorf("-only: %w", err)
	}
	chosen, err := choose(allSystems, b.settings.systems,
		func(s system) string { return s.name }, func(s system) bool { return s.option })
	if err != nil {
		return "", nil, fmt.Errorf("-systems: %w", err)
	}
	reasons := map[string]string{}
	if version = haproxyVersion(); version == "" {
		reasons["haproxy"] = "it is not installed"
	}
	if err := nginxMissing(); err != nil {
		reasons["nginx"] = err.Error()
	}
	if b.env.poolproxy == "" {
		if b.env.poolproxy, err = buildPoolproxy(b.env.folder); err != nil {
			reasons["poolproxy"] = err.Error()
		}
	}
	for _, s := range chosen {
		if why, gone := reasons[s.needs]; gone {
			missing = append(missing, s.name+": "+oneLine(why))
			fmt.Fprintf(os.Stderr, "bench: %s IS LEFT OUT: %s\n", strings.ToUpper(s.name), oneLine(why))
			continue
		}
		b.systems = append(b.systems, s)
	}
	return version, missing, nil
}

// save writes what -out and -write ask for.
func (b *bench) save(version string, missing []string) error {
	if b.settings.out != "" {
		text, err := json.MarshalIndent(b.results, "", "  ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(b.settings.out, append(text, '\n'), 0o644); err != nil {
			return fmt.Errorf("-out: %w", err)
		}
	}
	if b.settings.write {
		return writeDocument(b.settings.document, b.report(version, missing, false))
	}
	return nil
}
