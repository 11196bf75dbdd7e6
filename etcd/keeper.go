package etcd

import (
	"context"
	"errors"
	"sync"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// keeper keeps leases alive, all of them over one stream: a stream for each time would cost a check of the password each. The client's own
// KeepAlive does not notice that its member has fallen silent before a lease is over.
type keeper struct {
	client *clientv3.Client

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

// errStream is that the stream was given up, because another lease had no answer on it.
var errStream = errors.New("the stream of leases was begun anew")

func newKeeper(client *clientv3.Client) *keeper { return &keeper{client: client} }

// keep keeps one lease alive, and returns how many seconds it has from now on; 0: it has run out. A stream on which there is no answer
// before ctx ends is given up: the next one is another member's.
func (k *keeper) keep(ctx context.Context, id clientv3.LeaseID) (ttl int64, err error) {
	answer := make(chan lease, 1)
	s, err := k.send(ctx, id, answer)
	if err != nil {
		return 0, err
	}
	select {
	case a := <-answer:
		return a.ttl, a.err
	case <-ctx.Done():
		k.drop(s, errStream)
		return 0, ctx.Err()
	}
}

// send asks for one lease. It waits for a stream at most until ctx ends, or as long as who came before.
func (k *keeper) send(ctx context.Context, id clientv3.LeaseID, answer chan<- lease) (*leaseStream, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.stream == nil {
		forStream, cancel := context.WithCancel(k.client.Ctx())
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

func (k *keeper) close() {
	k.mu.Lock()
	s := k.stream
	k.mu.Unlock()
	if s != nil {
		s.cancel()
	}
	k.running.Wait()
}
