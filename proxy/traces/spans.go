package traces

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/poolproxy/poolproxy/proxy"
	"github.com/poolproxy/poolproxy/session"
)

// scope is what the spans say they are made by.
const scope = "github.com/poolproxy/poolproxy"

// step is a part of a failover, from the moment when the failure was noticed.
type step struct {
	name     string
	from, to time.Duration
}

// steps are the parts of a failover that there were. Each begins where the one before ended; detect ends where all others begin.
func steps(r *proxy.Record) (all []step) {
	if r.Detect > 0 {
		all = append(all, step{"detect", -r.Detect, 0})
	}
	var at time.Duration
	for _, s := range []struct {
		name string
		done time.Duration
	}{{"fence", r.Fence}, {"choose", r.Choose}, {"connect", r.Connect}, {"restore", r.Restored}, {"replay", r.Replayed}, {"first reply", r.First}} {
		if s.done > 0 {
			all = append(all, step{s.name, min(at, s.done), s.done})
			at = max(at, s.done)
		}
	}
	return all
}

// tell makes the spans of a record.
func (t *Traces) tell(r proxy.Record) {
	parts := steps(&r)
	var from, to time.Duration
	for _, p := range parts {
		from, to = min(from, p.from), max(to, p.to)
	}
	tracer := t.tracer.Tracer(scope, trace.WithInstrumentationVersion(proxy.Version))
	ctx, whole := tracer.Start(context.Background(), "failover", trace.WithNewRoot(), trace.WithTimestamp(r.Time.Add(from)),
		trace.WithAttributes(t.attributes(&r)...))
	whole.AddEvent("noticed", trace.WithTimestamp(r.Time), trace.WithAttributes(attribute.String("poolproxy.cause", r.Cause)))
	if r.Kind == session.KindEnded {
		whole.SetStatus(codes.Error, r.Verdict)
	}
	for _, p := range parts {
		_, span := tracer.Start(ctx, p.name, trace.WithTimestamp(r.Time.Add(p.from)))
		span.End(trace.WithTimestamp(r.Time.Add(p.to)))
	}
	whole.End(trace.WithTimestamp(r.Time.Add(to)))
}

// attributes are what the record says besides its times.
func (t *Traces) attributes(r *proxy.Record) []attribute.KeyValue {
	all := []attribute.KeyValue{
		attribute.String("poolproxy.pool", t.pools[r.User]),
		attribute.String("poolproxy.pool_user", r.User),
		attribute.Int64("poolproxy.session", int64(r.Session)),
		attribute.Int("poolproxy.leg", int(r.Leg)),
		attribute.String("poolproxy.from", r.From),
		attribute.String("poolproxy.to", r.To),
		attribute.String("poolproxy.kind", r.Kind),
		attribute.String("poolproxy.detector", r.Detector),
		attribute.String("poolproxy.cause", r.Cause),
		attribute.Int("poolproxy.elements_tried", r.Tried),
		attribute.Int("poolproxy.replayed_messages", r.Messages),
		attribute.Int64("poolproxy.replayed_bytes", r.Bytes),
		attribute.Int64("poolproxy.discarded_reply_bytes", r.Skipped),
		attribute.Int64("poolproxy.reply_bytes_not_fetched_twice", r.Saved),
		attribute.Int("poolproxy.lost_replies", r.Lost),
	}
	if r.Verdict != "" {
		all = append(all, attribute.String("poolproxy.verdict", r.Verdict))
	}
	return all
}
