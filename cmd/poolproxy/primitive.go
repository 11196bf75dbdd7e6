package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/poolproxy/poolproxy/admin"
)

// primitive is one of the commands that ask a running proxy's handlespace.
type primitive struct {
	flags   *flag.FlagSet
	words   []string                   // what its arguments are called
	advice  map[admin.ErrorCode]string // what people can do about errors
	asJSON  *bool
	address *adminPlace
	stdout  io.Writer
	stderr  io.Writer
}

// newPrimitive begins a command whose arguments are called by these words.
func newPrimitive(name string, stdout, stderr io.Writer, words ...string) *primitive {
	flags := newFlags(name, stderr)
	p := &primitive{flags: flags, words: words, stdout: stdout, stderr: stderr, advice: maps.Clone(advice)}
	p.asJSON = flags.Bool("json", false, "print JSON, errors too")
	p.address = adminFlags(flags)
	setUsage(flags, func() {
		fmt.Fprintf(flags.Output(), "Usage: %s [FLAG ...]\n", strings.Join(append([]string{flags.Name()}, words...), " "))
		flags.PrintDefaults()
		fmt.Fprint(flags.Output(), "\n"+exitStatuses())
	})
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
	{admin.UnknownElement, 10, "unknown element"},
	{admin.NotReloaded, 11, "the configuration was not reloaded"},
	{admin.NeedsRestart, 12, "it was not, because that needs a restart"},
}

// advice is what to do about errors of all commands; some have a better one.
var advice = map[admin.ErrorCode]string{
	admin.UnknownPool:    "Check the name of the pool; or ask another proxy: -admin",
	admin.EmptyPool:      "Try again when a server is there, or put one into the pool: poolproxy register",
	admin.Inconsistent:   "Leave -policy out, or write that of the pool; if its source says so, those who registered first have another policy than this proxy's configuration",
	admin.Duplicate:      "Choose another -name, or take the other one out: poolproxy registrations has the ids of those that are registered with this proxy",
	admin.UnknownElement: "Check the name, poolproxy status has those that the proxy knows; or ask another proxy: -admin",
	admin.SourceDown:     "Try again when it is back; poolproxy status shows how it stands",
	admin.UnknownID:      "poolproxy registrations has the ids of those that are registered with this proxy",
	admin.Unauthorized:   "Write -token-file FILE: the proxy's admin.token_file says which one",
	admin.NoRegistry:     "Put the server where this source looks for it; or register in a pool without a source, or with one that takes registrations",
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
	if err == nil {
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
		lines := strings.Split(told.Error.Message, "\n")
		for i := range lines {
			lines[i] = strings.Map(printable, lines[i])
		}
		message := strings.Join(lines, "\n  ")
		if f != nil {
			message = fmt.Sprintf("the proxy at %s says: %s", *p.address, message)
		}
		if advice := p.advice[told.Error.Code]; advice != "" {
			message += ". " + advice
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
func askAdmin(ctx context.Context, address adminPlace, method, path string, body any) ([]byte, error) {
	status, text, err := callAdmin(ctx, address, method, path, body)
	if err != nil {
		return nil, err
	}
	return adminAnswer(address, status, text)
}

// adminAnswer is the answer of the admin API, or a *failed.
func adminAnswer(address adminPlace, status int, text []byte) ([]byte, error) {
	if status < 300 {
		return text, nil
	}
	var f failed
	if json.Unmarshal(text, &f.told) != nil || f.Error() == "" {
		return nil, fmt.Errorf("%s answers %d %s; is it the admin API of a poolproxy of this version? Check -admin", address, status, http.StatusText(status))
	}
	return nil, &f
}

// jsonBody is a value as the body of a request; nil is none.
func jsonBody(value any) (io.Reader, error) {
	if value == nil {
		return http.NoBody, nil
	}
	text, err := json.Marshal(value)
	return bytes.NewReader(text), err
}
