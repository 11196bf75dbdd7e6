package proxy

import (
	"bytes"
	"fmt"

	"github.com/poolproxy/poolproxy/asap"
	"github.com/poolproxy/poolproxy/mapping"
	"github.com/poolproxy/poolproxy/session"
)

// control takes an ASAP message of the pool user. All but COOKIE_ECHO mean nothing to a plain server.
func (s *nativeSession) control(p []byte) {
	m, _, err := asap.RSPLIB().Parse(p)
	if err != nil {
		s.owner.log.Debug("ASAP message ignored", "session", s.number, "bytes", len(p), "reason", err)
		return
	}
	echo, is := m.(asap.CookieEcho)
	switch {
	case !is:
		s.owner.log.Debug("ASAP message ignored: it is not for a server", "session", s.number, "type", m.Type())
	case s.spoken || s.echoed:
		s.owner.log.Debug("cookie ignored: it is not the first message", "session", s.number, "bytes", len(echo.Cookie))
	case len(echo.Cookie) > session.MaxCookie: // without it the server would begin anew where the pool user goes on
		s.abort(fmt.Errorf("%w: the pool user has brought %d bytes", session.ErrCookieLong, len(echo.Cookie)))
	default:
		s.echoed = true
		s.keep(echo.Cookie)
		s.owner.log.Debug("the pool user has brought a cookie", "session", s.number, "bytes", len(s.cookie))
		s.connect()
	}
}

// keep makes a copy of a cookie the session's.
func (s *nativeSession) keep(cookie []byte) {
	s.owner.element.shard.loop.Buffers().Charge(len(cookie) - len(s.cookie))
	s.cookie = bytes.Clone(cookie)
}

// Cookie is the server's state of the session: as the pool user has brought it from another element, or as it was set last. nil: there is
// none. It is a copy.
func (s *nativeSession) Cookie() []byte { return bytes.Clone(s.cookie) }

// SetCookie gives the pool user the server's state to keep, as it is, ahead of what the server says afterwards. It replaces the one
// before. The errors are session.ErrCookieLong and session.ErrLegOver.
func (s *nativeSession) SetCookie(cookie []byte) error {
	switch {
	case len(cookie) > session.MaxCookie:
		return fmt.Errorf("%w: %d bytes, at most %d are taken", session.ErrCookieLong, len(cookie), session.MaxCookie)
	case s.ended || s.left:
		return session.ErrLegOver
	}
	s.keep(cookie)
	s.owed = true
	return s.sendCookie(false)
}

// sendCookie sends the cookie that is owed to the pool user, when the association has room: of those that come faster than they can be
// sent, the newest counts. What the server says next does not pass it (now): a reply must not be there before its cookie.
func (s *nativeSession) sendCookie(now bool) error {
	if !s.owed || !now && s.association.Queued() >= nativeWindow {
		return nil
	}
	s.owed = false
	message, err := asap.Append(nil, asap.CookieMessage{Cookie: s.cookie})
	if err != nil {
		return err
	}
	return s.association.Send(mapping.Message{PPID: mapping.PPIDASAP, Data: message}, nil)
}
