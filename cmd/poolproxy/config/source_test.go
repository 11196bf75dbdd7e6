package config

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/dns"
	"github.com/poolproxy/poolproxy/registrar"
)

// A source gives its pool elements, and the dns block is there, without a pool_user too.
func TestSource(t *testing.T) {
	l := loadText(t, poolBlockText(`"orders"`, `source = "dns.k8s"`)+dnsSource("k8s", "port = 7001\nservers = [\"10.0.0.1:53\", \"[::1]:54\"]\nmax_ttl = \"30s\"")+
		"dns { listen = \"127.0.0.1:5353\" }\n")
	if len(l.Diagnostics) > 0 {
		t.Fatal(written(t, l, ""))
	}
	p := l.Config.Pools[0]
	if _, is := p.Source.(*dns.Source); !is || p.SourceName != "dns.k8s" || p.Stale != defaultStale || len(p.Elements) > 0 {
		t.Errorf("%+v", p)
	}
	if d := l.Config.DNS; d.Listen.String() != "127.0.0.1:5353" || d.TTL != time.Second {
		t.Errorf("%+v", d)
	}
	if d := loadText(t, minimal).Config; d.DNS.Listen.IsValid() || d.Pools[0].Source != nil {
		t.Errorf("%+v", d)
	}
}

// What the example has of it in comments can be loaded, and shows the defaults.
func TestExampleOfSources(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "config.hcl.example"))
	if err != nil {
		t.Fatal(err)
	}
	var blocks string
	for _, begin := range []string{"# source \"dns\"", "# dns {"} {
		_, block, ok := strings.Cut(string(text), "\n"+begin)
		if !ok {
			t.Fatalf("the example has no %s", begin)
		}
		block = block[:strings.Index(block, "\n# }")+4]
		blocks += commentOut.ReplaceAllString(begin, "$1") + commentOut.ReplaceAllString(block, "$1") + "\n"
	}
	shown := loadText(t, poolOf("dns.k8s")+blocks)
	if len(shown.Diagnostics) > 0 {
		t.Fatal(written(t, shown, ""))
	}
	bare := loadText(t, poolOf("dns.k8s")+dnsSource("k8s", "")+"dns { listen = \"127.0.0.1:5353\" }\n")
	if shown.Config.DNS != bare.Config.DNS || shown.Config.Pools[0].Stale != bare.Config.Pools[0].Stale {
		t.Errorf("the example has %+v, the default is %+v", shown.Config, bare.Config)
	}
	for _, d := range []string{"min_ttl     = " + `"` + durationText(dns.DefaultLeast), "max_ttl     = " + `"` + durationText(dns.DefaultMost), "timeout     = " + `"` + durationText(dns.DefaultTimeout)} {
		if !strings.Contains(blocks, d) {
			t.Errorf("the default is %s", d)
		}
	}
}

// What may be meant is a warning.
func TestSourceWarnings(t *testing.T) {
	for text, want := range map[string]string{
		minimal + dnsSource("k8s", ""):                 `No pool has the source "dns.k8s"`,
		minimal + "dns { listen = \"10.0.0.1:53\" }\n": "DNS is answered beyond loopback",
	} {
		l := loadText(t, text)
		if l.Failed() || len(l.Diagnostics) != 1 || l.Diagnostics[0].Summary != want {
			t.Errorf("not only %q: %v", want, l.Diagnostics)
		}
	}
}

// A source "asap" gives its pool elements, and what the example has of it shows the defaults.
func TestSourceASAP(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "config.hcl.example"))
	if err != nil {
		t.Fatal(err)
	}
	_, block, ok := strings.Cut(string(text), "\n# source \"asap\"")
	if !ok {
		t.Fatal("the example has no source asap")
	}
	block = `source "asap"` + commentOut.ReplaceAllString(block[:strings.Index(block, "\n# }")+4], "$1") + "\n"
	l := loadText(t, poolOf("asap.core")+block)
	if len(l.Diagnostics) > 0 {
		t.Fatal(written(t, l, ""))
	}
	p := l.Config.Pools[0]
	if _, is := p.Source.(*registrar.Source); !is || p.SourceName != "asap.core" || p.Stale != defaultStale {
		t.Errorf("%+v", p)
	}
	times := registrar.DefaultTimes()
	for name, d := range map[string]time.Duration{"lease": registrar.DefaultLife, "interval": registrar.DefaultInterval, "resolution_timeout": times.T1,
		"registration_timeout": times.T2, "deregistration_timeout": times.T3, "hunt_timeout": times.T5} {
		shown := regexp.MustCompile(`(?m)^ *` + name + ` *= "(.*?)"`).FindStringSubmatch(block)
		if shown == nil {
			t.Errorf("the example has no %s", name)
		} else if got, err := time.ParseDuration(shown[1]); err != nil || got != d {
			t.Errorf("the default of %s is %v, the example says %s", name, d, shown[1])
		}
	}
	if l := loadText(t, poolOf("asap.a")+asapSource(`["10.0.0.1:3863"]`, `dialect = "rfc"`)); len(l.Diagnostics) > 0 {
		t.Error(written(t, l, ""))
	}
}
