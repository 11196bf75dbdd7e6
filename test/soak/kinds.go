//go:build linux

package main

import (
	"os"
	"path/filepath"

	"github.com/poolproxy/poolproxy/internal/workload"
)

// kind is one protocol: how its servers are started, and what the pool_user is told of it.
type kind struct {
	name   workload.Kind
	config string
	server func(d *deployment, host, listen string) (args []string, err error)
	load   func(address string) error // what a new server is told; nil: nothing
	unsafe float64                    // the share of unsafe requests
}

// kindsThatThereAre are all, without those whose program is not there.
func kindsThatThereAre(log func(string, ...any)) ([]kind, error) {
	return []kind{
		{name: workload.Line, server: ownServer(workload.Line), unsafe: 0.05,
			config: "  protocol \"line\" {\n    safe  = [\"^GET \"]\n    lost  = \"ERR lost\\n\"\n    abort = \"ERR abort\\n\"\n  }\n"},
	}, nil
}

// ownServer is this program as a server.
func ownServer(k workload.Kind) func(*deployment, string, string) ([]string, error) {
	return func(d *deployment, host, listen string) ([]string, error) {
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		journal := filepath.Join(d.o.out, "logs", "journal-"+string(k)+"-"+host)
		d.journals = append(d.journals, journal)
		return []string{self, serverRole, "-kind", string(k), "-listen", listen, "-journal", journal, "-name", host}, nil
	}
}
