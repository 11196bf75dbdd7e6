package etcd

import (
	"context"
	"fmt"
	"strings"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/poolproxy/poolproxy/pool"
)

// firstPage is how many entries are asked for at once. If an answer would be longer than mostMessage it is fewer.
const firstPage = 512

// entry is one key of a pool's elements.
type entry struct {
	pool.Element
	key      string // below the pool's elements
	value    value
	modified int64 // the revision of etcd at which it was written last
	created  int64 // and first
	bad      error // why it is no element; nil: it is one
}

// entryOf reads what anybody may have written. key is what stands behind the folder of the elements.
func entryOf(key string, kv *mvccpb.KeyValue) entry {
	e := entry{key: key, modified: kv.ModRevision, created: kv.CreateRevision}
	name, mapping, err := parseKey(key)
	if err == nil {
		e.value, err = parseValue(kv.Value)
	}
	if err != nil {
		e.bad = fmt.Errorf("etcd: the entry %.300q is left out: %w", string(kv.Key), err)
		return e
	}
	e.Element = e.value.element(name, mapping, kv.ModRevision)
	return e
}

// listed is what became of a list.
type listed struct {
	revision int64 // of etcd, at which it is true
	err      error
}

// list hands over all entries below a folder as they stand at one time. Of each page nothing is kept but what take keeps.
func (s *Source) list(ctx context.Context, dir string, take func(entry)) (l listed) {
	from, page := dir, int64(firstPage)
	for {
		var r *clientv3.GetResponse
		err := s.ask(ctx, "listing "+dir, func(ctx context.Context, c *connection) (_ *pb.ResponseHeader, err error) {
			r, err = c.client.Get(ctx, from, clientv3.WithRange(clientv3.GetPrefixRangeEnd(dir)), clientv3.WithLimit(page), clientv3.WithRev(l.revision))
			if err != nil {
				return nil, err
			}
			return r.Header, nil
		})
		switch {
		case err != nil && tooLong(err) && page > 1:
			page /= 8
			continue
		case err != nil:
			return listed{err: err}
		case r.Count > MaxElements: // on later pages it counts the rest
			return listed{err: fmt.Errorf("etcd: there are %d entries in %s, more than %d", r.Count, dir, MaxElements)}
		}
		if l.revision == 0 {
			l.revision = r.Header.Revision
		}
		for _, kv := range r.Kvs {
			take(entryOf(strings.TrimPrefix(string(kv.Key), dir), kv))
		}
		if !r.More || len(r.Kvs) == 0 {
			return l
		}
		from = string(r.Kvs[len(r.Kvs)-1].Key) + "\x00"
	}
}

// tooLong reports whether an answer was longer than mostMessage.
func tooLong(err error) bool { return status.Code(err) == codes.ResourceExhausted }

// newest asks how many entries there are below a folder, and when one of them was written last.
func (s *Source) newest(ctx context.Context, dir string) (count, modified int64, err error) {
	err = s.ask(ctx, "checking "+dir, func(ctx context.Context, c *connection) (*pb.ResponseHeader, error) {
		r, err := c.client.Get(ctx, dir, clientv3.WithPrefix(), clientv3.WithKeysOnly(), clientv3.WithLimit(1),
			clientv3.WithSort(clientv3.SortByModRevision, clientv3.SortDescend))
		if err != nil {
			return nil, err
		}
		count, modified = r.Count, 0
		if len(r.Kvs) > 0 {
			modified = r.Kvs[0].ModRevision
		}
		return r.Header, nil
	})
	return count, modified, err
}
