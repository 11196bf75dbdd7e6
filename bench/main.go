//go:build linux

// Bench compares two poolproxy sidecars with two chained HAProxy, in one interleaved run, and prints a table.
//
//	go run ./bench            all of it, at most 12 minutes for each congestion control
//	go run ./bench -short     less than 2 minutes: is anything much worse than docs/performance.md says?
//	go run ./bench -write     put the tables into docs/performance.md, and into bench/results.json what -short compares with
//
// docs/performance.md says what is measured, and how.
package main

import (
	"errors"
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
	roleLink   = "link"   // a bad path between two hops
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
	congest   []string // congestion controls; the tables of the first are the ones that count
	poolproxy string
	short     bool
	baseline  string
	growth    bool
	series    []string // of growth; none: all
	instructs bool     // count instructions, and nothing else
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
		loadModules(s.congest) // here, where modules can be loaded
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
		if err := prepareNamespace(); err != nil {
			return err
		}
		return runAll(s)
	case role == roleOrigin && len(args) == 1:
		return originMain(args[0])
	case role == roleLoad && len(args) == 1:
		return loadMain(args[0])
	case role == roleLink && len(args) == 1:
		return linkMain(args[0])
	case role == roleCopy && len(args) == 2:
		return copyMain(args[0], args[1])
	}
	return fmt.Errorf("no such role: %s %q", role, args)
}

func parse(args []string) (settings, error) {
	s := settings{arguments: args, length: fullLength, limit: 12 * time.Minute}
	flags := flag.NewFlagSet("bench", flag.ExitOnError)
	flags.BoolVar(&s.short, "short", false, "short samples of what matters most, compared with what the document says")
	only := flags.String("only", "", "only these `workloads` (requests-64,connect,...)")
	systems := flags.String("systems", "", "only these `systems` (haproxy,poolproxy-line,...)")
	flags.IntVar(&s.rounds, "rounds", 0, "number of rounds (default 5, with -short 3)")
	flags.StringVar(&s.out, "out", "", "write every sample to this `file`, as JSON")
	flags.BoolVar(&s.write, "write", false, "put the tables into the document")
	flags.StringVar(&s.document, "document", "docs/performance.md", "the `file` that -write changes")
	congest := flags.String("cc", "reno", "congestion `controls` in the namespace, one after the other: reno,bbr,cubic")
	flags.BoolVar(&s.growth, "growth", false, "also measure and plot how costs grow")
	flags.BoolVar(&s.instructs, "instructions", false, "count instructions a request with callgrind, and nothing else")
	series := flags.String("series", "", "measure only these `series` of -growth (sessions,size,...), and nothing else")
	flags.StringVar(&s.baseline, "baseline", "bench/results.json", "the `file` that -write changes, too, and -short compares with")
	flags.StringVar(&s.poolproxy, "poolproxy", "", "measure this `binary` (default: build the working tree)")
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	if flags.NArg() > 0 {
		return s, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	s.series = split(*series)
	s.only, s.systems, s.congest = split(*only), split(*systems), split(*congest)
	return s, s.complete()
}

// complete fills in what was not said, and checks what was.
func (s *settings) complete() error {
	if s.short {
		s.length, s.limit = shortLength, 80*time.Second
		if len(s.only) == 0 {
			s.only = shortWorkloads
		}
		if len(s.systems) == 0 {
			s.systems = shortSystems
		}
	}
	switch {
	case s.rounds < 0:
		return fmt.Errorf("-rounds is %d, must be positive", s.rounds)
	case len(s.congest) == 0:
		return errors.New("-cc names no congestion control")
	case s.short && s.write:
		return errors.New("-short is too rough to be written down: leave out -write or -short")
	case s.rounds == 0 && s.short:
		s.rounds = 3
	case s.rounds == 0:
		s.rounds = 5
	}
	return nil
}

func split(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' })
}
