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

// hold says that the client is needed, until release.
func (s *Source) hold() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.users++
}

// release closes the client when nobody needs it any more.
func (s *Source) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.users--; s.users == 0 {
		s.disconnect()
	}
}

// disconnect is called with s.mu held.
func (s *Source) disconnect() {
	if s.client == nil {
		return
	}
	s.leases.close()
	s.client.Close() // its error is that it has been closed
	s.client, s.leases, s.cluster = nil, nil, 0
}

// connected makes the client where there is none, for somebody who holds it. It waits only for the user's name and password to be checked.
func (s *Source) connected() (*clientv3.Client, *keeper, error) {
	s.connecting.Lock()
	defer s.connecting.Unlock()
	s.mu.Lock()
	client, leases := s.client, s.leases
	s.mu.Unlock()
	switch {
	case client != nil:
		return client, leases, nil
	case s.ctx.Err() != nil:
		return nil, nil, errClosed
	}
	client, err := s.connect()
	if err != nil {
		return nil, nil, err
	}
	leases = newKeeper(client)
	s.mu.Lock()
	s.client, s.leases = client, leases
	s.mu.Unlock()
	return client, leases, nil
}

func (s *Source) connect() (*clientv3.Client, error) {
	var urls []string
	for _, e := range s.c.Endpoints {
		urls = append(urls, "http://"+e)
	}
	return clientv3.New(clientv3.Config{
		Endpoints: urls, Username: s.c.Username, Password: s.c.Password, Context: s.ctx,
		DialTimeout: s.c.Timeout, DialKeepAliveTime: pingAfter, DialKeepAliveTimeout: s.c.Timeout,
		MaxCallRecvMsgSize: mostMessage,
		MaxUnaryRetries:    2, // one more, for a token that has run out. What else may be tried again is: ask does that
		Logger:             zap.NewNop(),
		DialOptions: []grpc.DialOption{
			grpc.WithConnectParams(grpc.ConnectParams{MinConnectTimeout: s.c.Timeout,
				Backoff: backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: redialAfter}}),
			grpc.WithChainUnaryInterceptor(failFast),
		},
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
func (s *Source) ask(ctx context.Context, what string, do func(context.Context, *clientv3.Client) (*pb.ResponseHeader, error)) error {
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

func (s *Source) askOnce(ctx context.Context, do func(context.Context, *clientv3.Client) (*pb.ResponseHeader, error)) error {
	client, _, err := s.connected()
	if err != nil {
		return err
	}
	one, cancel := context.WithTimeout(ctx, s.c.Timeout)
	defer cancel()
	if err := s.sameCluster(one, client, 0); err != nil {
		return err
	}
	header, err := do(one, client)
	if err != nil {
		return err
	}
	return s.sameCluster(one, client, header.GetClusterId())
}

// transient reports whether another member, or the same a moment later, may do better.
func transient(err error) bool {
	code := status.Code(err)
	var told rpctypes.EtcdError
	if errors.As(err, &told) {
		code = told.Code()
	}
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, errStream) || code == codes.Unavailable || code == codes.DeadlineExceeded
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
	return fmt.Errorf("etcd: %s at %s: %w: %w", what, who, pool.ErrSourceDown, plain{err})
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

// sameCluster makes sure that all answers are of one cluster. id is what an answer has; 0: none was had yet. When another cluster than
// before answers, all members are asked: a cluster that was built anew is taken, if they all belong to it.
func (s *Source) sameCluster(ctx context.Context, client *clientv3.Client, id uint64) error {
	s.mu.Lock()
	known := s.cluster
	s.mu.Unlock()
	if known != 0 && (id == 0 || id == known) {
		return nil
	}
	agreed, err := s.whichCluster(ctx, client)
	if err == nil && id != 0 && id != agreed {
		err = fmt.Errorf("%w: an answer came from %x, and they say that they are %x", errClusters, id, agreed)
	}
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.cluster = agreed
	s.mu.Unlock()
	return nil
}

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
	st, err := client.Status(ctx, "http://"+endpoint)
	m := member{endpoint: endpoint, err: err}
	if err == nil {
		m.cluster = st.Header.GetClusterId()
	}
	answers <- m
}
