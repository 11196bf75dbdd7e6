package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/poolproxy/poolproxy/internal/workload"
)

// chaosClient is what poolproxy chaos client was asked for.
type chaosClient struct {
	address, kind, page, host string
	sessions, pipeline        int
	requests                  uint64
	duration, pause, timeout  time.Duration
	unsafe                    share
	unprotected, json         bool
	compare, small            bool
	journals, redis           list
	command                   []string
	stdout, stderr            io.Writer
}

// share is a part of all: "10%", or 0.1.
type share float64

func (s *share) String() string { return strconv.FormatFloat(100*float64(*s), 'f', -1, 64) + "%" }

func (s *share) Set(text string) error {
	number, percent := strings.CutSuffix(text, "%")
	v, err := strconv.ParseFloat(number, 64)
	if percent {
		v /= 100
	}
	if err != nil || !(v >= 0 && v <= 1) {
		return fmt.Errorf("%q is no share from 0%% to 100%%", text)
	}
	*s = share(v)
	return nil
}

// list is a flag that may be given several times.
type list []string

func (l *list) String() string { return strings.Join(*l, ",") }

func (l *list) Set(text string) error {
	*l = append(*l, text)
	return nil
}

// chaosClientCommand sends a checked workload, or runs a command again and again, and says what was lost, doubled or mixed.
func chaosClientCommand(args []string, stdout, stderr io.Writer) int {
	c := &chaosClient{unsafe: 0.1, stdout: stdout, stderr: stderr}
	flags := c.flags(stderr)
	switch err := flags.Parse(args); {
	case err == flag.ErrHelp:
		return exitOK
	case err != nil: // package flag has said what is wrong
		return exitUsage
	}
	c.command = flags.Args()
	if err := c.check(flags, args); err != nil {
		fmt.Fprintln(stderr, "poolproxy chaos client:", err)
		return exitUsage
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	run := c.workload
	if len(c.command) > 0 {
		run = c.repeat
	}
	good, err := run(ctx)
	if err != nil {
		fmt.Fprintln(stderr, "poolproxy chaos client:", err)
		return exitFailed
	}
	if !good {
		return exitFailed
	}
	return exitOK
}

func (c *chaosClient) flags(stderr io.Writer) *flag.FlagSet {
	flags := newFlags("chaos client", stderr)
	flags.StringVar(&c.address, "address", "", "`address` of the pool_user that is tried")
	flags.StringVar(&c.kind, "kind", string(workload.Line), "what is spoken: line, length, http, redis or stream")
	flags.StringVar(&c.page, "get", "", "with kind http: any server's page `path`, of which all answers must be as the first one is")
	flags.StringVar(&c.host, "host", "", "with -get: what the server is asked for as its name (the field Host); by default the address")
	flags.IntVar(&c.sessions, "sessions", 4, "how many sessions, or commands, there are at once")
	flags.DurationVar(&c.duration, "for", 0, "how long it goes on; by default until it is interrupted")
	flags.IntVar(&c.pipeline, "pipeline", 1, "how many requests of a session may wait for their replies at once")
	flags.Uint64Var(&c.requests, "requests", 1000, "how many requests there are in a session; then another one begins")
	flags.DurationVar(&c.pause, "pause", 10*time.Millisecond, "how long a session waits before the next request, or the next pipeline, and a command before its next run")
	flags.Var(&c.unsafe, "unsafe", "`share` of requests that must not be carried out twice")
	flags.BoolVar(&c.small, "small", false, "no content longer than 4 KiB: less load, and less is tried")
	flags.DurationVar(&c.timeout, "timeout", time.Minute, "how long a reply, or a run of the command, may take")
	flags.BoolVar(&c.unprotected, "unprotected", false, "sessions are not protected: they may end by an error or a reset, never by what looks like completion")
	flags.Var(&c.journals, "journal", "`file` that a server (poolproxy chaos serve -journal) writes; give those of all servers, each by its own -journal")
	flags.Var(&c.redis, "redis", "`address` of a redis server behind the pool: it gets the data that is read, and is asked at the end what it has carried out")
	flags.BoolVar(&c.json, "json", false, "the verdict as JSON; what happens meanwhile goes to standard error")
	flags.BoolVar(&c.compare, "compare", false, "with a command: its output must always be that of its first run")
	setUsage(flags, func() {
		fmt.Fprint(stderr, "Usage: poolproxy chaos client -address ADDRESS [-kind KIND] [FLAG ...]\n"+
			"       poolproxy chaos client -address ADDRESS -kind http -get PATH [FLAG ...]\n"+
			"       poolproxy chaos client [-sessions N] [-for D] [-compare] [FLAG ...] -- COMMAND [ARGUMENT ...]\n\n"+
			"Exit status 0: nothing was lost, doubled or mixed.\n\n")
		flags.PrintDefaults()
	})
	return flags
}

// check refuses what makes no sense together.
func (c *chaosClient) check(flags *flag.FlagSet, args []string) error {
	given := make(map[string]bool)
	flags.Visit(func(f *flag.Flag) { given[f.Name] = true })
	kind, err := workload.ParseKind(c.kind)
	switch {
	case err != nil:
		return err
	case c.sessions < 1 || c.sessions > 100_000 || c.pipeline < 1 || c.pipeline > 10_000 || c.requests < 1 || c.requests > workload.MaxNumber:
		return fmt.Errorf("-sessions is 1 to 100000, -pipeline 1 to 10000, -requests 1 to %d", workload.MaxNumber)
	case c.duration < 0 || c.pause < 0 || c.timeout <= 0:
		return fmt.Errorf("-for, -pause and -timeout cannot be negative, and -timeout not 0")
	}
	if len(c.command) > 0 {
		if !slices.Contains(args, "--") {
			return fmt.Errorf("unexpected argument %q; a command to be run stands behind --", c.command[0])
		}
		for _, name := range []string{"address", "kind", "get", "host", "pipeline", "requests", "unsafe", "small", "unprotected", "journal", "redis"} {
			if given[name] {
				return fmt.Errorf("-%s is for the built-in workload, not for a command", name)
			}
		}
		return nil
	}
	return c.checkWorkload(kind, given)
}

func (c *chaosClient) checkWorkload(kind workload.Kind, given map[string]bool) error {
	switch {
	case c.address == "":
		return fmt.Errorf("-address is missing: where the pool_user listens")
	case c.compare:
		return fmt.Errorf("-compare is for a command, which stands behind --; the built-in workload is always compared")
	case c.page != "" && (kind != workload.HTTP || given["unsafe"] || given["pipeline"] || given["journal"] || given["small"]):
		return fmt.Errorf("-get goes with -kind http, and not with -unsafe, -pipeline, -small and -journal")
	case c.host != "" && c.page == "":
		return fmt.Errorf("-host goes with -get")
	case (kind == workload.Redis) != (len(c.redis) > 0):
		return fmt.Errorf("-kind redis goes with -redis ADDRESS, for each server behind the pool: they must have the data that is read")
	case kind == workload.Redis && given["journal"]:
		return fmt.Errorf("-journal is for poolproxy chaos serve; redis servers are asked themselves (-redis)")
	}
	return nil
}

// begin begins what -for says, when all is prepared.
func (c *chaosClient) begin(ctx context.Context) (context.Context, context.CancelFunc) {
	if c.duration > 0 {
		return context.WithTimeout(ctx, c.duration)
	}
	return context.WithCancel(ctx)
}

// workload runs the built-in one.
func (c *chaosClient) workload(ctx context.Context) (bool, error) {
	kind := workload.Kind(c.kind)
	for _, address := range c.redis {
		if err := workload.LoadRedis(ctx, address); err != nil {
			return false, err
		}
	}
	told := newTeller(c)
	fleet := &workload.Fleet{
		Client: workload.Client{Kind: kind, Address: c.address, Session: rand.Uint64()&^(1<<24-1) + 1, Window: c.pipeline, Timeout: c.timeout,
			Events: told.event},
		Plan:     workload.Plan{Kind: kind, Seed: rand.Uint64(), Requests: c.requests, Pause: c.pause, Unsafe: float64(c.unsafe), Small: c.small},
		Sessions: c.sessions,
		Ended:    told.ended,
	}
	if c.page != "" {
		host := c.host
		if host == "" {
			host = c.address
		}
		page, err := workload.FetchPage(ctx, c.address, host, c.page)
		if err != nil {
			return false, err
		}
		fleet.Client.Page, fleet.Plan.Unsafe = page, 0
	}
	ctx, cancel := c.begin(ctx)
	defer cancel()
	reports := fleet.Run(ctx)
	entries, unknown := c.entries()
	promise := workload.Promise{Protected: !c.unprotected, Journals: unknown == nil && len(c.journals)+len(c.redis) > 0}
	verdict := workload.Judge(reports, entries, promise)
	if err := c.verdict(verdict, reports, promise.Journals || c.page != ""); err != nil {
		return false, err
	}
	if unknown != nil {
		return false, fmt.Errorf("what servers have carried out is not known, so what was done twice is not found: %w", unknown)
	}
	return proved(verdict), nil
}

// entries are what the servers have carried out.
func (c *chaosClient) entries() (all []workload.Entry, err error) {
	for _, path := range c.journals {
		entries, err := workload.ReadJournal(path)
		if err != nil {
			return nil, err
		}
		all = append(all, entries...)
	}
	for _, address := range c.redis {
		entries, err := askRedis(address)
		if err != nil {
			return nil, err
		}
		all = append(all, entries...)
	}
	return all, nil
}

// redisPatience is how long a redis server that has just been killed may take to serve again.
const redisPatience = 10 * time.Second

// askRedis asks a server what it has carried out.
func askRedis(address string) ([]workload.Entry, error) {
	for deadline := time.Now().Add(redisPatience); ; time.Sleep(redisPatience / 100) {
		entries, err := workload.LoadedRedis(context.Background(), address, address)
		if err == nil || time.Now().After(deadline) {
			return entries, err
		}
	}
}
