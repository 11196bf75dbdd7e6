package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/poolproxy/poolproxy/internal/porttest"
	"github.com/poolproxy/poolproxy/proxy"
)

// A running proxy is disturbed by its admin API where its configuration permits that, and says so; sessions go on.
func TestChaosAPI(t *testing.T) {
	a := newLineServer(t, "a")
	user, other, api := porttest.Free(t), porttest.Free(t), porttest.Free(t)
	runs(t, fmt.Sprintf(`
grace = "100ms"
admin { listen = %q }
pool "things" {
  chaos   = true
  mapping = "none"
  element "a" { address = %q }
}
pool "calm" {
  mapping = "none"
  element "a" { address = %q }
}
pool_user "things" {
  listen = %q
  pool   = "things"
  protocol "line" { safe = ["."] }
}
pool_user "calm" {
  listen = %q
  pool   = "calm"
  protocol "line" { safe = ["."] }
}
`, api, a.listener.Addr(), a.listener.Addr(), user, other))
	page := "http://" + api.String()
	fetched(t, page+"/healthz", func(s string) bool { return s == "ok\n" })
	client, err := net.Dial("tcp", user.String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	said := bufio.NewScanner(client)
	hello := func() {
		t.Helper()
		fmt.Fprintln(client, "hello")
		if !said.Scan() || said.Text() != "a" {
			t.Fatalf("%q from the server, %v", said.Text(), said.Err())
		}
	}
	ask := func(method, path, body string, status int, to any) string {
		t.Helper()
		r, err := http.NewRequest(method, page+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		text, err := io.ReadAll(answer.Body)
		if answer.StatusCode != status || err != nil {
			t.Fatalf("%s %s: %d %s, %v", method, path, answer.StatusCode, text, err)
		}
		if to != nil {
			if err := json.Unmarshal(text, to); err != nil {
				t.Fatal(err)
			}
		}
		return string(text)
	}
	hello()
	var d proxy.Disturbance
	ask("POST", "/v1/chaos", `{"kind":"stall","side":"pool_user","name":"things","for":"4m"}`, 200, &d)
	fmt.Fprintln(client, "hello") // which waits
	var s proxy.ChaosStatus
	ask("GET", "/v1/chaos", "", 200, &s)
	if len(s.Active) != 1 || s.Active[0].ID != d.ID || fmt.Sprint(s.Allowed) != "[{pool_user things things}]" || !strings.Contains(d.Hit[0], "the connection to a") {
		t.Errorf("%+v, %+v", d, s)
	}
	var text, complaint bytes.Buffer
	if status := dispatch([]string{"status", "-admin", api.String()}, &text, &complaint); status != 0 || !strings.Contains(text.String(), "DISTURBED ON PURPOSE: stall of pool_user things for ") {
		t.Errorf("%d %s %s", status, &text, &complaint)
	}
	fetched(t, page+"/metrics", func(s string) bool {
		return strings.Contains(s, `poolproxy_chaos_disturbances_total{kind="stall"} 1`) && strings.Contains(s, "poolproxy_chaos_active 1")
	})
	ask("DELETE", "/v1/chaos/"+d.ID, "", 200, &s)
	if !said.Scan() || said.Text() != "a" || len(s.Active) != 0 || s.Done != 1 {
		t.Errorf("%q %v, %+v", said.Text(), said.Err(), s)
	}
	for _, x := range []struct {
		body   string
		status int
		says   string
	}{
		{`{"kind":"stall","side":"pool_user","name":"calm","for":"4m"}`, 403, `"may not be disturbed: write chaos = true in pool \"calm\"`},
		{`{"kind":"stall","side":"pool_user","name":"none","for":"4m"}`, 404, `has no pool_user \"none\"`},
		{`{"kind":"stall","side":"pool_user","name":"things"}`, 400, "5m0s"},
		{`{"kind":"stall","side":"pool_user","name":"things","element":"b","for":"1s"}`, 409, "nothing was disturbed"},
	} {
		if text := ask("POST", "/v1/chaos", x.body, x.status, nil); !strings.Contains(text, x.says) {
			t.Errorf("%s: %s", x.body, text)
		}
	}
	ask("DELETE", "/v1/chaos/c99", "", 404, nil)
	hello()
}
