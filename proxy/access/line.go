package access

import (
	"math"
	"time"

	"github.com/poolproxy/poolproxy/proxy"
)

// line is what is written of a session. Its names are part of what users rely on: docs/accesslog.md has them.
type line struct {
	Time         string   `json:"time"` // when it ended, RFC 3339, UTC
	Pool         string   `json:"pool"`
	User         string   `json:"pool_user"`
	Session      uint64   `json:"session"`
	Client       string   `json:"client"`
	Element      string   `json:"element"`
	Elements     []string `json:"elements"`
	Legs         uint32   `json:"legs"`
	Milliseconds float64  `json:"duration_ms"`
	FromClient   int64    `json:"from_client_bytes"`
	ToClient     int64    `json:"to_client_bytes"`
	Requests     uint64   `json:"from_client_messages"`
	Replies      uint64   `json:"to_client_messages"`
	Failovers    int      `json:"failovers"`
	Protection   string   `json:"protection"`
	Unprotected  string   `json:"protection_reason"`
	How          string   `json:"ended"`
	Why          string   `json:"reason"`
}

func lineOf(e proxy.SessionEnd) line {
	l := line{Time: e.Time.UTC().Format("2006-01-02T15:04:05.000Z"), Pool: e.Pool, User: e.User, Session: e.ID, Client: e.Client, Elements: e.Elements,
		Legs: e.Legs, Milliseconds: math.Round(1000*float64(e.Time.Sub(e.Began))/float64(time.Millisecond)) / 1000, FromClient: e.FromClient,
		ToClient: e.ToClient, Requests: e.Requests, Replies: e.Replies, Failovers: e.Failovers, Protection: string(e.Protection),
		Unprotected: cut(e.Unprotected), How: string(e.How), Why: cut(e.Why)}
	if n := len(e.Elements); n > 0 {
		l.Element = e.Elements[n-1]
	} else {
		l.Elements = []string{}
	}
	return l
}

// cut bounds what peers have said.
func cut(text string) string {
	if len(text) > mostText {
		return text[:mostText] + "…"
	}
	return text
}
