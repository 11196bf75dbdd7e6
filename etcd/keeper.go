package etcd

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/peer"
)

// mostStreams is how many members are asked to keep a lease alive until one answers: the first two for one patience each, the others each for
// twice as long as the one before.
const (
	mostStreams = 4
	patiences   = 1 + 1 + 2 + 4
)

// mostPicks is how many streams may be begun until one is at another member than the silent one: gRPC takes the members in turn, and other
// requests take turns in between.
const mostPicks = 8

// keeper keeps leases alive, all of them over one stream: a stream for each time would cost a check of the password each. The client's own
// KeepAlive does not notice that its member has fallen silent before a lease is over.
type keeper struct {
	client *clientv3.Client
	ctx    context.Context    // of all streams
	cancel context.CancelFunc // of ctx

	mu      sync.Mutex
	stream  *leaseStream   // guarded by mu; nil: there is none
	running sync.WaitGroup // receivers
}

// leaseStream is one stream. Its map is guarded by the keeper's mu.
type leaseStream struct {
	pb.Lease_LeaseKeepAliveClient
	member  string    // its address
	heard   time.Time // when something came last, or it was begun; guarded as the map
	cancel  context.CancelFunc
	waiting map[clientv3.LeaseID][]chan<- lease
}

// lease is what is said of one.
type lease struct {
	ttl int64 // in seconds; 0: there is none of that number any more
	err error
}

// errStream is that the connection was given up meanwhile, so that there is no stream.
var errStream = errors.New("the connection was given up")

func newKeeper(client *clientv3.Client) *keeper {
	k := &keeper{client: client}
	k.ctx, k.cancel = context.WithCancel(client.Ctx())
	return k
}

// keep keeps one lease alive, and returns how many seconds it has from now on; 0: it has run out. Where nothing came from a member for so long
// as patience, another one is asked as well: a silent one costs that much. One that answers others is only slow: it is waited for, or a cluster
// with much to do would have several times as much. It returns when mostStreams were silent, or when ctx ends.
func (k *keeper) keep(ctx context.Context, id clientv3.LeaseID, patience time.Duration) (ttl int64, err error) {
	answers := make(chan lease, mostStreams) // room for what each stream says: nobody waits for us
	silent := ""
	for i := range mostStreams {
		s, err := k.send(ctx, id, answers, silent)
		if err != nil {
			return 0, err
		}
		defer k.leave(s, id, answers)
		a, err := k.await(ctx, s, answers, patience<<max(0, i-1))
		if err != nil {
			return 0, err
		}
		if a != nil && (a.err == nil || !transient(a.err)) {
			return a.ttl, a.err
		}
		silent = s.member
		k.doubt(s)
	}
	return 0, context.DeadlineExceeded
}

// await waits for what is said of a lease; nil: nothing has come from this stream for so long as patience, whatever lease it were of.
func (k *keeper) await(ctx context.Context, s *leaseStream, answers <-chan lease, patience time.Duration) (*lease, error) {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		select {
		case a := <-answers:
			return &a, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-timer.C:
			k.mu.Lock()
			left := patience - time.Since(s.heard)
			k.mu.Unlock()
			if left <= 0 {
				return nil, nil
			}
			timer.Reset(left)
		}
	}
}

// doubt has those who come next ask another stream than this one.
func (k *keeper) doubt(s *leaseStream) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.stream == s {
		k.stream = nil
	}
}

// leave says that an answer is no longer waited for. A stream that is doubted ends with the last who waits there.
func (k *keeper) leave(s *leaseStream, id clientv3.LeaseID, answers chan<- lease) {
	k.mu.Lock()
	defer k.mu.Unlock()
	s.waiting[id] = slices.DeleteFunc(s.waiting[id], func(c chan<- lease) bool { return c == answers })
	if len(s.waiting[id]) == 0 {
		delete(s.waiting, id)
	}
	if k.stream != s && len(s.waiting) == 0 {
		s.cancel()
	}
}

// send asks for one lease, and not at the silent member. It waits for a stream at most until ctx ends, or as long as who came before.
func (k *keeper) send(ctx context.Context, id clientv3.LeaseID, answer chan<- lease, silent string) (*leaseStream, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.ctx.Err() != nil {
		return nil, errStream
	}
	if k.stream == nil || k.stream.member == silent {
		s, err := k.begin(ctx, silent)
		if err != nil {
			return nil, err
		}
		k.stream = s
		k.running.Go(func() { k.receive(s) })
	}
	s := k.stream
	s.waiting[id] = append(s.waiting[id], answer)
	if err := s.Send(&pb.LeaseKeepAliveRequest{ID: int64(id)}); err != nil {
		s.cancel() // why, the receiver is told
	}
	return s, nil
}

// begin begins a stream, if possible not at the silent member.
func (k *keeper) begin(ctx context.Context, silent string) (*leaseStream, error) {
	picks := min(mostPicks, 4*(len(k.client.Endpoints())-1))
	for i := 0; ; i++ {
		forStream, cancel := context.WithCancel(k.ctx)
		inTime := context.AfterFunc(ctx, cancel)
		stream, err := pb.NewLeaseClient(k.client.ActiveConnection()).LeaseKeepAlive(forStream)
		if inTime(); err != nil {
			cancel()
			return nil, err
		}
		s := &leaseStream{Lease_LeaseKeepAliveClient: stream, cancel: cancel, heard: time.Now(), waiting: make(map[clientv3.LeaseID][]chan<- lease)}
		if p, ok := peer.FromContext(stream.Context()); ok {
			s.member = p.Addr.String()
		}
		if s.member != silent || i >= picks {
			return s, nil
		}
		cancel()
	}
}

// receive hands out answers. It ends with its stream; close waits for it.
func (k *keeper) receive(s *leaseStream) {
	for {
		r, err := s.Recv()
		if err != nil {
			k.drop(s, err)
			return
		}
		id := clientv3.LeaseID(r.ID)
		k.mu.Lock()
		s.heard = time.Now()
		for _, answer := range s.waiting[id] {
			answer <- lease{ttl: max(r.TTL, 0)}
		}
		delete(s.waiting, id)
		k.mu.Unlock()
	}
}

// drop ends a stream, and tells all that wait.
func (k *keeper) drop(s *leaseStream, err error) {
	s.cancel()
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.stream == s {
		k.stream = nil
	}
	for _, answers := range s.waiting {
		for _, answer := range answers {
			answer <- lease{err: err}
		}
	}
	clear(s.waiting)
}

// close ends all streams. It waits for a send that has seen that there is time left, so that no receiver begins behind it.
func (k *keeper) close() {
	k.cancel()
	k.mu.Lock()
	k.mu.Unlock() //lint:ignore SA2001 see above
	k.running.Wait()
}
