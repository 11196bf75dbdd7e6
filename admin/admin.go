// Package admin is what a running proxy tells of itself over HTTP: its status and its failovers as JSON, its metrics, and
// whether it is alive; and the service primitives of nameservice mode. What a request can change is the cookie of a session, which is for
// the scripts of its server, who is in a pool, which elements are drained, and what is disturbed on purpose; and it can have sessions
// rehearsed. It knows nothing of the proxy but the functions it is given, and its handlespace.
package admin

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"log"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/poolproxy/poolproxy/admin/board"
	"github.com/poolproxy/poolproxy/handlespace"
)

// Bounds on clients: an admin API that hangs is of no use, and one that can be filled up is a way in.
const (
	maxHeader    = 16 << 10 // bytes of a request's head
	readTimeout  = 5 * time.Second
	writeTimeout = 30 * time.Second
	idleTimeout  = time.Minute
	closeTimeout = 2 * time.Second // for requests in progress, when the server is closed
)

// Options are what the server tells. The functions are called from many goroutines at once. What is nil is not served (404).
type Options struct {
	Status    func() any   // GET /v1/status: made JSON
	Failovers func() any   // GET /v1/failovers: made JSON
	Metrics   http.Handler // GET /metrics
	Cookies   *Cookies     // GET and PUT /v1/cookies/{address}

	Drains *Drains // GET, PUT and DELETE /v1/drains/{element}
	Chaos  *Chaos  // GET, POST and DELETE /v1/chaos

	// Rehearse is POST /v1/rehearsals/{pool}: what it returns is made JSON. Its errors may wrap ErrNotRehearsed and pool.ErrUnknownPool.
	Rehearse func(ctx context.Context, handle string, w Rehearse) (any, error)

	// Handlespace is what /v1/pools/{handle}/primary, /v1/pools/{handle}/next and /v1/registrations ask and change.
	Handlespace *handlespace.Handlespace

	Board   *board.Board                                     // the dashboard: GET /, /v1/events and /v1/sessions. The server closes it
	Upgrade func(context.Context, Upgrade) (Upgraded, error) // POST /v1/upgrade

	// Reload is POST /v1/reload: the configuration is read again. It returns what was different, a line each. Its errors may wrap ErrNotReloaded
	// and ErrNeedsRestart.
	Reload func(context.Context) ([]string, error)

	Unix    string              // path of a unix socket that is listened at, in place of the address; "": there is none
	Token   *Token              // who changes something must know it, and who asks beyond loopback without Mutual; nil: there is none
	TLS     *tls.Config         // how others come in by TCP; nil: without TLS
	Mutual  bool                // TLS asks for a certificate, and checks it
	Refused func(reason string) // counts those who do not know the token; nil: nobody does

	// Successor says that this process has taken another one's place: the unix socket at which that still listens is replaced by its own.
	Successor bool

	Log hclog.Logger // nil: nothing is logged
}

// Server is a running admin API.
type Server struct {
	listener net.Listener
	socket   net.Listener // listener, without TLS
	log      hclog.Logger
	http     *http.Server
	board    *board.Board // nil: there is none
	serving  bool
	served   chan struct{} // closed when the listener's goroutine has ended
}

// Start listens at addr, or at Options.Unix, and serves until Close. Port 0 is one that the system chooses, see Addr. The error names the address.
// Beyond loopback it is refused without Options.Token and Options.Mutual.
func Start(addr netip.AddrPort, o Options) (*Server, error) {
	s, err := Prepare(addr, o, nil)
	if err == nil {
		s.Serve()
	}
	return s, err
}

