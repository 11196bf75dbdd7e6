package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/poolproxy/poolproxy/admin"
	"github.com/poolproxy/poolproxy/dns"
	"github.com/poolproxy/poolproxy/dns/dnstest"
	"github.com/poolproxy/poolproxy/internal/porttest"
	"github.com/poolproxy/poolproxy/mapping"
	"github.com/poolproxy/poolproxy/pool"
	"github.com/poolproxy/poolproxy/proxy"
)

// cut is a registry that the test can cut off.
type cut struct {
	mu  sync.Mutex
	off bool
}

var errCut = errors.New("no route to the registry")

func (c *cut) turn(off bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.off = off
}

func (c *cut) err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.off {
		return errCut
	}
	return nil
}

func (c *cut) Follow(_ string, told func(pool.News)) (stop func()) {
	told(pool.News{Elements: []pool.Element{{Name: "far", Address: netip.MustParseAddrPort("10.0.0.21:7001")}}})
	return func() {}
}

func (c *cut) Refresh(context.Context, string) error { return c.err() }

func (c *cut) Register(_ pool.Registration, told func(error)) (pool.Registered, error) {
	told(c.err())
	return cutElement{c}, nil
}

type cutElement struct{ c *cut }

func (cutElement) Revalue(pool.Element)               {}
func (e cutElement) Deregister(context.Context) error { return e.c.err() }

// asked runs commands against a whole process.
type asked struct {
	*testing.T
	admin    netip.AddrPort
	registry *cut
	log      logText
}

// newAsked runs one with these pools: orders has element a, by name; empty has none; loaded wants loads; silent is known to a name server
// that does not answer; far to a registry.
func newAsked(t *testing.T) *asked {
	t.Helper()
	nobody, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nobody.Close() })
	names, err := dns.New(dns.Config{Name: "{pool}.test", Timeout: 50 * time.Millisecond, Servers: []netip.AddrPort{nobody.LocalAddr().(*net.UDPAddr).AddrPort()}})
	if err != nil {
		t.Fatal(err)
	}
	a := &asked{T: t, admin: porttest.Free(t), registry: &cut{}}
	c := proxy.Config{Admin: proxy.Admin{Listen: a.admin}, Pools: []proxy.Pool{
		{Handle: "orders", Mapping: mapping.None, Elements: []pool.Element{{Name: "a", Address: netip.MustParseAddrPort("10.0.0.11:7001")}}},
		{Handle: "empty", Mapping: mapping.None},
		{Handle: "loaded", Mapping: mapping.None, Policy: pool.LeastUsed},
		{Handle: "silent", Mapping: mapping.None, Source: names, SourceName: "dns.silent"},
		{Handle: "far", Mapping: mapping.None, Source: a.registry, SourceName: "play.far"},
	}}
	signals, done := make(chan os.Signal), make(chan error, 1)
	go func() { done <- run(c, hclog.New(&hclog.LoggerOptions{Output: &a.log}), signals, nil) }()
	t.Cleanup(func() {
		send(t, signals, syscall.SIGTERM)
		if err := await(t, "end", done); err != nil {
			t.Error(err)
		}
	})
	dnstest.WaitFor(t, "it is ready", func() bool { return strings.Contains(a.log.String(), "poolproxy is ready") })
	return a
}

// do runs a command.
func (a *asked) do(words ...string) (status int, stdout, stderr string) {
	a.Helper()
	var out, errors bytes.Buffer
	status = dispatch(append([]string{words[0], "-admin", a.admin.String()}, words[1:]...), &out, &errors)
	return status, out.String(), errors.String()
}

// well runs a command that must succeed, and returns what it has printed.
func (a *asked) well(words ...string) string {
	a.Helper()
	status, stdout, stderr := a.do(words...)
	if status != 0 || stderr != "" {
		a.Fatalf("%q: exit status %d: %s", words, status, stderr)
	}
	return strings.TrimSuffix(stdout, "\n")
}

