package config

import (
	"reflect"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/proxy"
)

func TestHealthChecks(t *testing.T) {
	for _, c := range []struct {
		lines []string
		want  proxy.HealthCheck // times and counts as by default where they are zero
		re    string
		at    string
	}{
		{[]string{`connect = "10.0.0.1:1"`}, proxy.HealthCheck{Kind: proxy.HealthConnect}, "", "10.0.0.1:1"},
		{[]string{`send = "PING\n"`, `expect = "^PONG"`}, proxy.HealthCheck{Kind: proxy.HealthExpect, Send: []byte("PING\n")}, "^PONG",
			"127.0.0.1:8083"},
		{[]string{`expect = "^220 "`, `connect = "10.0.0.1:1"`}, proxy.HealthCheck{Kind: proxy.HealthExpect}, "^220 ", "10.0.0.1:1"},
		{[]string{`http = "http://both.test/a%20b?c"`, `status = 204`},
			proxy.HealthCheck{Kind: proxy.HealthHTTP, Host: "both.test", Path: "/a%20b?c", Status: 204}, "", "192.0.2.1:80"},
		{[]string{`http = "http://[::1]:81"`}, proxy.HealthCheck{Kind: proxy.HealthHTTP, Host: "[::1]:81", Path: "/"}, "", "[::1]:81"},
		{[]string{`exec = ["/bin/true", "--of", ""]`}, proxy.HealthCheck{Kind: proxy.HealthExec, Exec: []string{"/bin/true", "--of", ""}}, "",
			"127.0.0.1:8083"},
		{[]string{`connect = "10.0.0.1:1"`, `interval = "10s"`, `timeout = "10s"`, `rise = 1`, `fall = 7`},
			proxy.HealthCheck{Interval: 10 * time.Second, Timeout: 10 * time.Second, Rise: 1, Fall: 7}, "", "10.0.0.1:1"},
		{[]string{`connect = "10.0.0.1:1"`, `interval = "500ms"`},
			proxy.HealthCheck{Interval: 500 * time.Millisecond, Timeout: 500 * time.Millisecond}, "", "10.0.0.1:1"},
	} {
		l := loadText(t, health(c.lines...))
		if len(l.Diagnostics) > 0 {
			t.Errorf("%q: %v", c.lines, l.Diagnostics)
			continue
		}
		got := *l.Config.Elements[1].Health
		if at := got.Address.String(); at != c.at {
			t.Errorf("%q: asks %s, not %s", c.lines, at, c.at)
		}
		if (got.Expect == nil) != (c.re == "") || got.Expect != nil && got.Expect.String() != c.re {
			t.Errorf("%q: expects %v, not %q", c.lines, got.Expect, c.re)
		}
		got.Address, got.Expect = c.want.Address, nil
		if c.want.Interval == 0 {
			c.want.Interval, c.want.Timeout = 2*time.Second, time.Second
		}
		if c.want.Rise == 0 {
			c.want.Rise, c.want.Fall = 2, 3
		}
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%q: %+v, not %+v", c.lines, got, c.want)
		}
	}
	if e := loadText(t, minimal).Config.Elements[0]; e.Health != nil {
		t.Errorf("checked without a health_check: %+v", e.Health)
	}
}
