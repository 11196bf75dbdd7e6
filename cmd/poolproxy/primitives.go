package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/poolproxy/poolproxy/admin"
)

// primitive is one of the commands that ask a running proxy's handlespace.
type primitive struct {
	flags   *flag.FlagSet
	name    string
	words   []string // what its arguments are called
	asJSON  *bool
	address *string
	stdout  io.Writer
	stderr  io.Writer
}

// newPrimitive begins a command whose arguments are called by these words.
func newPrimitive(name string, stdout, stderr io.Writer, words ...string) *primitive {
	flags := newFlags(name, stderr)
	p := &primitive{flags: flags, name: name, words: words, stdout: stdout, stderr: stderr}
	p.asJSON = flags.Bool("json", false, "print JSON, errors too")
	p.address = flags.String("admin", defaultAdminAddress, "`ADDRESS` of the proxy's admin API (admin.listen)")
	flags.Usage = func() {
		fmt.Fprintf(flags.Output(), "Usage: %s %s[-json] [-admin ADDRESS]\n", flags.Name(), strings.Join(append(slices.Clone(words), ""), " "))
		flags.PrintDefaults()
		fmt.Fprint(flags.Output(), "\n"+exitStatuses())
	}
	return p
}

// exits are the exit statuses of the errors that the admin API tells by a code, beside exitFailed and exitUsage.
var exits = []struct {
	code   admin.ErrorCode
	status int
	what   string
}{
	{admin.BadRequest, exitUsage, ""},
	{admin.UnknownPool, 3, "unknown pool"},
	{admin.EmptyPool, 4, "empty pool"},
	{admin.Inconsistent, 5, "inconsistent policy"},
	{admin.Duplicate, 6, "duplicate id: another element of the pool has the name"},
	{admin.SourceDown, 7, "the pool's source is down"},
	{admin.UnknownID, 8, "unknown registration"},
	{admin.NoRegistry, 9, "the pool's source takes no registrations"},
}

// exitStatuses tells people what they mean.
func exitStatuses() string {
	text := "Exit status: 0 success, 1 failure, 2 wrong usage"
	for _, e := range exits {
		if e.what != "" {
			text += fmt.Sprintf(", %d %s", e.status, e.what)
		}
	}
	return text + ".\n"
}

// parse parses flags that may stand before, between and behind the arguments. When it is not ok, the command ends with the status.
func (p *primitive) parse(args []string) (words []string, status int, ok bool) {
	for {
		switch err := p.flags.Parse(args); {
		case errors.Is(err, flag.ErrHelp):
			return nil, exitOK, false
		case err != nil: // package flag has said what is wrong
			return nil, exitUsage, false
		}
		rest := p.flags.Args()
		if at := len(args) - len(rest); at > 0 && args[at-1] == "--" || len(rest) == 0 {
			words = append(words, rest...)
			break
		}
		words, args = append(words, rest[0]), rest[1:]
	}
	switch {
	case len(words) > len(p.words):
		return nil, p.wrong("unexpected argument %q", words[len(p.words)]), false
	case len(words) < len(p.words):
		return nil, p.wrong("%s is missing", p.words[len(words)]), false
	case slices.Contains(words, ""):
		return nil, p.wrong("%s is empty", p.words[slices.Index(words, "")]), false
	}
	return words, exitOK, true
}

// wrong says that the command is used wrongly.
func (p *primitive) wrong(format string, args ...any) int {
	fmt.Fprintf(p.stderr, "%s: %s\n", p.flags.Name(), fmt.Sprintf(format, args...))
	p.flags.Usage()
	return exitUsage
}

// failed is an error that the admin API has told.
type failed struct{ told admin.Failure }

func (f *failed) Error() string { return f.told.Error.Message }

