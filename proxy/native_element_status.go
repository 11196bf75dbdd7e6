package proxy

import "time"

// NativeSession is one session with a native pool user at a pool_element.
type NativeSession struct {
	ID          uint64    `json:"id"`
	Element     string    `json:"pool_element"`
	User        string    `json:"pool_user"`  // its address
	Connection  string    `json:"connection"` // our end of the connection to the server, by which the cookie is had; "" while there is none
	State       string    `json:"state"`      // waiting (for the first message) | connecting | open | closing
	Since       time.Time `json:"since"`
	FromUser    int64     `json:"from_user_bytes"`
	ToUser      int64     `json:"to_user_bytes"`
	Held        int       `json:"held_bytes"` // that wait for the server
	Outstanding int       `json:"outstanding_requests"`
	Cookie      int       `json:"cookie_bytes"`
}

// status lists the sessions, in the order in which they began.
func (n *nativeElement) status() (all []NativeSession) {
	for _, s := range n.inOrder() {
		all = append(all, s.status())
	}
	return all
}

func (s *nativeSession) status() NativeSession {
	x := NativeSession{ID: s.number, Element: s.owner.element.name, User: s.association.Remote().String(), State: "waiting", Since: s.since,
		FromUser: s.toServer, ToUser: s.toUser, Held: s.spill.Len(), Outstanding: s.outstanding(),
		Cookie: len(s.cookie)}
	if s.server != nil {
		x.State = "connecting"
		if at := s.server.Local(); at.IsValid() {
			x.Connection = at.String()
		}
	}
	switch {
	case s.left:
		x.State = "closing"
	case s.connected:
		x.State = "open"
	}
	return x
}
