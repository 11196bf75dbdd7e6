package config

import (
	"fmt"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/mapping"
	"github.com/poolproxy/poolproxy/pool"
	"github.com/poolproxy/poolproxy/proxy"
)

// aRegistry is a source that takes registrations.
const aRegistry = "\nsource \"asap\" \"r\" { registrars = [\"10.0.0.1:3863\"] }\n"

// registered is a configuration with a pool_element and this register block in it.
func registered(lines ...string) string {
	return registerIn("pool = \"orders\"\nsource = \"asap.r\"\naddress = \"10.0.0.5:9002\"", lines...)
}

// registerIn is a configuration with a pool_element, and in it a register block that begins with these lines.
func registerIn(begin string, lines ...string) string {
	return minimal + aRegistry + element("b", "127.0.0.1:9002", "register {\n"+begin+"\n"+strings.Join(lines, "\n")+"\n}")
}

// registerMistakes are like mistakes.
var registerMistakes = []struct {
	name, text string
	has        []string
}{
	{"without a pool", registerIn(`source = "asap.r"`), []string{`"pool" is missing`}},
	{"a pool_user as a server of its own pool", strings.ReplaceAll(registered(`mapping = "none"`), "10.0.0.5:9002", "127.0.0.1:8079") +
		"pool \"orders\" { source = \"asap.r\" }\n" + "pool_user \"o\" {\nlisten = \"127.0.0.1:8079\"\npool = \"orders\"\nprotocol \"http\" {}\n}\n",
		[]string{`"b" would register pool_user "o" as a server of its own pool "orders"`, `at: "127.0.0.1:8079"`}},
	{"circle by registration", strings.Replace(registered(), "127.0.0.1:8083", "127.0.0.1:8079", 1) +
		"pool \"orders\" { source = \"asap.r\" }\n" + "pool_user \"o\" {\nlisten = \":8079\"\npool = \"orders\"\nprotocol \"http\" {}\n}\n",
		[]string{"Sessions would go round in circles", `pool_element "b" is pool_user "o"`, `at: "127.0.0.1:8079"`}},
	{"without a source", registerIn(`pool = "orders"`) + poolBlockText(`"p"`, `source = "asap.r"`), []string{`"source" is missing`}},
	{"unknown source", registerIn("pool = \"orders\"\nsource = \"asap.s\"\naddress = \"10.0.0.5:9002\"") + poolBlockText(`"p"`, `source = "asap.r"`),
		[]string{`There is no source "asap.s"`, `Did you mean "asap.r"?`, `at: "asap.s"`}},
	{"no sources", minimal + element("b", "127.0.0.1:9002", "register {\npool = \"p\"\nsource = \"asap.r\"\naddress = \"10.0.0.5:1\"\n}"), []string{"no sources at all"}},
	{"no registry", strings.Replace(registered(), "asap.r", "dns.k8s", 1) + dnsSource("k8s", "") + poolBlockText(`"p"`, `source = "asap.r"`),
		[]string{`Source "dns.k8s" takes no registrations`, `at: "dns.k8s"`}},
	{"handle too long for it", strings.Replace(registered(), "orders", strings.Repeat("o", 251), 1), []string{"too long for registrars"}},
	{"lease", registered(`lease = "10s"`), []string{`"lease" belongs to a source`}},
	{"unknown", registered(`wieght = 2`), []string{`Did you mean "weight"?`}},

	{"policy that is none", registered(`policy = "fastest"`), []string{`"policy" cannot be "fastest"`}},
	{"another policy", registered(`policy = "random"`) + poolBlockText(`"orders"`, "source = \"asap.r\"\npolicy = \"priority\""),
		[]string{`Pool "orders" has policy priority, not random`, "a.hcl:26:1", `at: "random"`}},
	{"weight without effect", registered(`weight = 2`), []string{`"weight" has no effect under policy round_robin`, `policy = "weighted_round_robin"`}},
	{"load without effect", registered(`load = "sessions"`), []string{`"load" has no effect`}},
	{"load_exec without effect", registered(`load_exec = ["/bin/true"]`), []string{`"load" has no effect`, `at: ["/bin/true"]`}},
	{"no load", registered(`policy = "least_used"`), []string{"This registration has no load: policy least_used needs it", `load = "sessions"`, "at: register"}},
	{"no load by the pool", registered() + poolBlockText(`"orders"`, "source = \"asap.r\"\npolicy = \"least_used\""), []string{"has no load"}},
	{"no degradation", registered(`policy = "priority_least_used"`, `load = "5%"`), []string{"has no degradation"}},
	{"load of words", registered(`policy = "least_used"`, `load = "sesions"`), []string{`"load" is not a share`}},
	{"two loads", registered(`policy = "least_used"`, `load = "5%"`, `load_exec = ["/bin/true"]`), []string{`"load_exec" does not go with "load"`}},
	{"load_exec that is none", registered(`policy = "least_used"`, `load_exec = ["/no/such"]`), []string{"/no/such cannot be executed"}},
	{"max_sessions for nothing", registered(`policy = "least_used"`, `load = "5%"`, `max_sessions = 5`), []string{`"max_sessions" has no effect`}},
	{"no sessions", registered(`policy = "least_used"`, `load = "sessions"`, `max_sessions = 0`), []string{`"max_sessions" is out of range`}},
	{"load_every for nothing", registered(`policy = "least_used"`, `load = "5%"`, `load_every = "1s"`), []string{`"load_every" has no effect`}},
	{"load_every too often", registered(`policy = "least_used"`, `load = "sessions"`, `load_every = "1ms"`), []string{`"load_every" is out of range`}},

	{"other mapping", registered(`mapping = "sctp"`), []string{`"b" listens for mapping tcp, not sctp`, "a pool_element for each"}},
	{"address of nobody", strings.Replace(registered(), "10.0.0.5:9002", "0.0.0.0:9002", 1), []string{"no address of a host"}},
	{"twice the same", registered() + element("c", "127.0.0.1:9003", "register {\npool = \"orders\"\nsource = \"asap.r\"\nname = \"b\"\naddress = \"10.0.0.6:1\"\n}"),
		[]string{`Two elements "b" are registered in pool "orders"`, "a.hcl:19:3"}},
	{"in a pool", minimal + poolBlockText(`"p"`, "element \"a\" { address = \"10.0.0.1:1\" }\nregister {}"), []string{`has no "register"`}},
}

