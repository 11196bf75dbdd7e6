package proxy

import (
	"context"
	"encoding/json"
	"net/netip"
	"reflect"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/poolproxy/poolproxy/mapping"
	"github.com/poolproxy/poolproxy/pool"
	"github.com/poolproxy/poolproxy/protocol"
	"github.com/poolproxy/poolproxy/session"
)

// In the JSON of a status what holds nothing is an empty list: programs need not look for null.
func TestStatusHasNoNullLists(t *testing.T) {
	at := netip.MustParseAddrPort("127.0.0.1:0")
	for name, c := range map[string]Config{
		"an element": {Elements: []Element{{Name: "a", Listen: at, Server: netip.MustParseAddrPort("127.0.0.1:9"), Card: &Card{Pool: "things"}}}},
		"a user": {Pools: []Pool{{Handle: "things", Policy: pool.RoundRobin, Mapping: mapping.TCP}},
			Users: []User{{Name: "things", Listen: at, Pool: "things", Protocol: protocol.NewStream(protocol.StreamConfig{}), Memory: 64 << 10,
				Failover: session.Failover{Replay: session.ReplayNone}}}},
	} {
		p, err := Start(c, hclog.NewNullLogger(), nil)
		if err != nil {
			t.Fatal(name, err)
		}
		running := p.Status()
		nullLists(t, name, "", reflect.ValueOf(running))
		now, cancel := context.WithCancel(t.Context())
		cancel()
		p.Stop(now)
		nullLists(t, name+", stopped", "", reflect.ValueOf(p.Status()))
		text, err := json.Marshal(running)
		var told map[string]any
		if err != nil || json.Unmarshal(text, &told) != nil {
			t.Fatal(name, err)
		}
		if all, is := told["sessions"].([]any); !is || len(all) != 0 {
			t.Errorf("%s: sessions are %v", name, told["sessions"])
		}
	}
}

// nullLists complains of every list in v that would be null.
func nullLists(t *testing.T, of, path string, v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			nullLists(t, of, path, v.Elem())
		}
	case reflect.Struct:
		for f, x := range v.Fields() {
			if f.IsExported() {
				nullLists(t, of, path+"."+f.Name, x)
			}
		}
	case reflect.Slice:
		if v.IsNil() {
			t.Errorf("%s: %s is null", of, path)
		}
		for i := range v.Len() {
			nullLists(t, of, path+"[]", v.Index(i))
		}
	}
}