// A server comes and goes by the command line: the pool of the running proxy is another one at once.
func TestPrimitives(t *testing.T) {
	a := newAsked(t)
	if got := a.well("resolve", "orders"); got != "10.0.0.11:7001" {
		t.Error(got)
	}
	id := a.well("register", "-name", "b", "orders", "-address", "10.0.0.12:7001")
	if len(id) != 32 {
		t.Error(id)
	}
	for range 3 {
		if got := a.well("next", "orders", "a"); got != "10.0.0.12:7001" {
			t.Error(got)
		}
	}
	if got := a.well("next", "-refresh", "orders", "10.0.0.12:7001"); got != "10.0.0.11:7001" {
		t.Error(got)
	}
	if got := a.well("registrations"); !strings.Contains(got, id) || !strings.Contains(got, "b        10.0.0.12:7001  none     round_robin  registered") {
		t.Error(got)
	}
	if got := a.well("status"); !strings.Contains(got, "10.0.0.12:7001") || strings.Contains(got, "empty") {
		t.Error(got)
	}
	if got := a.well("deregister", id); got != `element "b" is no longer registered in pool "orders"` {
		t.Error(got)
	}
	if got := a.well("registrations"); got != "nothing is registered with this proxy" {
		t.Error(got)
	}
	if status, stdout, stderr := a.do("next", "orders", "a"); status != 0 || stdout != "10.0.0.11:7001\n" || !strings.Contains(stderr, "no other element") {
		t.Error(status, stdout, stderr)
	}
	if status, stdout, stderr := a.do("next", "orders", "--", "-x\x1b"); status != 0 || stdout != "10.0.0.11:7001\n" || !strings.Contains(stderr, `"-x\x1b" is no element of pool "orders"`) {
		t.Errorf("%d %q %q", status, stdout, stderr)
	}
}

// The same in JSON: every field, in its form.
func TestPrimitivesInJSON(t *testing.T) {
	a := newAsked(t)
	for _, c := range []struct{ command, want string }{
		{"resolve orders", `{"pool":"orders","element":"a","address":"10.0.0.11:7001","mapping":"none","age_ns":0,"same":false,"reported":false}`},
		{"next orders a", `{"pool":"orders","element":"a","address":"10.0.0.11:7001","mapping":"none","age_ns":0,"same":true,"reported":true}`},
		{"next orders x", `{"pool":"orders","element":"a","address":"10.0.0.11:7001","mapping":"none","age_ns":0,"same":false,"reported":false}`},
		{"register loaded -address [::1]:7001 -load 50% -name b", `{"pool":"loaded","element":"b","address":"[::1]:7001","mapping":"none","policy":"least_used","weight":1,"priority":0,"load":2147483648,"degradation":0,"id":"?","since":"?","standing":"registered"}`},
		{"registrations", `[{"pool":"loaded","element":"b","address":"[::1]:7001","mapping":"none","policy":"least_used","weight":1,"priority":0,"load":2147483648,"degradation":0,"id":"?","since":"?","standing":"registered"}]`},
		{"deregister ID", `{"pool":"loaded","element":"b","address":"[::1]:7001","mapping":"none","policy":"least_used","weight":1,"priority":0,"load":2147483648,"degradation":0}`},
	} {
		words := strings.Fields(strings.Replace(c.command, "ID", a.id(), 1))
		if got := compact(t, a.well(append(words, "-json")...)); got != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", c.command, got, c.want)
		}
	}
	a.registry.turn(true)
	got := compact(t, a.well("next", "far", "far", "-refresh", "-json"))
	if !strings.Contains(got, `"source":"play.far"`) || !strings.Contains(got, `no route to the registry","weakness":"source_down"`) {
		t.Error(got)
	}
}

// id is that of the first registration, "" if there is none.
func (a *asked) id() string {
	var all []admin.Registration
	if err := json.Unmarshal([]byte(a.well("registrations", "-json")), &all); err != nil {
		a.Fatal(err)
	}
	if len(all) == 0 {
		return ""
	}
	return all[0].ID
}

// compact is JSON on one line, without what is another one each time.
func compact(t *testing.T, text string) string {
	t.Helper()
	var line bytes.Buffer
	if err := json.Compact(&line, []byte(text)); err != nil {
		t.Fatal(err, text)
	}
	parts := strings.Split(line.String(), `"`)
	for i := range parts {
		if i >= 2 && (parts[i-2] == "id" || parts[i-2] == "since") && parts[i-1] == ":" {
			parts[i] = "?"
		}
	}
	return strings.Join(parts, `"`)
}

