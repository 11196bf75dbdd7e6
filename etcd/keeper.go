package etcd

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// mostStreams is how many members are asked to keep a lease alive until one answers, each a while after the one before.
const mostStreams = 8

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

// keep keeps one lease alive, and returns how many seconds it has from now on; 0: it has run out. Whenever there was no answer for so long
// as patience, the next stream, which is another member's, is asked as well: a silent member costs that much, and one that is only slow may
// still answer. It returns when mostStreams have not answered, or when ctx ends.
func (k *keeper) keep(ctx context.Context, id clientv3.LeaseID, patience time.Duration) (ttl int64, err error) {
	answers := make(chan lease, mostStreams) // room for what each stream says: nobody waits for us
	for range mostStreams {
		s, err := k.send(ctx, id, answers)
		if err != nil {
			return 0, err
		}
		defer k.leave(s, id, answers)
		timer := time.NewTimer(patience)
		select {
		case a := <-answers:
			timer.Stop()
			if a.err == nil || !transient(a.err) {
				return a.ttl, a.err
			}
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return 0, ctx.Err()
		}
		k.doubt(s)
	}
	return 0, context.DeadlineExceeded
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

// send asks for one lease. It waits for a stream at most until ctx ends, or as long as who came before.
func (k *keeper) send(ctx context.Context, id clientv3.LeaseID, answer chan<- lease) (*leaseStream, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.ctx.Err() != nil {
		return nil, errStream
	}
	if k.stream == nil {
		forStream, cancel := context.WithCancel(k.ctx)
		inTime := context.AfterFunc(ctx, cancel)
		stream, err := pb.NewLeaseClient(k.client.ActiveConnection()).LeaseKeepAlive(forStream)
		if inTime(); err != nil {
			cancel()
			return nil, err
		}
		k.stream = &leaseStream{stream, cancel, make(map[clientv3.LeaseID][]chan<- lease)}
		s := k.stream
		k.running.Go(func() { k.receive(s) })
	}
	s := k.stream
	s.waiting[id] = append(s.waiting[id], answer)
	if err := s.Send(&pb.LeaseKeepAliveRequest{ID: int64(id)}); err != nil {
		s.cancel() // why, the receiver is told
	}
	return s, nil
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
