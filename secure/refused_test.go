package secure

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/loop"
	"github.com/poolproxy/poolproxy/mapping"
	"github.com/poolproxy/poolproxy/secure/securetest"
)

// hearer is a mapping.Handler that tells of Up and Down.
type hearer struct {
	a    mapping.Association
	up   chan string // who the peer is
	down chan error
}

func newHearer() *hearer { return &hearer{up: make(chan string, 1), down: make(chan error, 1)} }

func (h *hearer) Up()                     { h.up <- h.a.(interface{ Identity() string }).Identity() }
func (h *hearer) Down(err error)          { h.down <- err }
func (h *hearer) Receive(mapping.Message) {}
func (h *hearer) Drained()                {}

// runLoop runs a loop until the test ends.
func runLoop(t testing.TB) loop.Runner {
	t.Helper()
	l, err := loop.New()
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(l.Run)
	t.Cleanup(func() {
		l.Stop()
		running.Wait()
	})
	return l
}

// do runs f on the loop.
func do(l loop.Loop, f func()) {
	done := make(chan struct{})
	l.Post(func() { f(); close(done) })
	<-done
}

var limits = mapping.Config{DialTimeout: 10 * time.Second, Heartbeat: mapping.Heartbeat{Interval: time.Second, Misses: 3}}

// server is a listener that tells of refusals, and of whom it has let in.
type server struct {
	loop    loop.Runner
	at      netip.AddrPort
	refused chan *Refusal
	in      chan *hearer
}

func serve(t testing.TB, m Mapping, c mapping.Config) *server {
	t.Helper()
	s := &server{loop: runLoop(t), refused: make(chan *Refusal, 10), in: make(chan *hearer, 10)}
	m.Refused = func(_ netip.AddrPort, why *Refusal) { s.refused <- why }
	do(s.loop, func() {
		l, err := m.Listen(s.loop, netip.MustParseAddrPort("127.0.0.1:0"), c, func(a mapping.Association) mapping.Handler {
			h := newHearer()
			h.a = a
			s.in <- h
			return h
		})
		if err != nil {
			t.Error(err)
			return
		}
		s.at = l.Addr()
	})
	return s
}

// dial dials the server from a loop of its own.
func (s *server) dial(t testing.TB, m Mapping) *hearer {
	l, h := runLoop(t), newHearer()
	do(l, func() { h.a = m.Dial(l, s.at, limits, h) })
	return h
}

// patience bounds every wait.
const patience = 30 * time.Second

// get waits for what a channel is to bring.
func get[T any](t testing.TB, what string, c <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(patience):
		t.Fatalf("%s has not come", what)
	}
	return v
}

// refuses checks that the server lets nobody in, and why.
func (s *server) refuses(t *testing.T, want Reason) {
	t.Helper()
	if why := get(t, "the refusal", s.refused); why.Reason != want {
		t.Errorf("refused: %v; want %s", why, want)
	}
	select {
	case <-s.in:
		t.Error("it was let in")
	default:
	}
}

const userName, elementName = "spiffe://example.org/orders/user", "element.example.org"

// What an element refuses of pool users, by crypto/tls alone: so nothing of ours on that side hides what is wrong.
func TestElementRefuses(t *testing.T) {
	a, other := newAuthority(t), newAuthority(t)
	element := Mapping{Rules{Credentials: load(t, a.issue(elementName, nil)), Allow: Allow{userName, "*.users.example.org"}}}
	hour := func(from, to time.Duration) func(*x509.Certificate) {
		return func(c *x509.Certificate) { c.NotBefore, c.NotAfter = time.Now().Add(from), time.Now().Add(to) }
	}
	for name, x := range map[string]struct {
		files *Files
		max   uint16
		want  Reason
	}{
		"no certificate":     {nil, 0, NoCertificate},
		"wrong CA":           {ptr(other.issue(userName, nil)), 0, NotTrusted},
		"wrong SAN":          {ptr(a.issue("spiffe://example.org/orders/user2", nil)), 0, NotAllowed},
		"name in CN only":    {ptr(a.issue("elsewhere.example.org", func(c *x509.Certificate) { c.Subject.CommonName = "a.users.example.org" })), 0, NotAllowed},
		"expired":            {ptr(a.issue(userName, hour(-2*time.Hour, -time.Hour))), 0, Expired},
		"not yet":            {ptr(a.issue(userName, hour(time.Hour, 2*time.Hour))), 0, Expired},
		"of servers only":    {ptr(a.issue(userName, func(c *x509.Certificate) { c.ExtKeyUsage = securetest.Both[:1] })), 0, NotTrusted},
		"TLS 1.2":            {ptr(a.issue(userName, nil)), tls.VersionTLS12, OldVersion},
		"TLS 1.2, nameless":  {nil, tls.VersionTLS12, OldVersion},
		"two labels for one": {ptr(a.issue("a.b.users.example.org", nil)), 0, NotAllowed},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, element, limits)
			c := &tls.Config{InsecureSkipVerify: true, MaxVersion: x.max}
			if x.files != nil {
				cert, err := tls.LoadX509KeyPair(x.files.Cert, x.files.Key)
				if err != nil {
					t.Fatal(err)
				}
				c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &cert, nil } // whatever is asked for
			}
			conn, err := tls.Dial("tcp", s.at.String(), c)
			s.refuses(t, x.want)
			if err == nil { // in TLS 1.3 a client hears of it when it reads
				conn.SetReadDeadline(time.Now().Add(patience))
				_, err = conn.Read(make([]byte, 1))
				conn.Close()
			}
			if timeout := net.Error(nil); err == nil || errors.As(err, &timeout) && timeout.Timeout() {
				t.Errorf("the peer was not told: %v", err)
			}
		})
	}
}

