package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/poolproxy/poolproxy/cmd/poolproxy/chaos"
)

// chaosAttackCommand disturbs a running deployment, and reports what became of its sessions.
func chaosAttackCommand(args []string, stdout, stderr io.Writer) int {
	flags := newFlags("chaos", stderr)
	places := adminsFlags(flags)
	a := &chaos.Attack{}
	kinds := flags.String("kinds", strings.Join(chaos.Kinds, ","), "which `KINDS` of disturbances, with commas between them")
	hold := flags.String("hold", "1s..3s", "how long each lasts: a `DURATION`, or between two, as in 1s..3s")
	flags.StringVar(&a.Pool, "pool", "", "the `POOL` to disturb; without it all that allow it")
	flags.DurationVar(&a.Every, "every", 2*time.Second, "the least time between the beginnings of two")
	flags.DurationVar(&a.For, "for", time.Minute, "after this nothing new begins")
	flags.DurationVar(&a.Delay, "delay", 100*time.Millisecond, "how late the kind delay makes what is carried")
	flags.IntVar(&a.Count, "count", 1, "how many associations, or legs of sessions, one disturbance hits at most")
	flags.IntVar(&a.Radius, "radius", 1, "how many elements are disturbed at a time at most; all living ones of a pool only if this is said, and as large as the pool")
	flags.BoolVar(&a.Overlap, "overlap", false, "begin new ones while others go on, or while sessions are in a pause")
	flags.Uint64Var(&a.Seed, "seed", 0, "what is chosen depends on this and on what there is; 0: a random one, which is printed")
	dry := flags.Bool("dry-run", false, "say what would be hit with this seed as things are now, and do nothing")
	asJSON := flags.Bool("json", false, "print JSON: an object a line, the report is the last")
	setUsage(flags, func() {
		fmt.Fprint(flags.Output(), "Usage: poolproxy chaos [-dry-run] [-admin ADDRESS] ... [FLAG ...]   disturb what runs, and report\n")
		for _, c := range chaosCommands() {
			fmt.Fprintf(flags.Output(), "       poolproxy chaos %-44s %s\n", c.name+" [FLAG ...]", c.summary)
		}
		fmt.Fprint(flags.Output(), "\nOnly what has chaos = true in its configuration is disturbed. Ctrl-C undoes everything.\n\n")
		flags.PrintDefaults()
	})
	if status, ok := parse(flags, args); !ok {
		return status
	}
	if err := chaosSettings(a, *kinds, *hold, flags); err != nil {
		fmt.Fprintf(stderr, "poolproxy chaos: %v\n", err)
		flags.Usage()
		return exitUsage
	}
	var err error
	if a.Peers, err = chaosPeers(places); err != nil {
		fmt.Fprintf(stderr, "poolproxy chaos: %v\n", err)
		return exitUsage
	}
	if a.Say = chaos.Text(stdout); *asJSON {
		a.Say = chaos.JSON(stdout)
	}
	return attack(a, *dry, stderr)
}

// attack carries out an attack. The first signal stops it in order, a second one gives up.
func attack(a *chaos.Attack, dry bool, stderr io.Writer) int {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	soft, stop := context.WithCancel(context.Background())
	hard, giveUp := context.WithCancel(context.Background())
	defer giveUp()
	go func() { // ends with the second signal, or with the command
		for _, end := range []func(){stop, giveUp} {
			select {
			case <-signals:
				end()
			case <-hard.Done():
				return
			}
		}
	}()
	defer stop()
	err := a.Prepare(soft)
	good := true
	switch {
	case err != nil:
	case dry:
		err = a.DryRun(soft)
	default:
		var report *chaos.Report
		report, err = a.Run(soft, hard)
		good = report == nil || report.Good()
	}
	if err != nil {
		if soft.Err() != nil && errors.Is(err, context.Canceled) {
			err = errors.New("interrupted")
		}
		fmt.Fprintf(stderr, "poolproxy chaos: %v\n", err)
	}
	if err != nil || !good {
		return exitFailed
	}
	return exitOK
}

// chaosSettings checks what the user has said, and takes what flags cannot.
func chaosSettings(a *chaos.Attack, kinds, hold string, flags *flag.FlagSet) error {
	for kind := range strings.SplitSeq(kinds, ",") {
		kind = strings.TrimSpace(kind)
		switch {
		case !slices.Contains(chaos.Kinds, kind):
			return fmt.Errorf("-kinds: there is no kind %q; there are %s", kind, strings.Join(chaos.Kinds, ", "))
		case !slices.Contains(a.Kinds, kind):
			a.Kinds = append(a.Kinds, kind)
		}
	}
	least, most, both := strings.Cut(hold, "..")
	if !both {
		most = least
	}
	var err, other error
	a.HoldMin, err = time.ParseDuration(least)
	a.HoldMax, other = time.ParseDuration(most)
	flags.Visit(func(f *flag.Flag) { a.RadiusSaid = a.RadiusSaid || f.Name == "radius" })
	for a.Seed == 0 {
		a.Seed = uint64(rand.Uint32()) // short enough to be typed
	}
	switch {
	case errors.Join(err, other) != nil || a.HoldMin <= 0 || a.HoldMax < a.HoldMin || a.HoldMax > chaos.LongestHold:
		return fmt.Errorf("-hold %q is no duration up to %v, nor two with .. between them, as in 1s..3s", hold, chaos.LongestHold)
	case a.Every <= 0 || a.For <= 0:
		return errors.New("-every and -for must be more than 0")
	case a.Delay <= 0 || a.Delay > time.Minute:
		return errors.New("-delay must be more than 0, and at most 1m")
	case a.Count < 1 || a.Radius < 1:
		return errors.New("-count and -radius must be at least 1")
	}
	return nil
}

// chaosStopCommand undoes everything at all addresses.
func chaosStopCommand(args []string, stdout, stderr io.Writer) int {
	flags := newFlags("chaos stop", stderr)
	places := adminsFlags(flags)
	asJSON := flags.Bool("json", false, "print JSON: an object a line")
	if status, ok := parse(flags, args); !ok {
		return status
	}
	peers, err := chaosPeers(places)
	if err != nil {
		fmt.Fprintf(stderr, "poolproxy chaos stop: %v\n", err)
		return exitUsage
	}
	say := chaos.Text(stdout)
	if *asJSON {
		say = chaos.JSON(stdout)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := chaos.Stop(ctx, peers, say); err != nil {
		fmt.Fprintf(stderr, "poolproxy chaos stop: %v\n", err)
		return exitFailed
	}
	return exitOK
}

// chaosPeers are the processes at the addresses, each once.
func chaosPeers(places *adminPlaces) ([]*chaos.Peer, error) {
	all, err := places.all()
	if err != nil {
		return nil, err
	}
	var peers []*chaos.Peer
	for _, at := range all {
		if slices.ContainsFunc(peers, func(p *chaos.Peer) bool { return p.Address == at.address }) {
			return nil, fmt.Errorf("-admin %s was said twice", at)
		}
		peers = append(peers, &chaos.Peer{Address: at.address, Call: func(ctx context.Context, method, path string, body any) (int, []byte, error) {
			return callAdmin(ctx, at, method, path, body)
		}})
	}
	return peers, nil
}
