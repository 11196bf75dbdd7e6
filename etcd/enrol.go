package etcd

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/poolproxy/poolproxy/pool"
)

// margin is what a lease in etcd is shorter than the one that was configured: etcd takes up to a second to notice that one is over.
const margin = time.Second

// mostTurns is how often a registration begins anew at once because something has changed in between.
const mostTurns = 10

// grant begins a lease.
func (s *Source) grant(ctx context.Context) (id clientv3.LeaseID, ttl time.Duration, err error) {
	err = s.ask(ctx, "beginning a lease", func(ctx context.Context, c *connection) (*pb.ResponseHeader, error) {
		r, err := c.client.Grant(ctx, int64((s.c.Lease-margin)/time.Second))
		if err != nil {
			return nil, err
		}
		id, ttl = r.ID, time.Duration(r.TTL)*time.Second // etcd may give more: one and a half of its election timeouts at least
		return r.ResponseHeader, nil
	})
	return id, ttl, err
}

// keep keeps a lease alive, and reports whether there still is one. For patience see keeper.keep.
func (s *Source) keep(ctx context.Context, id clientv3.LeaseID, patience time.Duration) (alive bool, err error) {
	one, cancel := context.WithTimeout(ctx, s.c.Timeout)
	defer cancel()
	c, err := s.connected(one)
	if err != nil {
		return false, err
	}
	all, cancel := context.WithTimeout(ctx, patiences*patience)
	defer cancel()
	ttl, err := c.leases.keep(all, id, patience)
	return ttl > 0, err
}

// revoke ends a lease. That there is none is as good.
func (s *Source) revoke(ctx context.Context, id clientv3.LeaseID) error {
	return s.ask(ctx, "ending a lease", func(ctx context.Context, c *connection) (*pb.ResponseHeader, error) {
		r, err := c.client.Revoke(ctx, id)
		if errors.Is(err, rpctypes.ErrLeaseNotFound) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		return r.Header, nil
	})
}

// seen is what lies in etcd where an element is to be registered.
type seen struct {
	element *mvccpb.KeyValue // nil: nothing
	policy  *mvccpb.KeyValue // nil: nothing
}

// revision is that of the last change; 0: there is nothing.
func revision(kv *mvccpb.KeyValue) int64 {
	if kv == nil {
		return 0
	}
	return kv.ModRevision
}

// see reads both keys as they are at one time.
func (g *registration) see() (now seen, err error) {
	err = g.s.ask(g.ctx, "looking at "+g.key, func(ctx context.Context, c *connection) (*pb.ResponseHeader, error) {
		r, err := c.client.Txn(ctx).Then(clientv3.OpGet(g.key), clientv3.OpGet(g.dir+policyKey)).Commit()
		if err != nil {
			return nil, err
		}
		now = seen{first(r.Responses[0]), first(r.Responses[1])}
		return r.Header, nil
	})
	return now, err
}

func first(r *pb.ResponseOp) *mvccpb.KeyValue {
	if kvs := r.GetResponseRange().GetKvs(); len(kvs) > 0 {
		return kvs[0]
	}
	return nil
}

// step does what is needed for the element to be registered as wanted, and returns why it is not.
func (g *registration) step() error {
	select {
	case <-g.heart.over():
		g.heart = nil
	default:
	}
	for range mostTurns {
		want := g.want()
		now, err := g.see()
		if err != nil {
			return err
		}
		if g.stands(now, want) {
			g.stood = true
			return nil
		}
		if err := g.judge(now); err != nil {
			return err
		}
		if g.heart == nil {
			lease, ttl, err := g.s.grant(g.ctx)
			if err != nil {
				return err
			}
			g.heart = g.s.begin(g.ctx, lease, ttl)
		}
		if err := g.put(now, want); errors.Is(err, rpctypes.ErrLeaseNotFound) {
			g.heart.stop()
			g.heart = nil
		} else if err != nil {
			return err
		} // whether it stands is looked at again
	}
	return fmt.Errorf("etcd: %s: others have changed it all the time: %w", g.key, pool.ErrSourceDown)
}

// stands reports whether all is as it should be.
func (g *registration) stands(now seen, want string) bool {
	return now.element != nil && now.policy != nil && string(now.element.Value) == want && clientv3.LeaseID(now.element.Lease) == g.heart.lease() && g.heart != nil
}

// judge tells what is in the way of the element: another one under its name, or another policy of the pool.
func (g *registration) judge(now seen) error {
	if now.element != nil {
		v, err := parseValue(now.element.Value)
		own := err == nil && v.Instance == g.instance
		switch {
		case own:
			if now.policy != nil {
				return nil // it is registered: other values, or another lease, are a matter of its own
			}
		case err != nil: // it is nobody's
		case v.Address == g.r.Element.Address && !g.stood: // this one has been started again, and the one before did not end well
		default:
			return fmt.Errorf("etcd: %s is registered from %v by another one, until that is gone or its lease has ended: %w", g.key, v.Address, pool.ErrDuplicate)
		}
	}
	if now.policy != nil {
		if word := string(now.policy.Value); word != g.r.Policy.String() && !g.stood {
			return fmt.Errorf("etcd: element %q says %v, and the pool has %.40q by %s: %w", g.r.Element.Name, g.r.Policy, word, g.dir+policyKey, pool.ErrInconsistent)
		}
		return nil
	}
	if g.stood {
		return nil // others were judged by ours
	}
	return g.judgeOthers()
}

// judgeOthers looks for elements with another policy: it is known from them where nothing else says it, since who has said it is gone.
func (g *registration) judgeOthers() error {
	var other *entry
	l := g.s.list(g.ctx, g.dir+elementsDir, func(e entry) {
		if e.bad == nil && e.value.Policy != g.r.Policy.String() && !strings.HasSuffix(g.key, "/"+elementsDir+e.key) {
			other = &e
		}
	})
	switch {
	case l.err != nil:
		return l.err
	case other != nil:
		return fmt.Errorf("etcd: element %q says %v, and element %q of the pool %s: %w", g.r.Element.Name, g.r.Policy, other.Name, other.value.Policy, pool.ErrInconsistent)
	}
	return nil
}

// put writes the element, and the pool's policy if there is none, unless something is not as it was seen.
func (g *registration) put(now seen, want string) error {
	policy := g.dir + policyKey
	ops := []clientv3.Op{clientv3.OpPut(g.key, want, clientv3.WithLease(g.heart.lease()))}
	if now.policy == nil {
		ops = append(ops, clientv3.OpPut(policy, g.r.Policy.String(), clientv3.WithLease(g.heart.lease())))
	}
	return g.s.ask(g.ctx, "registering "+g.key, func(ctx context.Context, c *connection) (*pb.ResponseHeader, error) {
		r, err := c.client.Txn(ctx).If(
			clientv3.Compare(clientv3.ModRevision(g.key), "=", revision(now.element)),
			clientv3.Compare(clientv3.ModRevision(policy), "=", revision(now.policy)),
		).Then(ops...).Commit()
		if err != nil {
			return nil, err
		}
		return r.Header, nil
	})
}
