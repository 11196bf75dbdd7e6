package proxy

import (
	"github.com/hashicorp/go-hclog"

	"github.com/poolproxy/poolproxy/asap"
	"github.com/poolproxy/poolproxy/mapping"
)

// asapDialect is that of the only other implementation of RSerPool that is alive; what differs from the RFCs is read from any peer.
var asapDialect = asap.RSPLIB()

// echo sends the cookie of the element that had the session before.
func (s *nativeSocket) echo(cookie []byte) {
	p, err := asapDialect.Append(nil, asap.CookieEcho{Cookie: cookie})
	if err == nil {
		err = s.a.Send(mapping.Message{PPID: asap.PPID, Data: p, Context: noOffset}, nil)
	}
	if err != nil { // the association has ended meanwhile, of which Down tells
		s.log("the cookie could not be echoed", "bytes", len(cookie), "error", err)
	}
}

// control takes an ASAP message of the server. What is not a cookie concerns registrars, or is rubbish: it is passed over, for none
// of it is the application's.
func (s *nativeSocket) control(p []byte) {
	m, _, err := asapDialect.Parse(p)
	if err != nil {
		s.log("ASAP message ignored", "bytes", len(p), "error", err)
		return
	}
	c, ok := m.(asap.CookieMessage)
	if !ok {
		s.log("ASAP message ignored", "type", m.Type())
		return
	}
	if err := s.leg.SetCookie(c.Cookie); err != nil {
		level := hclog.Warn
		if s.unkept { // an element says it as often as it likes
			level = hclog.Debug
		}
		s.unkept = true
		s.side.shard.log.Log(level, "a cookie is not kept: after a failover the next element is shown the one before it, or none",
			"pool_element", s.side.name, "error", err)
		return
	}
	s.log("cookie kept", "bytes", len(c.Cookie))
}

func (s *nativeSocket) log(message string, args ...any) {
	s.side.shard.log.Debug(message, append([]any{"pool_element", s.side.name}, args...)...)
}
