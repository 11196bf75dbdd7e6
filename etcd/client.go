package etcd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/poolproxy/poolproxy/pool"
)

const (
	// mostMessage bounds one answer, in bytes. A member takes no value longer than 1.5 MiB (--max-request-bytes), and sends such a one whole.
	mostMessage = 4 << 20

	// redialAfter is the longest pause before a member that could not be reached is tried again: when a cluster returns after an hour,
	// registrations are complete within one lease. gRPC's own bound is two minutes.
	redialAfter = time.Second

	// pingAfter is how long a connection may be silent until its peer is asked for a sign of life. gRPC allows no less.
	pingAfter = 10 * time.Second

	// stragglers is how long the other members may take to tell their cluster when one has.
	stragglers = 250 * time.Millisecond
)

// connection is a client, and what belongs to it.
type connection struct {
	client  *clientv3.Client
	leases  *keeper
	cluster uint64 // that all members belong to
}

// attempt is a connection that is being made, for all that wait for it.
type attempt struct {
	done chan struct{} // closed when the rest is there
	c    *connection
	err  error
}

// hold says that a connection is needed, until release.
func (s *Source) hold() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.users++
}

// release closes the connection when nobody needs it any more.
func (s *Source) release() {
	var unused *connection
	s.mu.Lock()
	if s.users--; s.users == 0 {
		unused, s.conn = s.conn, nil
	}
	s.mu.Unlock()
	unused.close()
}

// close has all that is under way on the connection fail; there may be none. It may wait for a member that is silent: not to be called with
// Source.mu held, which reports need at once.
func (c *connection) close() {
	if c == nil {
		return
	}
	c.leases.close()
	c.client.Close() // its error is that it has been closed
}

// connected returns the connection, for somebody who holds it. Where there is none it is made, once for all who want it now.
func (s *Source) connected(ctx context.Context) (*connection, error) {
	s.mu.Lock()
	switch {
	case s.conn != nil:
		defer s.mu.Unlock()
		return s.conn, nil
	case s.ctx.Err() != nil:
		defer s.mu.Unlock()
		return nil, errClosed
	case s.making == nil:
		s.making = &attempt{done: make(chan struct{})}
		s.running.Add(1)
		go s.make(s.making)
	}
	a := s.making
	s.mu.Unlock()
	select {
	case <-a.done:
		return a.c, a.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// make makes a connection. It ends by itself, within twice Config.Timeout; Close waits for it.
func (s *Source) make(a *attempt) {
	defer s.running.Done()
	a.c, a.err = s.tryConnect()
	var unused *connection
	s.mu.Lock()
	s.making = nil
	switch {
	case a.err != nil:
	case s.users == 0: // they have given up
		unused, a.c, a.err = a.c, nil, errClosed
	default:
		s.conn = a.c
	}
	close(a.done)
	s.mu.Unlock()
	unused.close()
}

// tryConnect makes a client, which checks the user's name and password, and asks all members which cluster they belong to.
func (s *Source) tryConnect() (*connection, error) {
	client, err := s.connect()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(s.ctx, s.c.Timeout)
	defer cancel()
	cluster, err := s.whichCluster(ctx, client)
	if err != nil {
		client.Close() // its error is that it has been closed
		return nil, err
	}
	return &connection{client, newKeeper(client), cluster}, nil
}

func (s *Source) connect() (*clientv3.Client, error) {
	var urls []string
	for _, e := range s.c.Endpoints {
		urls = append(urls, s.c.scheme()+e)
	}
	var in []grpc.DialOption
	if s.c.TLS != nil {
		in = []grpc.DialOption{grpc.WithTransportCredentials(anew{s.c.TLS})} // in place of the client's own, behind which it comes
	}
	return clientv3.New(clientv3.Config{
		Endpoints: urls, Username: s.c.Username, Password: s.c.Password, Context: s.ctx,
		DialTimeout: s.c.Timeout, DialKeepAliveTime: pingAfter, DialKeepAliveTimeout: s.c.Timeout,
		MaxCallRecvMsgSize: mostMessage,
		MaxUnaryRetries:    2, // one more, for a token that has run out. What else may be tried again is: ask does that
		Logger:             zap.NewNop(),
		DialOptions: append(in,
			// Longer than a request may take: so of a member that is silent it is said that there is no answer.
			grpc.WithConnectParams(grpc.ConnectParams{MinConnectTimeout: 2 * s.c.Timeout,
				Backoff: backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: redialAfter}}),
			grpc.WithChainUnaryInterceptor(failFast),
		),
	})
}

// failFast has a request fail as soon as no member can be reached, with the reason. The client would have it wait until its time is up, and
// say only that.
func failFast(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoker grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	return invoker(ctx, method, req, reply, cc, append(slices.Clip(opts), grpc.WaitForReady(false))...)
}

// attempts is how many members are asked when one does not answer: the next request goes to the next one.
const attempts = 2

// ask asks whichever member is next, and another one if that cannot answer. do may be called twice: what it does must be harmless then.
// It returns after twice Config.Timeout at the latest.
func (s *Source) ask(ctx context.Context, what string, do func(context.Context, *connection) (*pb.ResponseHeader, error)) error {
	var err error
	for range attempts {
		if err = s.askOnce(ctx, do); err == nil {
			return nil
		}
		if !transient(err) || ctx.Err() != nil {
			break
		}
	}
	return s.failed(ctx, what, err)
}

func (s *Source) askOnce(ctx context.Context, do func(context.Context, *connection) (*pb.ResponseHeader, error)) error {
	one, cancel := context.WithTimeout(ctx, s.c.Timeout)
	defer cancel()
	c, err := s.connected(one)
	if err != nil {
		return err
	}
	header, err := do(one, c)
	if err == nil && header != nil && header.ClusterId != c.cluster {
		s.giveUp(c)
		err = errAnother
	}
	return err
}

// giveUp closes a connection, so that the next one who needs it begins anew: a cluster that was built anew is taken, if all members that
// answer belong to it.
func (s *Source) giveUp(c *connection) {
	var unused *connection
	s.mu.Lock()
	if s.conn == c {
		unused, s.conn = c, nil
	}
	s.mu.Unlock()
	unused.close()
}

// transient reports whether another member, or the same a moment later, may do better.
func transient(err error) bool {
	code := status.Code(err)
	var told rpctypes.EtcdError
	if errors.As(err, &told) {
		code = told.Code()
	}
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, errStream) || errors.Is(err, errAnother) || code == codes.Unavailable || code == codes.DeadlineExceeded
}

