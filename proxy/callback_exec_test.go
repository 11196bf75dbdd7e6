//go:build unix

package proxy

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/poolproxy/poolproxy/session"
)

// called is what a callback has answered.
type called struct {
	reaction session.Reaction
	err      error
}

// callBack asks a callback that is a shell script.
func callBack(t *testing.T, script string, timeout time.Duration, at session.Moment) called {
	t.Helper()
	o := newOwner(t)
	rule := session.Callback(nil)
	c := User{Name: "orders", Callbacks: []Callback{{Rule: rule}, {Exec: []string{"/bin/sh", "-c", script}, Timeout: timeout}}}
	u := &userSide{shard: &Shard{loop: o.loop, log: hclog.New(&hclog.LoggerOptions{Output: &o.log})}, config: c,
		block: &userBlock{slots: make(chan struct{}, maxPrograms)}}
	answers := make(chan called, 2)
	o.do(func() {
		callbacks := u.makeCallbacks()
		if len(callbacks) != 2 || callbacks[0] != rule {
			t.Errorf("callbacks %v", callbacks)
		}
		callbacks[1].Call(at, func(r session.Reaction, err error) { answers <- called{r, err} })
		clear(at.Request) // it is the session's, and valid within the call
		clear(at.State)
	})
	t.Cleanup(func() { o.do(u.programs.close) })
	select {
	case c := <-answers:
		return c
	case <-time.After(limitPatience):
		t.Fatal("no answer")
		return called{}
	}
}

// What a program reads are exactly these names: they are an interface.
func TestCallbackExecInput(t *testing.T) {
	at := session.Moment{Session: 12, Client: "10.0.0.9:4711", Leg: 2, Failover: true, Element: "b", Address: "10.0.0.2:7001",
		Request: []byte("GET x\n"), ReplyBytes: 512, State: map[string]map[string]string{"login": {"user": "eve"}}}
	c := callBack(t, "cat", 0, at)
	if c.err != nil || c.reaction.Expect != nil || c.reaction.Continue {
		t.Fatalf("%+v", c)
	}
	want := `{"pool_user":"orders","session":12,"client":"10.0.0.9:4711","leg":2,"failover":true,"pool_element":"b",` +
		`"address":"10.0.0.2:7001","request":"R0VUIHgK","request_text":"GET x\n","reply_bytes":512,"state":{"login":{"user":"eve"}}}`
	if got := string(c.reaction.Send); got != want {
		t.Errorf("%s\nnot\n%s", got, want)
	}
	c = callBack(t, "cat", 0, session.Moment{Failover: true, Request: []byte{0xff, 0xfe}})
	var in map[string]any
	if err := json.Unmarshal(c.reaction.Send, &in); err != nil || in["request"] != "//4=" || in["request_text"] != nil {
		t.Errorf("%s, %v", c.reaction.Send, err)
	}
	c = callBack(t, "cat", 0, session.Moment{Failover: true})
	in = nil
	if err := json.Unmarshal(c.reaction.Send, &in); err != nil {
		t.Fatal(err)
	}
	if got := slices.Sorted(maps.Keys(in)); !slices.Equal(got, []string{"address", "client", "failover", "leg", "pool_element", "pool_user",
		"reply_bytes", "session"}) {
		t.Errorf("without a request: %q", got)
	}
}

// The largest request there may be comes through.
func TestCallbackExecLargeRequest(t *testing.T) {
	request := bytes.Repeat([]byte{'\n'}, 64<<10) // each is two bytes in JSON
	c := callBack(t, `tr -d '\n' | wc -c`, 0, session.Moment{Failover: true, Request: request})
	n, err := strconv.Atoi(strings.TrimSpace(string(c.reaction.Send)))
	if c.err != nil || err != nil || n < 3*len(request) { // in base64, and escaped
		t.Errorf("%s, %v", c.reaction.Send, c.err)
	}
}

// A program is for failovers, not for every client that connects.
func TestCallbackExecFirstLeg(t *testing.T) {
	c := callBack(t, "echo RESUME", 0, session.Moment{Session: 1, Leg: 1})
	if c.err != nil || c.reaction.Send != nil {
		t.Errorf("%+v", c)
	}
}

func TestCallbackExec(t *testing.T) {
	for name, c := range map[string]struct {
		script  string
		timeout time.Duration
		send    string
		err     string
	}{
		"nothing to send": {"exit 0", 0, "", ""},
		"binary":          {`printf 'a\000b\377'`, 0, "a\x00b\xff", ""},
		"it fails":        {"echo RESUME; echo 'not this one' >&2; exit 1", 0, "", "exit status 1: not this one"},
		"it takes long":   {"echo RESUME; sleep 1000", 30 * time.Millisecond, "", "not ended within 30ms"},
		"it says much":    {"head -c 100000 /dev/zero", 0, "", "more than 64 KiB"},
	} {
		t.Run(name, func(t *testing.T) {
			got := callBack(t, c.script, c.timeout, session.Moment{Session: 1, Failover: true})
			if string(got.reaction.Send) != c.send || (got.reaction.Send == nil) != (c.send == "") {
				t.Errorf("sends %q", got.reaction.Send)
			}
			if (got.err == nil) != (c.err == "") || got.err != nil && !strings.Contains(got.err.Error(), c.err) {
				t.Errorf("%v", got.err)
			}
		})
	}
}