func TestRegisterMistakes(t *testing.T) {
	for _, m := range registerMistakes {
		t.Run(m.name, func(t *testing.T) { checkMistake(t, m.text, m.has, true) })
	}
}

// Who listens on all addresses must say by which one others reach it. (That it can be reached is a warning.)
func TestRegisterWithoutAddress(t *testing.T) {
	l := loadText(t, strings.Replace(registerIn("pool = \"orders\"\nsource = \"asap.r\""), "127.0.0.1:9002", ":9002", 1))
	if len(l.Diagnostics) != 2 || !l.Failed() || !strings.Contains(written(t, l, ""), "it listens on all addresses of this machine") {
		t.Error(written(t, l, ""))
	}
	l = loadText(t, registerIn("pool = \"orders\"\nsource = \"asap.r\""))
	if len(l.Diagnostics) != 1 || l.Failed() || !strings.Contains(written(t, l, ""), "registers a loopback address") {
		t.Error(written(t, l, ""))
	}
}

// What is not said has a default.
func TestRegister(t *testing.T) {
	load := func(text string) proxy.Register {
		t.Helper()
		l := loadText(t, text)
		if len(l.Diagnostics) != 0 {
			t.Fatal(written(t, l, ""))
		}
		g := l.Config.Elements[len(l.Config.Elements)-1].Register[0]
		if g.Registry == nil || len(g.SourceDigest) != 64 {
			t.Errorf("no registry, or it cannot be told from another one: %+v", g)
		}
		g.Registry, g.SourceDigest = nil, ""
		return g
	}
	same := func(got, want proxy.Register) {
		t.Helper()
		want.Handle, want.SourceName = "orders", "asap.r"
		if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
			t.Errorf("%+v, not %+v", got, want)
		}
	}
	at := proxy.Register{Name: "b", Address: netip.MustParseAddrPort("10.0.0.5:9002"), Mapping: mapping.TCP, Weight: 1, MaxSessions: defaultSessions, Every: defaultLoadEvery}
	same(load(registered()), at)

	named := at
	named.Name, named.Weight, named.Policy = "host-5", 7, pool.WeightedRandom
	same(load(registered(`name = "host-5"`, `weight = 7`, `policy = "weighted_random"`)), named)

	counted := at
	counted.Degradation, counted.Policy, counted.LoadFrom, counted.MaxSessions, counted.Every =
		math.MaxUint32/200, pool.LeastUsedDegradation, proxy.LoadSessions, 200, time.Second
	same(load(registered(`policy = "least_used_degradation"`, `load = "sessions"`, `max_sessions = 200`, `load_every = "1s"`)), counted)

	said := at
	said.Policy, said.LoadFrom, said.LoadExec = pool.LeastUsed, proxy.LoadExec, []string{"/bin/echo", "5"}
	same(load(registered(`policy = "least_used"`, `load_exec = ["/bin/echo", "5"]`)), said)

	fixed := at
	fixed.Load, fixed.Policy = 1<<31, pool.LeastUsed
	same(load(registered(`load = "50%"`)+poolBlockText(`"orders"`, "source = \"asap.r\"\npolicy = \"least_used\"")), fixed)

	// The server itself, without its sidecar.
	bare := at
	bare.Mapping = mapping.None
	same(load(registered(`mapping = "none"`)), bare)
	l := loadText(t, registerIn("pool = \"orders\"\nsource = \"asap.r\"", `mapping = "none"`))
	if e := l.Config.Elements[1]; e.Register[0].Address != e.Server {
		t.Errorf("%+v", e)
	}
}

// What the example has of it in comments can be loaded, and shows the defaults.
func TestExampleOfRegister(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "config.hcl.example"))
	if err != nil {
		t.Fatal(err)
	}
	_, block, ok := strings.Cut(string(text), "\n  # register {\n")
	if !ok {
		t.Fatal("the example has no register block")
	}
	block, _, _ = strings.Cut(block, "\n  # }\n")
	for _, name := range []string{"name", "address", "mapping", "policy", "weight", "priority", "degradation", "load", "load_exec", "load_every", "max_sessions"} {
		if !regexp.MustCompile("(?m)^  # +(# )?" + name + " += ").MatchString(block) {
			t.Errorf("the example has no %s", name)
		}
	}
	var lines []string
	for _, line := range strings.Split(block, "\n") {
		line = strings.TrimPrefix(line, "  # ")
		if !strings.HasPrefix(strings.TrimSpace(line), "#") {
			lines = append(lines, line)
		}
	}
	shown := strings.Join(lines, "\n")
	l := loadText(t, minimal+"source \"asap\" \"core\" { registrars = [\"10.0.0.1:3863\"] }\n"+element("b", "127.0.0.1:9002", "register {\n"+shown+"\n}"))
	if len(l.Diagnostics) != 0 {
		t.Fatal(written(t, l, ""), shown)
	}
	if want := "load_every = \"" + durationText(defaultLoadEvery) + `"`; !strings.Contains(strings.Join(strings.Fields(block), " "), want) {
		t.Errorf("the default is %s", want)
	}
}