// failed says why etcd did not do what it was asked for.
func (s *Source) failed(ctx context.Context, what string, err error) error {
	who := strings.Join(s.c.Endpoints, ", ")
	denied := errors.Is(err, rpctypes.ErrAuthFailed) || errors.Is(err, rpctypes.ErrUserEmpty) || errors.Is(err, rpctypes.ErrPermissionDenied)
	switch {
	case denied:
		return fmt.Errorf("etcd: %s at %s as user %q: %w (look at username and password_file, and what the user may do)", what, who, s.c.Username, plain{err})
	case errors.Is(err, errClusters):
		return fmt.Errorf("etcd: %s: %w", what, err)
	case ctx.Err() == nil && (errors.Is(err, context.DeadlineExceeded) || status.Code(err) == codes.DeadlineExceeded):
		return fmt.Errorf("etcd: %s: %w: no answer from %s within %v", what, pool.ErrSourceDown, who, s.c.Timeout)
	}
	return fmt.Errorf("etcd: %s at %s: %w: %w%s", what, who, pool.ErrSourceDown, plain{err}, advice(err))
}

// advice is what to do about errors that do not say it.
func advice(err error) string {
	switch {
	case errors.Is(err, rpctypes.ErrNoSpace):
		return " (compact and defragment it, then clear its alarm: etcdctl alarm disarm)"
	case strings.Contains(err.Error(), "does not look like a TLS handshake"):
		return " (it is without TLS: leave the tls block out, or have etcd listen on https)"
	case strings.Contains(err.Error(), "x509: "):
		return " (look at ca and server_name of the source's tls block)"
	case strings.Contains(err.Error(), "remote error: tls: "):
		return " (it wants a certificate that it trusts: look at cert and key of the source's tls block)"
	case strings.Contains(err.Error(), "frame too large"), strings.Contains(err.Error(), "server preface"):
		return " (is it etcd's port for clients? If that is in TLS, the source needs a tls block)"
	}
	return ""
}

// plain is an error of gRPC without what is of use to programs only.
type plain struct{ error }

func (p plain) Error() string {
	if st, ok := status.FromError(p.error); ok {
		return st.Message()
	}
	return p.error.Error()
}

func (p plain) Unwrap() error { return p.error }

// errClosed is that Close was called.
var errClosed = errors.New("the source was closed")

// errClusters is that the endpoints do not belong together.
var errClusters = errors.New("the endpoints belong to different clusters")

// errAnother is that an answer came from another cluster than all before.
var errAnother = errors.New("a member belongs to another cluster than before")

// member is what one endpoint says of its cluster.
type member struct {
	endpoint string
	cluster  uint64 // 0: it does not tell
	err      error
}

// whichCluster asks every endpoint for its cluster. One that cannot be reached has no say, but one must be.
func (s *Source) whichCluster(ctx context.Context, client *clientv3.Client) (uint64, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answers := make(chan member, len(s.c.Endpoints))
	for _, e := range s.c.Endpoints {
		go s.askMember(ctx, client, e, answers)
	}
	var first *member
	var failed []string
	var last error
	for range s.c.Endpoints {
		m := <-answers
		switch {
		case m.err != nil:
			last = m.err
			failed = append(failed, fmt.Sprintf("%s: %s", m.endpoint, status.Convert(m.err).Message()))
		case first == nil:
			first = &m
			defer time.AfterFunc(stragglers, cancel).Stop()
		case m.cluster != first.cluster:
			return 0, fmt.Errorf("%w: %s to %x, %s to %x", errClusters, first.endpoint, first.cluster, m.endpoint, m.cluster)
		}
	}
	if first == nil {
		slices.Sort(failed)
		if errors.Is(last, context.DeadlineExceeded) {
			return 0, last
		}
		return 0, status.Error(codes.Unavailable, strings.Join(failed, "; "))
	}
	return first.cluster, nil
}

// askMember asks one endpoint. It ends with ctx, and whichCluster waits for its answer.
func (s *Source) askMember(ctx context.Context, client *clientv3.Client, endpoint string, answers chan<- member) {
	st, err := client.Status(ctx, s.c.scheme()+endpoint)
	m := member{endpoint: endpoint, err: err}
	if err == nil {
		m.cluster = st.Header.GetClusterId()
	}
	answers <- m
}