// ask asks the admin API, and has text print the answer for people.
func (p *primitive) ask(method, path string, body, answer any, text func()) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	raw, err := askAdmin(ctx, *p.address, method, path, body)
	if err == nil && !*p.asJSON {
		if err = json.Unmarshal(raw, answer); err != nil {
			err = fmt.Errorf("the answer of %s is not what was asked for; is it the admin API of a poolproxy of this version? %w", *p.address, err)
		}
	}
	switch {
	case err != nil:
		return p.fail(err)
	case *p.asJSON:
		p.stdout.Write(raw)
	default:
		text()
	}
	return exitOK
}

// fail prints an error, and returns the exit status of its kind.
func (p *primitive) fail(err error) int {
	told := admin.Failure{}
	told.Error.Code, told.Error.Message = admin.Failed, err.Error()
	var f *failed
	if errors.As(err, &f) {
		told = f.told
	}
	if *p.asJSON {
		text, err := json.MarshalIndent(told, "", "  ")
		if err != nil {
			fmt.Fprintln(p.stderr, p.flags.Name()+":", err)
			return exitFailed
		}
		p.stdout.Write(append(text, '\n'))
	} else {
		message := strings.Map(printable, told.Error.Message)
		if f != nil {
			message += fmt.Sprintf(" (the proxy at %s says so)", *p.address)
		}
		fmt.Fprintf(p.stderr, "%s: %s\n", p.flags.Name(), message)
	}
	for _, e := range exits {
		if e.code == told.Error.Code {
			return e.status
		}
	}
	return exitFailed
}

// askAdmin asks the admin API; the body, if there is one, and the answer are JSON. A *failed is an error that it has told.
func askAdmin(ctx context.Context, address, method, path string, body any) ([]byte, error) {
	status, text, err := callAdmin(ctx, address, method, path, body)
	if err != nil {
		return nil, err
	}
	if status < 300 {
		return text, nil
	}
	var f failed
	if json.Unmarshal(text, &f.told) != nil || f.Error() == "" {
		return nil, fmt.Errorf("%s answers %d %s; is it the admin API of a poolproxy of this version? Check -admin", address, status, http.StatusText(status))
	}
	return nil, &f
}

// resolveCommand names the primary server of a pool.
func resolveCommand(args []string, stdout, stderr io.Writer) int {
	p := newPrimitive("resolve", stdout, stderr, "POOL")
	words, status, ok := p.parse(args)
	if !ok {
		return status
	}
	var a admin.Answer
	return p.ask(http.MethodGet, "/v1/pools/"+url.PathEscape(words[0])+"/primary", nil, &a, func() { p.server(&a) })
}

// nextCommand says that a server has failed, and names the next one.
func nextCommand(args []string, stdout, stderr io.Writer) int {
	p := newPrimitive("next", stdout, stderr, "POOL", "LAST")
	refresh := p.flags.Bool("refresh", false, "ask the pool's source first")
	words, status, ok := p.parse(args)
	if !ok {
		return status
	}
	var a admin.Answer
	return p.ask(http.MethodPost, "/v1/pools/"+url.PathEscape(words[0])+"/next", admin.Next{Last: words[1], Refresh: *refresh}, &a, func() {
		p.server(&a)
		switch {
		case !a.Reported:
			p.note("%q is no element of pool %q (any more): nobody was reported", words[1], words[0])
		case a.Same:
			p.note("pool %q has no other element: it is the same one again", words[0])
		}
	})
}

// server prints the address of a server, and nothing else, so that scripts can use it. What there is to say besides goes elsewhere.
func (p *primitive) server(a *admin.Answer) {
	fmt.Fprintln(p.stdout, a.Address)
	if a.Warning != "" {
		p.note("what was known %s ago counts: %s", shortDuration(a.Age), a.Warning)
	}
}

// note tells people something besides the answer.
func (p *primitive) note(format string, args ...any) {
	fmt.Fprintf(p.stderr, "%s: %s\n", p.flags.Name(), strings.Map(printable, fmt.Sprintf(format, args...)))
}