func ptr[T any](v T) *T { return &v }

// What a pool user refuses of elements; the element hears of it as well.
func TestUserRefuses(t *testing.T) {
	a, other := newAuthority(t), newAuthority(t)
	credentials := load(t, a.issue(userName, nil))
	for name, x := range map[string]struct {
		files Files
		want  Reason
	}{
		"wrong CA":  {other.issue(elementName, nil), NotTrusted},
		"wrong SAN": {a.issue("element.example.net", nil), NotAllowed},
		"expired":   {a.issue(elementName, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }), Expired},
		"a client":  {a.issue(elementName, func(c *x509.Certificate) { c.ExtKeyUsage = securetest.Both[1:] }), NotTrusted},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, Mapping{Rules{Credentials: load(t, x.files), Allow: Allow{userName}}}, limits)
			refused := make(chan *Refusal, 1)
			user := Mapping{Rules{Credentials: credentials, Allow: Allow{elementName}, Refused: func(_ netip.AddrPort, why *Refusal) { refused <- why }}}
			err := get(t, "Down", s.dial(t, user).down)
			if why := get(t, "the refusal", refused); why.Reason != x.want || !errors.Is(err, why) || !errors.Is(err, loop.ErrReset) {
				t.Errorf("refused: %v, Down(%v); want %s", why, err, x.want)
			}
			if why := get(t, "the element's refusal", s.refused); why.Reason != ByPeer && why.Reason != Broken {
				t.Errorf("the element says: %v", why)
			}
		})
	}
}

// The names of a single element go before those of all.
func TestAt(t *testing.T) {
	a := newAuthority(t)
	s := serve(t, Mapping{Rules{Credentials: load(t, a.issue(elementName, nil)), Allow: Allow{userName}}}, limits)
	user := Mapping{Rules{Credentials: load(t, a.issue(userName, nil)), Allow: Allow{elementName}}}
	for _, own := range []string{elementName, "another.example.org"} {
		user.At = func(to netip.AddrPort) (Allow, bool) { return Allow{own}, to == s.at }
		h := s.dial(t, user)
		if own == elementName {
			if peer := get(t, "Up", h.up); peer != elementName {
				t.Errorf("the peer is %q", peer)
			}
			if peer := get(t, "the element's Up", get(t, "the association", s.in).up); peer != userName {
				t.Errorf("the element's peer is %q", peer)
			}
		} else {
			get(t, "Down", h.down)
		}
	}
}

// Files that change are what handshakes go by from then on; what is half written changes nothing; associations go on.
func TestRefresh(t *testing.T) {
	a, next := newAuthority(t), newAuthority(t)
	files := a.issue(elementName, nil)
	credentials := load(t, files)
	s := serve(t, Mapping{Rules{Credentials: credentials, Allow: Allow{userName}}}, limits)
	old := s.dial(t, Mapping{Rules{Credentials: load(t, a.issue(userName, nil)), Allow: Allow{elementName}}})
	get(t, "Up", old.up)
	if changed, err := credentials.Refresh(); changed || err != nil {
		t.Errorf("nothing has changed: %v, %v", changed, err)
	}
	half := files
	half.Cert = next.issue(elementName, nil).Cert
	credentials.files = half // its key is of another one
	if changed, err := credentials.Refresh(); changed || err == nil {
		t.Errorf("a certificate with the key of another: %v, %v", changed, err)
	}
	credentials.files = files
	next.Renew(securetest.Files(files), elementName, nil)
	ca, err := os.ReadFile(next.File)
	if err == nil {
		err = os.WriteFile(files.CA, ca, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	if changed, err := credentials.Refresh(); !changed || err != nil {
		t.Fatalf("changed %v, %v", changed, err)
	}
	get(t, "Up", s.dial(t, Mapping{Rules{Credentials: load(t, next.issue(userName, nil)), Allow: Allow{elementName}}}).up)
	select {
	case err := <-old.down:
		t.Errorf("the association before has ended: %v", err)
	default:
	}
}

// Who says nothing, and who speaks no TLS, is refused in time.
func TestNoTLS(t *testing.T) {
	a := newAuthority(t)
	element := Mapping{Rules{Credentials: load(t, a.issue(elementName, nil)), Allow: Allow{userName}}}
	soon := limits
	soon.DialTimeout = 50 * time.Millisecond
	for name, x := range map[string]struct {
		says string
		end  bool
		want Reason
	}{
		"silence":   {"", false, Late},
		"our INIT":  {"\x01\x00\x00\x10", true, Broken},
		"HTTP":      {"GET / HTTP/1.0\r\n\r\n", false, Broken},
		"a look":    {"", true, Broken},
		"half of a": {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", false, Late},
	} {
		t.Run(name, func(t *testing.T) {
			c := limits // who says something has time to be heard
			if x.want == Late {
				c = soon
			}
			s := serve(t, element, c)
			conn, err := net.Dial("tcp", s.at.String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			fmt.Fprint(conn, x.says)
			if x.end {
				conn.(*net.TCPConn).CloseWrite()
			}
			s.refuses(t, x.want)
		})
	}
}