// Each error has its own exit status, message and code, in text and JSON; the message says what, where, and what to do.
func TestPrimitiveErrors(t *testing.T) {
	a := newAsked(t)
	taken := a.well("register", "orders", "-name", "b", "-address", "10.0.0.12:7001")
	for _, c := range []struct {
		command string
		status  int
		code    admin.ErrorCode
		says    []string
	}{
		{"resolve ordrs", 3, admin.UnknownPool, []string{`unknown pool "ordrs": there are "empty", "far", "loaded", "orders", "silent"`, "Check the name"}},
		{"next ordrs a", 3, admin.UnknownPool, []string{`unknown pool "ordrs"`, "Check the name"}},
		{"register ordrs -address 10.0.0.1:1", 3, admin.UnknownPool, []string{`unknown pool "ordrs"`, "Check the name"}},
		{"resolve empty", 4, admin.EmptyPool, []string{`pool "empty"`, "the pool is empty", "poolproxy register"}},
		{"next empty a", 4, admin.EmptyPool, []string{`pool "empty"`, "the pool is empty", "poolproxy register"}},
		{"register orders -address 10.0.0.1:1 -policy random", 5, admin.Inconsistent, []string{`pool "orders" has policy round_robin, the registration random`, "Leave -policy out"}},
		{"register orders -address 10.0.0.1:1 -name a", 6, admin.Duplicate, []string{`pool "orders" has an element "a" at 10.0.0.11:7001`, "another -name"}},
		{"register orders -address 10.0.0.1:1 -name b", 6, admin.Duplicate, []string{`pool "orders" has an element "b" at 10.0.0.12:7001`, "another -name"}},
		{"resolve silent", 7, admin.SourceDown, []string{`source dns.silent of pool "silent"`, "down", "poolproxy status"}},
		{"next silent a -refresh", 7, admin.SourceDown, []string{`source dns.silent of pool "silent"`, "down", "poolproxy status"}},
		{"register far -address 10.0.0.1:1", 7, admin.SourceDown, []string{`source play.far of pool "far"`, "no route to the registry", "Nothing was registered: try again"}},
		{"deregister FAR", 7, admin.SourceDown, []string{`source play.far of pool "far"`, "lease", "There is nothing to be repeated"}},
		{"deregister 0123", 8, admin.UnknownID, []string{`unknown registration "0123"`, "poolproxy registrations"}},
		{"register silent -address 10.0.0.1:1", 9, admin.NoRegistry, []string{`source dns.silent of pool "silent" takes no registrations`, "Put the server where"}},
		{"register orders -address host:1", 2, admin.BadRequest, []string{`"host:1" is no address`, "10.0.0.11:7001"}},
		{"register orders -address 10.0.0.1:1 -mapping udp", 2, admin.BadRequest, []string{`no mapping "udp"`, "none, tcp, sctp"}},
		{"register orders -address 10.0.0.1:1 -policy rr", 2, admin.BadRequest, []string{`no policy "rr"`, "round_robin, weighted_round_robin"}},
		{"register orders -address 10.0.0.1:1 -weight 3", 2, admin.BadRequest, []string{"weight has no effect under policy round_robin"}},
		{"register loaded -address 10.0.0.1:1", 2, admin.BadRequest, []string{"policy least_used needs the element's load"}},
		{"register orders -address 10.0.0.1:1 -name \u202e", 2, admin.BadRequest, []string{`"\u202e"`, "cannot be printed"}},
	} {
		for _, asJSON := range []bool{false, true} {
			a.registry.turn(false)
			command := strings.Fields(c.command)
			if command[1] == "FAR" {
				command[1] = a.well("register", "far", "-address", "10.0.0.13:7001")
			}
			a.registry.turn(true)
			if asJSON {
				a.inJSON(c.status, c.code, c.says[:len(c.says)-1], append(command, "-json"))
			} else {
				a.inText(c.status, append(c.says, a.admin.String()), command)
			}
		}
	}
	if got := a.id(); got != taken {
		t.Errorf("the errors have left a registration behind: %s, not %s", got, taken)
	}
}

// inText runs a command that must fail, for people.
func (a *asked) inText(want int, says, command []string) {
	a.Helper()
	status, stdout, stderr := a.do(command...)
	if status != want || stdout != "" || strings.Count(stderr, "\n") != 1 || !strings.HasPrefix(stderr, "poolproxy "+command[0]+": ") {
		a.Errorf("%q: exit status %d, not %d; %q, %q", command, status, want, stdout, stderr)
	}
	for _, s := range says {
		if !strings.Contains(stderr, s) {
			a.Errorf("%q: no %q in %s", command, s, stderr)
		}
	}
}

// inJSON runs a command that must fail, for programs.
func (a *asked) inJSON(want int, code admin.ErrorCode, says, command []string) {
	a.Helper()
	status, stdout, stderr := a.do(command...)
	var f admin.Failure
	if err := json.Unmarshal([]byte(stdout), &f); err != nil || status != want || stderr != "" || f.Error.Code != code {
		a.Errorf("%q: exit status %d, not %d; %q, %q: %v", command, status, want, stdout, stderr, err)
	}
	for _, s := range says {
		if !strings.Contains(f.Error.Message, s) {
			a.Errorf("%q: no %q in %s", command, s, stdout)
		}
	}
}

