// Package kubernetes_test checks the manifests of this folder as far as that can be done without a cluster: they are YAML without doubled
// keys, the configurations in them load, and what stands in several places is the same everywhere.
package kubernetes_test

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/poolproxy/poolproxy/cmd/poolproxy/config"
	"github.com/poolproxy/poolproxy/dns"
	"github.com/poolproxy/poolproxy/proxy"
)

// object is what is looked at of a manifest. What a kind has not is empty.
type object struct {
	APIVersion string `yaml:"apiVersion"`
	Kind       string
	Metadata   struct{ Name, Namespace string }
	Data       map[string]string // ConfigMap
	Spec       struct {
		ClusterIP string    `yaml:"clusterIP"` // Service
		Selector  yaml.Node // of a Service labels, of others matchLabels
		Ports     []struct {
			Name, TargetPort string
			Port             int
		}
		MaxUnavailable int      `yaml:"maxUnavailable"` // PodDisruptionBudget
		Replicas       int      // Deployment
		Template       struct { // likewise
			Metadata struct{ Labels map[string]string }
			Spec     pod
		}
		PodSelector struct { // NetworkPolicy
			MatchLabels map[string]string `yaml:"matchLabels"`
		} `yaml:"podSelector"`
		Ingress []struct {
			From []struct {
				PodSelector struct {
					MatchLabels map[string]string `yaml:"matchLabels"`
				} `yaml:"podSelector"`
			}
			Ports []struct{ Port int }
		}
	}
}

type pod struct {
	Grace          int         `yaml:"terminationGracePeriodSeconds"`
	InitContainers []container `yaml:"initContainers"`
	Containers     []container
	Volumes        []struct {
		Name      string
		ConfigMap struct{ Name string } `yaml:"configMap"`
	}
}

type container struct {
	Name, Image   string
	RestartPolicy string `yaml:"restartPolicy"`
	Args          []string
	Ports         []struct {
		Name string
		Port int `yaml:"containerPort"`
	}
	Resources    struct{ Limits struct{ Memory string } }
	VolumeMounts []struct {
		Name string
		Path string `yaml:"mountPath"`
	} `yaml:"volumeMounts"`
}

// versions are the kinds that there are, and where the API has them.
var versions = map[string]string{"Namespace": "v1", "Service": "v1", "ConfigMap": "v1", "Deployment": "apps/v1", "PodDisruptionBudget": "policy/v1", "NetworkPolicy": "networking.k8s.io/v1"}

// read reads a file's objects, by kind and name.
func read(t *testing.T, file string) map[string]object {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	objects := make(map[string]object)
	for in := yaml.NewDecoder(strings.NewReader(string(text))); ; {
		var o object
		if err := in.Decode(&o); errors.Is(err, io.EOF) {
			return objects
		} else if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		name := o.Kind + " " + o.Metadata.Name
		if _, twice := objects[name]; twice || versions[o.Kind] != o.APIVersion || (o.Metadata.Namespace == "shop") == (o.Kind == "Namespace") {
			t.Errorf("%s: %s, %s in namespace %q: it is there twice, or in a wrong place", file, name, o.APIVersion, o.Metadata.Namespace)
		}
		objects[name] = o
	}
}

// noTLS is the one thing that poolproxy warns of, which is why there is a NetworkPolicy.
const noTLS = "can be reached from other machines, and there is no TLS"

// loaded is what poolproxy makes of a ConfigMap that is mounted into a pod: the kubelet makes links to links.
func loaded(t *testing.T, o object) proxy.Config {
	t.Helper()
	if len(o.Data) != 1 {
		t.Fatalf("ConfigMap %s has %d files", o.Metadata.Name, len(o.Data))
	}
	dir := t.TempDir()
	version := filepath.Join(dir, "..2026_11_22_22_00_00.1")
	if err := errors.Join(os.Mkdir(version, 0o755), os.Symlink(filepath.Base(version), filepath.Join(dir, "..data"))); err != nil {
		t.Fatal(err)
	}
	for name, text := range o.Data {
		if err := errors.Join(os.WriteFile(filepath.Join(version, name), []byte(text), 0o644), os.Symlink("..data/"+name, filepath.Join(dir, name))); err != nil {
			t.Fatal(err)
		}
	}
	l := config.Load([]string{dir})
	for _, d := range l.Diagnostics {
		if l.Failed() || !strings.Contains(d.Summary, noTLS) {
			t.Fatalf("ConfigMap %s: %s: %v", o.Metadata.Name, config.Place(d), d)
		}
	}
	return l.Config
}

// side is a Deployment with the sidecar in it, its configuration and its image.
type side struct {
	object
	sidecar container
	config  proxy.Config
}

// selected are the labels of the pods that an object is about.
func selected(t *testing.T, o object) map[string]string {
	t.Helper()
	var labels struct {
		MatchLabels map[string]string `yaml:"matchLabels"`
	}
	if err := o.Spec.Selector.Decode(&labels); err != nil {
		t.Fatalf("%s %s: %v", o.Kind, o.Metadata.Name, err)
	}
	return labels.MatchLabels
}