// registerCommand puts a server into a pool.
func registerCommand(args []string, stdout, stderr io.Writer) int {
	p := newPrimitive("register", stdout, stderr, "POOL")
	var r, a admin.Registration
	p.flags.StringVar(&r.Address, "address", "", "`IP:PORT` at which the server is reached; must be given")
	p.flags.StringVar(&r.Element, "name", "", "`NAME` of the element, unique in its pool (default its address)")
	p.flags.StringVar(&r.Mapping, "mapping", "", "by which it is reached: none, tcp or sctp (default that of the pool)")
	p.flags.StringVar(&r.Policy, "policy", "", "of the pool, as the server knows it: another one is an error (default that of the pool)")
	p.value(&r.Weight, "weight", "its share of service among others (default 1)")
	p.value(&r.Priority, "priority", "larger is better (default 0)")
	p.share(&r.Load, "load", "how much it is used, from 0% to 100%")
	p.share(&r.Degradation, "degradation", "by how much one more session uses it, from 0% to 100%")
	words, status, ok := p.parse(args)
	if !ok {
		return status
	}
	if r.Address == "" {
		return p.wrong("-address is missing")
	}
	r.Pool = words[0]
	return p.ask(http.MethodPost, "/v1/registrations", &r, &a, func() { fmt.Fprintln(stdout, a.ID) })
}

// value adds a policy value to the flags.
func (p *primitive) value(to **uint32, name, usage string) {
	p.flags.Func(name, "`NUMBER`: "+usage, func(text string) error {
		n, err := strconv.ParseUint(text, 10, 32)
		if err != nil {
			return fmt.Errorf("it must be from 0 to %d", uint32(math.MaxUint32))
		}
		v := uint32(n)
		*to = &v
		return nil
	})
}

// share adds a policy value that is a share to the flags.
func (p *primitive) share(to **uint32, name, usage string) {
	p.flags.Func(name, "`SHARE`: "+usage, func(text string) error {
		f, err := strconv.ParseFloat(strings.TrimSuffix(text, "%"), 64)
		if err != nil || !strings.HasSuffix(text, "%") || !(f >= 0 && f <= 100) {
			return errors.New("shares are from 0% to 100%, as in 12.5%")
		}
		v := uint32(math.Round(f / 100 * math.MaxUint32)) // RFC 5356 §3.1
		*to = &v
		return nil
	})
}

// deregisterCommand ends a registration.
func deregisterCommand(args []string, stdout, stderr io.Writer) int {
	p := newPrimitive("deregister", stdout, stderr, "ID")
	words, status, ok := p.parse(args)
	if !ok {
		return status
	}
	var a admin.Registration
	return p.ask(http.MethodDelete, "/v1/registrations/"+url.PathEscape(words[0]), nil, &a, func() {
		fmt.Fprintf(stdout, "element %q is no longer registered in pool %q\n", a.Element, a.Pool)
	})
}

// registrationsCommand lists what is registered with a proxy.
func registrationsCommand(args []string, stdout, stderr io.Writer) int {
	p := newPrimitive("registrations", stdout, stderr)
	_, status, ok := p.parse(args)
	if !ok {
		return status
	}
	var all []admin.Registration
	return p.ask(http.MethodGet, "/v1/registrations", nil, &all, func() {
		var rows [][]string
		for _, r := range all {
			rows = append(rows, []string{r.ID, r.Pool, r.Element, r.Address, r.Mapping, r.Policy, r.Standing})
		}
		if len(rows) == 0 {
			fmt.Fprintln(stdout, "nothing is registered with this proxy")
			return
		}
		table(stdout, "Registrations", []string{"ID", "POOL", "ELEMENT", "ADDRESS", "MAPPING", "POLICY", "STANDING"}, rows)
	})
}

// jsonBody is a value as the body of a request; nil is none.
func jsonBody(value any) (io.Reader, error) {
	if value == nil {
		return http.NoBody, nil
	}
	text, err := json.Marshal(value)
	return bytes.NewReader(text), err
}