// Wrong usage is told before anybody is asked.
func TestPrimitiveUsage(t *testing.T) {
	for command, says := range map[string]string{
		"resolve":                          "POOL is missing",
		"resolve a b":                      `unexpected argument "b"`,
		"resolve -x a":                     "not defined",
		"next a":                           "LAST is missing",
		"next a b c":                       `unexpected argument "c"`,
		"next -refresh":                    "POOL is missing",
		"register":                         "POOL is missing",
		"register a":                       "-address is missing",
		"register a -address x -load 101%": "shares are from 0% to 100%",
		"register a -address x -load 5":    "shares are from 0% to 100%",
		"register a -address x -load NaN%": "shares are from 0% to 100%",
		"register a -address x -weight -1": "from 0 to 4294967295",
		"register a -address x -weight 4294967296": "from 0 to 4294967295",
		"deregister":         "ID is missing",
		"deregister -- -x y": `unexpected argument "y"`,
		"registrations x":    `unexpected argument "x"`,
	} {
		var stdout, stderr bytes.Buffer
		if status := dispatch(strings.Fields(command), &stdout, &stderr); status != exitUsage || stdout.Len() > 0 || !strings.Contains(stderr.String(), says) {
			t.Errorf("%s: exit status %d, %q", command, status, stderr.String())
		}
		if !strings.Contains(stderr.String(), "Usage") || !strings.Contains(stderr.String(), "3 unknown pool, 4 empty pool, 5 inconsistent policy, 6 duplicate id") {
			t.Errorf("%s: no usage in %q", command, stderr.String())
		}
	}
	var stdout, stderr bytes.Buffer
	if status := dispatch([]string{"resolve", ""}, &stdout, &stderr); status != exitUsage || !strings.Contains(stderr.String(), "POOL is empty") {
		t.Error(status, stderr.String())
	}
}

// Whatever answers in place of a proxy, the error says so, and the exit status is that of a failure.
func TestPrimitivesOfOthers(t *testing.T) {
	var text string
	var code int
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(code)
		fmt.Fprint(w, text)
	}))
	defer web.Close()
	for _, c := range []struct {
		code       int
		text, says string
	}{
		{200, "<html>", "is not the admin address of a poolproxy: another HTTP server"},
		{404, "404 page not found", "with 404 Not Found: 404 page not found. Write -admin ADDRESS"},
		{403, `"no"`, "with 403 Forbidden"},
		{200, "", "is not what was asked for; is it the admin API of a poolproxy of this version?"},
		{502, "", "is not the admin address of a poolproxy: another HTTP server"},
		{404, `{"error":{}}`, "404 Not Found; is it the admin API"},
		{500, `{"error":{"code":"new_one","message":"x\u001b[2J"}}`, "says: x?[2J"},
	} {
		code, text = c.code, c.text
		var stdout, stderr bytes.Buffer
		if status := dispatch([]string{"resolve", "orders", "-admin", web.Listener.Addr().String()}, &stdout, &stderr); status != exitFailed || stdout.Len() > 0 || !strings.Contains(stderr.String(), c.says) {
			t.Errorf("%s: exit status %d, %q, %q", c.text, status, stdout.String(), stderr.String())
		}
	}
	var stdout, stderr bytes.Buffer
	if status := dispatch([]string{"resolve", "orders", "-json", "-admin", porttest.Free(t).String()}, &stdout, &stderr); status != exitFailed || !strings.Contains(stdout.String(), `"code": "failed"`) || stderr.Len() > 0 {
		t.Error(status, stdout.String(), stderr.String())
	}
}

// What is no answer of the admin API is not passed on as one, also where nobody but a program reads it.
func TestPrimitiveOfAnother(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>welcome</html>") }))
	defer other.Close()
	for _, flags := range [][]string{nil, {"-json"}} {
		var out, errors bytes.Buffer
		status := dispatch(append([]string{"resolve", "-admin", strings.TrimPrefix(other.URL, "http://"), "orders"}, flags...), &out, &errors)
		if said := out.String() + errors.String(); status != exitFailed || strings.Contains(said, "welcome") || !strings.Contains(said, "is not the admin address of a poolproxy") {
			t.Errorf("%q: exit status %d: %s", flags, status, said)
		}
		if flags != nil && !json.Valid(out.Bytes()) {
			t.Errorf("%q: no JSON: %s", flags, &out)
		}
	}
}