func sideOf(t *testing.T, objects map[string]object, name string) side {
	t.Helper()
	o, there := objects["Deployment "+name]
	p := o.Spec.Template.Spec
	if labels := selected(t, o); !there || !maps.Equal(labels, o.Spec.Template.Metadata.Labels) || len(labels) == 0 {
		t.Fatalf("Deployment %s is there: %t; its selector %v, its pods' labels %v", name, there, labels, o.Spec.Template.Metadata.Labels)
	}
	if len(p.InitContainers) != 1 || len(p.Containers) != 1 || len(p.Volumes) != 1 {
		t.Fatalf("Deployment %s has more than a sidecar and a program", name)
	}
	s := side{object: o, sidecar: p.InitContainers[0]}
	s.config = loaded(t, objects["ConfigMap "+p.Volumes[0].ConfigMap.Name])
	if s.sidecar.RestartPolicy != "Always" || len(s.sidecar.VolumeMounts) != 1 || s.sidecar.VolumeMounts[0].Name != p.Volumes[0].Name ||
		!slices.Equal(s.sidecar.Args, []string{"run", "-config", s.sidecar.VolumeMounts[0].Path}) {
		t.Errorf("the sidecar of %s does not run with its configuration: %+v", name, s.sidecar)
	}
	if got, want := s.sidecar.Resources.Limits.Memory, fmt.Sprintf("%dMi", 2*s.config.Limits.Memory>>20); got != want {
		t.Errorf("the sidecar of %s may have %s, twice limits.memory is %s", name, got, want)
	}
	if grace := time.Duration(p.Grace) * time.Second; s.config.Grace >= grace {
		t.Errorf("the sidecar of %s lets sessions end within %v, the pod is killed after %v", name, s.config.Grace, grace)
	}
	return s
}

func TestManifests(t *testing.T) {
	objects := read(t, "servers.yaml")
	users := read(t, "clients.yaml")
	if len(objects) != 6 || len(users) != 2 {
		t.Fatalf("%d objects for servers, %d for clients", len(objects), len(users))
	}
	servers, clients := sideOf(t, objects, "orders"), sideOf(t, users, "checkout")
	element, user, shared := servers.config.Elements[0], clients.config.Users[0], clients.config.Pools[0]

	service := objects["Service orders"]
	var selector map[string]string
	if err := service.Spec.Selector.Decode(&selector); err != nil || !maps.Equal(selector, servers.Spec.Template.Metadata.Labels) {
		t.Errorf("the Service selects %v, the pods are %v (%v)", selector, servers.Spec.Template.Metadata.Labels, err)
	}
	if service.Spec.ClusterIP != "None" {
		t.Error("the Service is not headless")
	}
	port := service.Spec.Ports[0]
	if port.Port != int(element.Listen.Port()) || !slices.ContainsFunc(servers.sidecar.Ports, func(p struct {
		Name string
		Port int `yaml:"containerPort"`
	}) bool {
		return p.Name == port.Name && p.Port == port.Port
	}) {
		t.Errorf("the Service has %+v, the pool_element listens on %v", port, element.Listen)
	}
	if program := servers.Spec.Template.Spec.Containers[0]; program.Ports[0].Port != int(element.Server.Port()) {
		t.Errorf("the server listens on %d, the pool_element connects to %v", program.Ports[0].Port, element.Server)
	}

	source, is := shared.Source.(*dns.Source)
	if !is || user.Pool != shared.Handle || shared.Mapping != element.Mapping {
		t.Fatalf("the pool is %+v, the pool_user has %q, the pool_element mapping %v", shared, user.Pool, element.Mapping)
	}
	want := fmt.Sprintf("_%s._tcp.%s.%s.svc.cluster.local.", port.Name, service.Metadata.Name, service.Metadata.Namespace)
	if name, err := source.Name(shared.Handle); err != nil || name != want {
		t.Errorf("the pool_user asks for %s (%v), DNS has %s", name, err, want)
	}
	if at := user.Listen.String(); !strings.Contains(clients.Spec.Template.Spec.Containers[0].Args[0], "http://"+at+"/") {
		t.Errorf("the client does not connect to %s", at)
	}

	budget := objects["PodDisruptionBudget orders"]
	if !maps.Equal(selected(t, budget), selector) || budget.Spec.MaxUnavailable < 1 || budget.Spec.MaxUnavailable >= servers.Spec.Replicas {
		t.Errorf("of %d pods that are %v, %d that are %v may go at once", servers.Spec.Replicas, selector, budget.Spec.MaxUnavailable, selected(t, budget))
	}

	policy := objects["NetworkPolicy orders"].Spec
	if !maps.Equal(policy.PodSelector.MatchLabels, selector) || len(policy.Ingress) != 1 || policy.Ingress[0].Ports[0].Port != port.Port ||
		!maps.Equal(policy.Ingress[0].From[0].PodSelector.MatchLabels, clients.Spec.Template.Metadata.Labels) {
		t.Errorf("the NetworkPolicy does not let the clients in, or others too: %+v", policy)
	}
	if page, err := os.ReadFile("README.md"); err != nil || servers.sidecar.Image != clients.sidecar.Image || !strings.Contains(string(page), servers.sidecar.Image) {
		t.Errorf("the images are %s and %s (%v)", servers.sidecar.Image, clients.sidecar.Image, err)
	}
}
