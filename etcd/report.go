package etcd

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/poolproxy/poolproxy/pool"
)

const (
	// reportLease is how long a report lies in etcd, in seconds. Until then nobody else's is added: all that follow have heard of it.
	reportLease = 2

	// mostReports bounds the reports that wait to be sent.
	mostReports = 256
)

// report is that an element has failed.
type report struct{ handle, name string }

// reportValue is a report as it lies in etcd.
type reportValue struct {
	Version int    `json:"version"`
	By      string `json:"by"` // the instance that has said so: it need not be told
}

// ofReport tells whose report that is; "": that is not known.
func ofReport(text []byte) string {
	var v reportValue
	if len(text) > mostValue || json.Unmarshal(text, &v) != nil {
		return ""
	}
	return v.By
}

// Report shares with others that an element has failed (pool.Reporter). What was reported a moment ago is not reported again.
func (s *Source) Report(handle string, e pool.Element) {
	r, now := report{handle, e.Name}, time.Now()
	if checkName("", handle) != nil || checkName("", e.Name) != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for old, at := range s.recent {
		if now.Sub(at) >= reportLease*time.Second {
			delete(s.recent, old)
		}
	}
	if _, ok := s.recent[r]; ok || len(s.queue) >= mostReports || len(s.recent) >= MaxElements || s.ctx.Err() != nil {
		return
	}
	s.recent[r] = now
	s.queue = append(s.queue, r)
	if !s.reporting {
		s.reporting = true
		s.users++
		s.running.Go(s.sendReports)
	}
}

// sendReports ends when all have been sent, or could not be; Close waits for it.
func (s *Source) sendReports() {
	defer s.release()
	var lease clientv3.LeaseID // of all of them
	for {
		s.mu.Lock()
		if len(s.queue) == 0 || s.ctx.Err() != nil {
			s.queue, s.reporting = nil, false
			s.mu.Unlock()
			return
		}
		r := s.queue[0]
		s.queue = s.queue[1:]
		s.mu.Unlock()
		if s.sendReport(r, &lease) != nil { // what is lost is lost, and what waits behind it would be late
			s.mu.Lock()
			s.queue = nil
			s.mu.Unlock()
		}
	}
}

// sendReport writes one report, if nobody else's is there.
func (s *Source) sendReport(r report, lease *clientv3.LeaseID) error {
	key := poolDir(s.c.Prefix, r.handle) + reportsDir + url.PathEscape(r.name)
	text, err := json.Marshal(reportValue{Version: version, By: s.instance})
	if err != nil {
		return err
	}
	send := func(ctx context.Context, c *connection) (*pb.ResponseHeader, error) {
		if *lease == 0 {
			granted, err := c.client.Grant(ctx, reportLease)
			if err != nil {
				return nil, err
			}
			*lease = granted.ID
		}
		done, err := c.client.Txn(ctx).If(clientv3.Compare(clientv3.CreateRevision(key), "=", 0)).
			Then(clientv3.OpPut(key, string(text), clientv3.WithLease(*lease))).Commit()
		if err != nil {
			*lease = 0 // it may have run out
			return nil, err
		}
		return done.Header, nil
	}
	const what = "reporting a failed element"
	if err = s.ask(s.ctx, what, send); errors.Is(err, rpctypes.ErrLeaseNotFound) { // it ended while others were reported
		err = s.ask(s.ctx, what, send)
	}
	return err
}
