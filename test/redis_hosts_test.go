//go:build linux

package test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/gomodule/redigo/redis"

	"github.com/poolproxy/poolproxy/internal/porttest"
)

// redisHost is one of the two places where a redis-server runs. The primary listens on its address; a replica listens on none
// until it is promoted, so that clients never meet a server that would refuse their writes or, worse, take them.
//
// Every life of a server has a folder of its own with its append-only file: appended to before a reply is sent, and the kernel's
// from then on, it tells after kill -9 what the server has carried out (see redisRecord).
type redisHost struct {
	t        *testing.T
	name     string
	address  string // for clients and for the replica
	password string // "" is none
	lives    []string
	server   *process
	admin    redis.Conn // over the server's unix socket
}

// start begins a life, as a replica of primary, or as the primary if that is nil.
func (h *redisHost) start(primary *redisHost) {
	h.t.Helper()
	life := fmt.Sprintf("redis-%s-%d", h.name, len(h.lives)+1)
	dir := filepath.Join(logDir(h.t), life)
	if err := os.Mkdir(dir, 0o755); err != nil {
		h.t.Fatal(err)
	}
	h.lives = append(h.lives, dir)
	socket := filepath.Join(dir, "s")
	ip, port, _ := strings.Cut(h.address, ":")
	args := []string{"redis-server", "--dir", dir, "--unixsocket", socket, "--bind", ip, "--save", "", "--appendonly", "yes",
		"--appendfsync", "no", "--auto-aof-rewrite-percentage", "0", "--repl-diskless-sync-delay", "0"}
	if h.password != "" {
		args = append(args, "--requirepass", h.password, "--masterauth", h.password)
	}
	if primary == nil {
		args = append(args, "--port", port)
	} else {
		ip, port, _ := strings.Cut(primary.address, ":")
		args = append(args, "--port", "0", "--replicaof", ip, port)
	}
	h.server = startProcess(h.t, command{name: life, args: args})
	waitFor(h.t, life+" to take connections", func() (ok bool) {
		var err error
		h.admin, err = redis.Dial("unix", socket, redis.DialPassword(h.password), redis.DialReadTimeout(patience),
			redis.DialWriteTimeout(patience))
		if err != nil {
			return false
		}
		admin := h.admin
		h.t.Cleanup(func() { admin.Close() })
		_, err = h.admin.Do("PING")
		return err == nil || strings.HasPrefix(err.Error(), "MASTERDOWN")
	})
}

// do is a command of the test's own.
func (h *redisHost) do(name string, args ...any) any {
	h.t.Helper()
	reply, err := h.admin.Do(name, args...)
	if err != nil {
		h.t.Fatalf("redis %s: %s: %v", h.name, name, err)
	}
	return reply
}

// info is the fields of INFO.
func (h *redisHost) info() map[string]string {
	h.t.Helper()
	text, _ := redis.String(h.do("INFO"), nil)
	fields := make(map[string]string)
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		fields[name] = value
	}
	return fields
}

// promote makes a replica the primary, once it has taken all that the dead one had sent to it.
func (h *redisHost) promote() {
	h.t.Helper()
	waitFor(h.t, "redis "+h.name+" to see that its primary is gone", func() bool { return h.info()["master_link_status"] == "down" })
	h.do("REPLICAOF", "NO", "ONE")
	h.open()
	_, port, _ := strings.Cut(h.address, ":")
	h.do("CONFIG", "SET", "port", port)
}

// redisMark stands in an append-only file where a server became the primary: what is behind it the server was told by clients.
const redisMark = "poolproxy-test:primary"

// open sets the mark.
func (h *redisHost) open() {
	h.t.Helper()
	h.do("SET", redisMark, h.name)
}

// redisPair is a primary and its replica.
type redisPair struct {
	t                *testing.T
	primary, replica *redisHost
}

// newRedisPair starts both, with a password unless that is empty, and fills the primary with what clients read.
func newRedisPair(t *testing.T, password string) *redisPair {
	t.Helper()
	p := &redisPair{t: t, primary: &redisHost{t: t, name: "a", address: porttest.FreeString(t), password: password},
		replica: &redisHost{t: t, name: "b", address: porttest.FreeString(t), password: password}}
	p.primary.start(nil)
	for db := range redisDatabases {
		p.primary.do("SELECT", db)
		list := []any{redisList}
		for i := range redisListLength {
			list = append(list, redisElement(db, i))
		}
		p.primary.do("RPUSH", list...)
		p.primary.do("SET", redisBig, redisBigValue(db))
	}
	p.primary.do("SELECT", 0)
	p.primary.open()
	p.replica.start(p.primary)
	p.waitInSync()
	return p
}

// waitInSync returns when the replica has everything that the primary had been told when this was called, follows it, and has a complete
// append-only file.
func (p *redisPair) waitInSync() {
	p.t.Helper()
	offset := func(text string) (n int64) {
		n, _ = strconv.ParseInt(text, 10, 64)
		return n
	}
	told := offset(p.primary.info()["master_repl_offset"])
	waitFor(p.t, "redis "+p.replica.name+" to be in sync", func() bool {
		i := p.replica.info()
		return i["master_link_status"] == "up" && i["loading"] == "0" && i["aof_rewrite_in_progress"] == "0" && i["aof_rewrite_scheduled"] == "0" &&
			offset(i["slave_repl_offset"]) >= told && strings.Contains(p.primary.info()["slave0"], "state=online")
	})
}

// fail kills the primary, promotes the replica, and starts the dead one again as a replica of it.
func (p *redisPair) fail() {
	p.t.Helper()
	p.primary.server.kill()
	p.primary.admin.Close()
	p.replica.promote()
	p.primary, p.replica = p.replica, p.primary
	p.replica.start(p.primary)
}

// addresses of both, for the configuration of poolproxy; the primary's is the first.
func (p *redisPair) addresses() []string { return []string{p.primary.address, p.replica.address} }

// record is what both servers have carried out, in all their lives. The present ones must have nothing more to do.
func (p *redisPair) record() *redisRecord {
	p.t.Helper()
	r := newRedisRecord()
	for _, h := range []*redisHost{p.primary, p.replica} {
		for _, dir := range h.lives {
			if err := r.readLife(dir); err != nil {
				p.t.Fatal(err)
			}
		}
	}
	return r
}
