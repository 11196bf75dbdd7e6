//go:build linux

package main

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/poolproxy/poolproxy/internal/workload"
)

// kind is one protocol: how its servers are started, what the pool_user is told of it, and what its servers have carried out.
type kind struct {
	name    workload.Kind
	config  string
	server  func(d *deployment, host, listen string) (args []string, err error)
	load    func(address string) error // what a new server is told; nil: nothing
	journal func(d *deployment, host string) ([]workload.Entry, error)
	unsafe  float64 // the share of unsafe requests
}

// kindsThatThereAre are all; without redis, which is said, where there is no redis-server.
func kindsThatThereAre(log func(string, ...any)) []kind {
	kinds := []kind{
		own(workload.Line, 0.05, `  protocol "line" {
    safe  = ["^GET "]
    lost  = "ERR lost\n"
    abort = "ERR abort\n"
  }
`),
		own(workload.Length, 0.05, `  protocol "length" {
    safe  = [{ offset = 4, bytes = "47" }]
    lost  = "\u0000\u0000\u0000\u0005Elost"
    abort = "\u0000\u0000\u0000\u0006Eabort"
  }
`),
		own(workload.HTTP, 0.05, "  protocol \"http\" {}\n"),
		own(workload.Stream, 0, `  protocol "stream" {}
  failover { replay = "session" }
  retrieval { memory = "8MiB" }
`),
	}
	if _, err := exec.LookPath("redis-server"); err != nil {
		log("there is no redis-server: no redis")
		return kinds
	}
	return append(kinds, kind{name: workload.Redis, unsafe: 0.05, config: "  protocol \"redis\" {}\n",
		server: redisServer, load: loadRedis, journal: redisJournal})
}

// own is a kind whose server is this program.
func own(k workload.Kind, unsafe float64, config string) kind {
	path := func(d *deployment, host string) string {
		return filepath.Join(d.o.out, "logs", "journal-"+string(k)+"-"+host)
	}
	return kind{name: k, config: config, unsafe: unsafe,
		server: func(d *deployment, host, listen string) ([]string, error) {
			self, err := os.Executable()
			return []string{self, serverRole, "-kind", string(k), "-listen", listen, "-journal", path(d, host), "-name", host}, err
		},
		journal: func(d *deployment, host string) ([]workload.Entry, error) { return workload.ReadJournal(path(d, host)) }}
}

func redisFolder(d *deployment, host string) (string, error) {
	return filepath.Abs(filepath.Join(d.o.out, "logs", "redis-"+host))
}

// redisServer is a real one, which remembers everything that it has answered when it is killed. Its file is not rewritten, so that it can
// be read as a journal.
func redisServer(d *deployment, host, listen string) ([]string, error) {
	folder, err := redisFolder(d, host)
	if err == nil {
		err = os.MkdirAll(folder, 0o755)
	}
	address, port, splitErr := net.SplitHostPort(listen)
	return []string{"redis-server", "--bind", address, "--port", port, "--dir", folder, "--save", "", "--appendonly", "yes", "--appendfsync", "everysec",
		"--auto-aof-rewrite-percentage", "0", "--tcp-backlog", "511"}, errors.Join(err, splitErr)
}

func loadRedis(address string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return workload.LoadRedis(ctx, address)
}

func redisJournal(d *deployment, host string) ([]workload.Entry, error) {
	folder, err := redisFolder(d, host)
	if err != nil {
		return nil, err
	}
	return workload.ReadAOF(filepath.Join(folder, "appendonlydir"), host)
}

// journals are what all servers of a kind have carried out. A server that has carried out nothing may have no file.
func (d *deployment) journals(k kind) (all []workload.Entry, err error) {
	for _, h := range d.hosts {
		entries, err := k.journal(d, h.name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		all = append(all, entries...)
	}
	return all, nil
}
