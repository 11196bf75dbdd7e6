package config

import (
	"net/netip"
	"time"

	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"github.com/poolproxy/poolproxy/mapping"
	"github.com/poolproxy/poolproxy/proxy"
)

// What holds where the configuration says nothing. config.hcl.example tells them to users.
const (
	defaultSessions = 10000
	defaultLimit    = 1 << 30 // bytes, all sessions together
	defaultPipes    = 256
	defaultMemory   = 1 << 20 // bytes, one session
	defaultGrace    = 30 * time.Second
	defaultHold     = 30 * time.Second
	defaultResume   = 5 * time.Second
	defaultDeadline = 30 * time.Second
	defaultAttempts = 5
	defaultFence    = 5 * time.Second  // longer if resume is
	defaultFencing  = 10 * time.Second // of fence_exec
	defaultExec     = 5 * time.Second  // of a callback's program

	defaultAssociations = 1 // docs/performance.md says why
	mostAssociations    = 16

	leastMemory = 64 << 10 // a session must be able to retain what one read brings
	mostMemory  = 1 << 30
	mostTime    = 24 * time.Hour
)

var (
	none             = cty.StringVal("none")
	sessions         = cty.StringVal("sessions")
	defaultAdmin     = netip.MustParseAddrPort("127.0.0.1:7878")
	defaultHeartbeat = mapping.Heartbeat{Interval: time.Second, Misses: 3}
)

func defaults() proxy.Config {
	return proxy.Config{
		Log:    proxy.Log{Level: "info"},
		Admin:  proxy.Admin{Listen: defaultAdmin},
		Limits: proxy.Limits{Sessions: defaultSessions, Memory: defaultLimit, Pipes: defaultPipes},
		Grace:  defaultGrace,
	}
}

// topLevel is the shape of a whole configuration.
func (r *reader) topLevel() *shape {
	return &shape{
		what:       "the configuration",
		attributes: map[string]setter{"grace": r.duration(&r.config.Grace, 0, mostTime), "watch": r.boolean(&r.config.Watch), "require_tls": r.boolean(&r.requireTLS)},
		once: map[string]func(*hclsyntax.Block){
			"log":        r.readLog,
			"admin":      r.readAdmin,
			"limits":     r.readLimits,
			"metrics":    r.readMetrics,
			"traces":     r.readTraces,
			"access_log": r.readAccessLog,
			"dns":        r.readDNS,
		},
		many: map[string]func(*hclsyntax.Block){
			"source":       r.readSource,
			"pool":         r.readPool,
			"pool_user":    r.readUser,
			"pool_element": r.readElement,
		},
		later:     []string{"etcd", "asap", "tls", "peer"},
		misplaced: map[string]string{"callback": inFailover, "health_check": inElement, "chaos": inChaos},
	}
}

func (r *reader) readLog(b *hclsyntax.Block) {
	r.block(b, &shape{
		what: "a log block",
		attributes: map[string]setter{
			"level":  word(r, &r.config.Log.Level, words("trace", "debug", "info", "warn", "error")),
			"format": word(r, &r.config.Log.JSON, []choice[bool]{{"text", false}, {"json", true}}),
		},
	})
}

// readMetrics reads where metrics are sent.
func (r *reader) readMetrics(b *hclsyntax.Block) {
	r.block(b, &shape{
		what: "a metrics block",
		attributes: map[string]setter{"statsd": func(a *hclsyntax.Attribute) {
			r.readAddress(&r.config.Metrics.Statsd, a, `Write: "127.0.0.1:8125".`, false)
		}},
	})
}

func (r *reader) readLimits(b *hclsyntax.Block) {
	r.limits = r.block(b, &shape{
		what: "a limits block",
		attributes: map[string]setter{
			"sessions": r.integer(&r.config.Limits.Sessions, 1, 1_000_000),
			"memory":   size(r, &r.config.Limits.Memory, 1<<20, 1<<40),
			"shards":   r.integer(&r.config.Limits.Shards, 1, proxy.MaxShards),
			"pipes":    r.integer(&r.config.Limits.Pipes, 0, 100_000),
		},
	})
}

// readHeartbeat reads a heartbeat block of either side.
func (r *reader) readHeartbeat(dst *mapping.Heartbeat) func(*hclsyntax.Block) {
	return func(b *hclsyntax.Block) {
		r.block(b, &shape{
			what: "a heartbeat block",
			attributes: map[string]setter{
				"interval": r.duration(&dst.Interval, 10*time.Millisecond, time.Hour),
				"misses":   r.integer(&dst.Misses, 1, 100),
			},
		})
	}
}

// readRetrieval reads a retrieval block of either side.
func (r *reader) readRetrieval(dst *int) func(*hclsyntax.Block) {
	return func(b *hclsyntax.Block) {
		r.block(b, &shape{
			what:       "a retrieval block",
			attributes: map[string]setter{"memory": size(r, dst, leastMemory, mostMemory)},
		})
	}
}