// Prepare is Start, but nobody is answered before Serve, which must be called unless Close is. instead, if not nil, is a server at the same place, whose
// socket it takes over: those who connect meanwhile are answered by either.
func Prepare(addr netip.AddrPort, o Options, instead *Server) (*Server, error) {
	if o.Log == nil {
		o.Log = hclog.NewNullLogger()
	}
	socket, err := listen(addr, &o, instead)
	if err != nil {
		return nil, err
	}
	s := &Server{
		listener: inTLS(socket, &o),
		socket:   socket,
		log:      o.Log,
		served:   make(chan struct{}),
		board:    o.Board,
		http: &http.Server{
			Handler:        protect(addr, &o, routes(o)),
			ReadTimeout:    readTimeout,
			WriteTimeout:   writeTimeout,
			IdleTimeout:    idleTimeout,
			MaxHeaderBytes: maxHeader - 4<<10, // net/http adds 4 KiB of its own
			ErrorLog:       stdLog(o.Log),
		},
	}
	return s, nil
}

// Serve begins to answer.
func (s *Server) Serve() {
	if u, is := s.socket.(*unixListener); is {
		u.keeps()
	}
	s.serving = true
	go s.serve(s.log)
}

// stdLog is a logger for net/http, whose complaints are about clients and so not worth more than debug.
func stdLog(l hclog.Logger) *log.Logger {
	return l.StandardLogger(&hclog.StandardLoggerOptions{ForceLevel: hclog.Debug})
}

func (s *Server) serve(log hclog.Logger) {
	defer close(s.served)
	if err := s.http.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
		log.Error("the admin API has ended", "address", s.listener.Addr(), "error", err)
	}
}

// Addr is where the server listens, by TCP.
func (s *Server) Addr() netip.AddrPort { return s.listener.Addr().(*net.TCPAddr).AddrPort() }

// Where is that for people.
func (s *Server) Where() string {
	if u, is := s.socket.(*unixListener); is {
		return "unix:" + u.path
	}
	return s.listener.Addr().String()
}

// Close stops listening, gives requests in progress two seconds, and returns when nothing of the server runs. Twice is harmless.
func (s *Server) Close() {
	if !s.serving {
		s.socket.Close() // nobody was answered
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	if s.board != nil {
		s.board.Close() // its events would go on
	}
	if s.http.Shutdown(ctx) != nil {
		s.http.Close() // cuts off what was too slow
	}
	<-s.served
}

// routes maps paths to what is told. Methods that a path does not have are answered with 405. PUT cannot be sent by a web page of
// another origin: browsers ask first (OPTIONS), and get 405.
func routes(o Options) http.Handler {
	mux := http.NewServeMux()
	if o.Status != nil {
		mux.Handle("GET /v1/status", tell(o.Status))
	}
	if o.Failovers != nil {
		mux.Handle("GET /v1/failovers", tell(o.Failovers))
	}
	if o.Metrics != nil {
		mux.Handle("GET /metrics", o.Metrics)
	}
	if o.Cookies != nil {
		mux.HandleFunc("GET /v1/cookies/{address}", o.Cookies.get)
		mux.HandleFunc("PUT /v1/cookies/{address}", o.Cookies.put)
	}
	if o.Drains != nil {
		o.Drains.routes(mux)
	}
	if o.Chaos != nil {
		o.Chaos.routes(mux)
	}
	if o.Rehearse != nil {
		mux.HandleFunc("POST /v1/rehearsals/{pool}", rehearsals(o.Rehearse))
	}
	if o.Handlespace != nil {
		(&primitives{o.Handlespace, o.Log}).routes(mux)
	}
	if o.Board != nil {
		o.Board.Routes(mux)
	}
	if o.Upgrade != nil {
		mux.HandleFunc("POST /v1/upgrade", (&upgrader{o.Upgrade, o.Log}).post)
	}
	if o.Reload != nil {
		mux.HandleFunc("POST /v1/reload", reload(o.Reload))
	}
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Write([]byte("ok\n")) // an error is the client's: it has gone
	})
	return mux
}

// tell answers with a value as JSON. It is made before the first byte is sent, so that an error can still be one.
func tell(value func() any) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		text, err := json.MarshalIndent(value(), "", "  ")
		if err != nil {
			http.Error(w, "the status cannot be written as JSON: "+err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		w.Write(append(text, '\n')) // an error is the client's: it has gone
	})
}
