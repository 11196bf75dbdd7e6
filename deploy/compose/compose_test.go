// Package compose_test checks compose.yaml as far as that can be done without Docker: the configurations in it load, and what stands in several
// places is the same everywhere.
package compose_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/poolproxy/poolproxy/cmd/poolproxy/config"
	"github.com/poolproxy/poolproxy/proxy"
)

// project is what is looked at of the file.
type project struct {
	Services map[string]service
	Configs  map[string]struct{ Content string }
}

type service struct {
	Image       string
	NetworkMode string        `yaml:"network_mode"`
	StopGrace   time.Duration `yaml:"stop_grace_period"`
	DependsOn   yaml.Node     `yaml:"depends_on"` // a list of names, or a mapping of them
	Command     []string
	Configs     []struct{ Source, Target string }
}

// network is whose network the service has.
func (s service) network() string { return strings.TrimPrefix(s.NetworkMode, "service:") }

// needs reports whether the service is started behind another.
func (s service) needs(name string) bool {
	return slices.ContainsFunc(s.DependsOn.Content, func(n *yaml.Node) bool { return n.Value == name })
}

// loaded is the configuration of a sidecar. hosts are the addresses of names, which only Docker's network knows.
func (p project) loaded(t *testing.T, name string, hosts *strings.Replacer) proxy.Config {
	t.Helper()
	s := p.Services[name]
	if len(s.Configs) != 1 {
		t.Fatalf("%s has %d configurations", name, len(s.Configs))
	}
	text, there := p.Configs[s.Configs[0].Source]
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, filepath.Base(s.Configs[0].Target)), []byte(hosts.Replace(text.Content)), 0o600); err != nil || !there {
		t.Fatalf("the configuration of %s is there: %t, %v", name, there, err)
	}
	if strings.Contains(text.Content, "$") {
		t.Errorf("the configuration of %s has a $, which Compose replaces", name)
	}
	l := config.Load([]string{dir})
	for _, d := range l.Diagnostics {
		if l.Failed() {
			t.Fatalf("%s: %s: %v", name, config.Place(d), d)
		}
	}
	if l.Config.Grace >= s.StopGrace {
		t.Errorf("%s lets sessions end within %v, and is killed after %v", name, l.Config.Grace, s.StopGrace)
	}
	return l.Config
}

func TestCompose(t *testing.T) {
	text, err := os.ReadFile("compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var p project
	if err := yaml.Unmarshal(text, &p); err != nil {
		t.Fatal(err)
	}
	hosts := strings.NewReplacer("server-a", "10.0.0.1", "server-b", "10.0.0.2")
	user := p.loaded(t, "user", hosts)
	elements := user.Pools[0].Elements
	if len(elements) != 2 {
		t.Fatalf("the pool has %d elements", len(elements))
	}
	for i, letter := range []string{"a", "b"} {
		element, server := p.Services["element-"+letter], "server-"+letter
		if _, there := p.Services[server]; !there || element.network() != server || !element.needs(server) || !p.Services["user"].needs("element-"+letter) {
			t.Errorf("the pool_element %s does not stand before its server: %+v", letter, element)
		}
		c := p.loaded(t, "element-"+letter, hosts).Elements[0]
		if got, want := elements[i].Address.String(), fmt.Sprintf("%s:%d", hosts.Replace(server), c.Listen.Port()); got != want || c.Mapping != user.Pools[0].Mapping {
			t.Errorf("the pool's element %s is at %s, mapping %v; its pool_element is at %s, mapping %v", letter, got, user.Pools[0].Mapping, want, c.Mapping)
		}
	}
	client := p.Services["client"]
	if client.network() != "user" || !client.needs("user") || !strings.HasPrefix(client.Command[len(client.Command)-1], "http://"+user.Users[0].Listen.String()+"/") {
		t.Errorf("the client does not connect to %v: %+v", user.Users[0].Listen, client)
	}
	page, err := os.ReadFile("README.md")
	if err != nil || !strings.Contains(string(page), "-t "+p.Services["user"].Image+" dist") {
		t.Errorf("the page makes another image than %s (%v)", p.Services["user"].Image, err)
	}
}
