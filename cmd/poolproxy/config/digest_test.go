package config

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const digested = `
source "dns" "zone" {
  name = "{pool}.test"
}
pool "far" {
  source = "dns.zone"
}
pool "data" {
  mapping = "sctp"
  element "a" { address = "192.0.2.1:1" }
}
pool_user "data" {
  listen = "127.0.0.1:0"
  pool   = "data"
  protocol "line" {
    safe = ["^GET ", "^a b"]
    state "login" { match = "^USER" }
  }
  failover {
    callback { send = "AGAIN ${session.id}\n" }
    callback { send = "AND ${reply.bytes}\n" }
  }
}
pool_element "n" {
  listen  = "127.0.0.1:0"
  server  = "127.0.0.1:1"
  mapping = "sctp"
  peer    = "native"
  protocol "line" {}
}
`

// digests are all that a configuration has.
func digests(t *testing.T, text string) (all []string) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "c.hcl")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	l := load([]string{name}, lookupNames)
	if l.Failed() {
		t.Fatal(l.Diagnostics)
	}
	c := l.Config
	all = append(all, c.Pools[0].SourceDigest, c.Users[0].ProtocolDigest, c.Users[0].Callbacks[0].Digest, c.Users[0].Callbacks[1].Digest,
		c.Elements[0].ProtocolDigest)
	return all
}

// What cannot be compared has a digest, which does not depend on where and how prettily it is written, and is another one for each
// other thing.
func TestDigests(t *testing.T) {
	want := digests(t, digested)
	for i, d := range want {
		if len(d) != 64 {
			t.Fatalf("digest %d is %q", i, d)
		}
	}
	same := func(text string) {
		t.Helper()
		if got := digests(t, text); strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("got  %s\nwant %s\nfor %s", got, want, text)
		}
	}
	same("# first\n\n" + strings.ReplaceAll(digested, "\n", " # why\n\n  // because\n"))
	same(strings.ReplaceAll(strings.ReplaceAll(digested, " = ", "   =   "), "  ", "\t"))
	same(strings.Replace(digested, `[`, "/* two */ [ ", 1))
	same(strings.ReplaceAll(digested, "\n", "\r\n"))
	for change, i := range map[[2]string]int{
		{`"{pool}.test"`, `"{pool}.test."`}: 0, {`"^GET "`, `"^GET"`}: 1, {`"^a b"`, `"^a  b"`}: 1, {`"^USER"`, `"^LOGIN"`}: 1,
		{`"AGAIN ${session.id}\n"`, `"AGAIN ${session.leg}\n"`}: 2, {`"AND ${reply.bytes}\n"`, `"AND  ${reply.bytes}\n"`}: 3,
		{`protocol "line" {}`, `protocol "stream" {}`}: 4,
	} {
		got := digests(t, strings.Replace(digested, change[0], change[1], 1))
		for k := range got {
			if (got[k] != want[k]) != (k == i) {
				t.Errorf("%q: digest %d is another one: %v", change, k, got[k] != want[k])
			}
		}
	}
}

// While a proxy stops nobody waits for names.
func TestLookupUntil(t *testing.T) {
	all, cancel := context.WithCancel(t.Context())
	asked := make(chan struct{})
	lookup := lookupFunc(func(ctx context.Context, _, _ string) ([]netip.Addr, error) {
		close(asked)
		<-ctx.Done()
		return nil, ctx.Err()
	}).until(all)
	go func() {
		<-asked
		cancel()
	}()
	ctx, cancelled := context.WithTimeout(t.Context(), time.Minute)
	defer cancelled()
	if _, err := lookup(ctx, "ip", "host"); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
