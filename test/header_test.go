//go:build linux

package test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/poolproxy/poolproxy/internal/porttest"
)

// TestHAProxyBefore has a real HAProxy before poolproxy, which tells it of its clients by the PROXY protocol in either version, and a real nginx
// behind it, which is told of them in the other. Who comes past HAProxy is refused.
func TestHAProxyBefore(t *testing.T) {
	needs(t, false, "haproxy", "nginx", "curl")
	for _, version := range []string{"v1", "v2"} {
		t.Run(version, func(t *testing.T) {
			dir, front, middle, back, admin := logDir(t), porttest.FreeString(t), porttest.FreeString(t), porttest.FreeString(t), porttest.FreeString(t)
			other := map[string]string{"v1": "v2", "v2": "v1"}[version]
			write := func(name, format string, args ...any) string {
				path := filepath.Join(dir, name)
				if err := os.WriteFile(path, fmt.Appendf(nil, format, args...), 0o644); err != nil {
					t.Fatal(err)
				}
				return path
			}
			write("page", "a page")
			nginx := startProcess(t, command{name: "nginx", args: []string{"nginx", "-c", write("nginx.conf", `%[3]sworker_processes 1; daemon off; pid %[1]s/nginx.pid; error_log stderr;
events { worker_connections 64; }
http {
  log_format whence '$proxy_protocol_addr to $proxy_protocol_server_addr:$proxy_protocol_server_port $status';
  access_log %[1]s/access.log whence;
  client_body_temp_path %[1]s/tmp; proxy_temp_path %[1]s/tmp; fastcgi_temp_path %[1]s/tmp; uwsgi_temp_path %[1]s/tmp; scgi_temp_path %[1]s/tmp;
  server { listen %[2]s proxy_protocol; root %[1]s; }
}
`, dir, back, rootUser())}})
			nginx.waitListening(t, back)
			user := startProcess(t, command{name: "user", args: []string{builtBinary(t), "run", "-config", writeConfig(t, "user", fmt.Sprintf(`
admin { listen = %q }
pool "web" {
  mapping    = "none"
  send_proxy = %q
  element "a" { address = %q }
}
pool_user "web" {
  listen = %q
  pool   = "web"
  protocol "http" {}
  proxy_protocol { trusted = ["127.0.0.1"] }
}
`, admin, other, back, middle))}})
			user.waitListening(t, admin)
			haproxy := startProcess(t, command{name: "haproxy", args: []string{"haproxy", "-db", "-f", write("haproxy.cfg", `
defaults
  mode tcp
  timeout connect 30s
  timeout client 60s
  timeout server 60s
listen front
  bind %s
  server poolproxy %s %s
`, front, middle, map[string]string{"v1": "send-proxy", "v2": "send-proxy-v2"}[version])}})
			haproxy.waitListening(t, front)
			curl := func(from, to string) (string, error) {
				out, err := exec.Command("curl", "--silent", "--fail", "--max-time", "60", "--interface", from, "http://"+to+"/page").CombinedOutput()
				return string(out), err
			}
			if page, err := curl("127.0.0.7", front); page != "a page" {
				t.Errorf("through HAProxy: %q, %v", page, err)
			}
			waitFor(t, "nginx's log", func() bool {
				log, _ := os.ReadFile(filepath.Join(dir, "access.log"))
				return strings.TrimSpace(string(log)) == "127.0.0.7 to "+front+" 200"
			})
			for from, reason := range map[string]string{"127.0.0.1": "sends no PROXY protocol header", "127.0.0.7": "in none of the networks"} {
				if page, err := curl(from, middle); err == nil {
					t.Errorf("past HAProxy: %q", page)
				}
				user.said(t, reason, 1)
			}
		})
	}
}

// rootUser has nginx's workers be root's where the master is.
func rootUser() string {
	if os.Geteuid() == 0 {
		return "user root; "
	}
	return ""
}
