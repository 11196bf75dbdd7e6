// Package traces tells failovers as traces of OpenTelemetry, by OTLP over HTTP: one trace for each record, and a span in it for
// each of its steps, with the record's times. Sessions never wait for the collector: records go through a queue of bounded
// length to a goroutine that sends them. What finds it full, or is not taken, is lost and counted.
package traces

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-metrics"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/sdk/trace"

	"github.com/poolproxy/poolproxy/proxy"
)

// Bounds.
const (
	mostQueued = 1024 // records that are not sent
	batch      = 64   // records that are sent at once
	linger     = time.Second
	timeout    = 10 * time.Second // of one request to the collector
	persist    = 30 * time.Second // how long one batch is tried
	patience   = 3 * time.Second  // for what is left when the process ends
)

// Reasons for which traces are lost: labels of poolproxy_traces_lost_total.
const (
	lostQueue = "queue_full"
	lostSend  = "not_taken"
)

// collectorPath is where collectors take traces, if the URL does not say another path.
const collectorPath = "/v1/traces"

// Traces sends traces. It is a proxy.Observer.
type Traces struct {
	url    string
	log    hclog.Logger
	meter  *metrics.Metrics
	pools  map[string]string // of the pool_users
	linger time.Duration

	queue   chan proxy.Record
	all     context.Context // until Close has waited long enough
	cancel  context.CancelFunc
	end     chan struct{} // closed by Close
	ended   chan struct{} // closed when the goroutine has ended
	closing sync.Once

	// The goroutine's.
	exporter *otlptrace.Exporter
	spans    *collector
	tracer   *trace.TracerProvider
	failed   bool // that the collector does not take them was said
}

// Check tells what is wrong with a URL of a collector.
func Check(text string) error {
	_, err := parse(text)
	return err
}

func parse(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, err
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("it has to be http://HOST:PORT or https://HOST:PORT, with a path if the collector wants another one than " + collectorPath)
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = collectorPath
	}
	return u, nil
}

// Start begins to send traces as it is configured. Nobody is asked whether the collector is there. The meter may be nil.
func Start(c proxy.Config, version string, log hclog.Logger, meter *metrics.Metrics) (*Traces, error) {
	u, err := parse(c.Traces.OTLP)
	if err != nil {
		return nil, fmt.Errorf("traces.otlp: %w", err)
	}
	t := &Traces{url: u.String(), log: log, meter: meter, pools: map[string]string{}, linger: linger, queue: make(chan proxy.Record, mostQueued),
		end: make(chan struct{}), ended: make(chan struct{}), spans: &collector{}}
	for _, user := range c.Users {
		t.pools[user.Name] = user.Pool
	}
	t.all, t.cancel = context.WithCancel(context.Background())
	t.exporter, err = otlptracehttp.New(t.all, otlptracehttp.WithEndpointURL(t.url), otlptracehttp.WithTimeout(timeout),
		otlptracehttp.WithRetry(otlptracehttp.RetryConfig{Enabled: true, InitialInterval: time.Second, MaxInterval: 5 * time.Second, MaxElapsedTime: persist}))
	if err != nil {
		t.cancel()
		return nil, fmt.Errorf("traces.otlp: %w", err)
	}
	// What the environment says of the service (OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES) comes last, and so counts.
	from, err := resource.New(t.all, resource.WithTelemetrySDK(), resource.WithHost(),
		resource.WithAttributes(attribute.String("service.name", "poolproxy"), attribute.String("service.version", version)), resource.WithFromEnv())
	if err != nil {
		log.Warn("not all is known of what traces should say of this process", "error", err)
	}
	t.tracer = trace.NewTracerProvider(trace.WithResource(from), trace.WithSpanProcessor(t.spans), trace.WithSampler(trace.AlwaysSample()))
	go t.run()
	return t, nil
}

// Ended is of proxy.Observer. It is not what is told here.
func (t *Traces) Ended(proxy.SessionEnd) {}

// Failover is of proxy.Observer: it queues a record, or loses it.
func (t *Traces) Failover(r proxy.Record) {
	select {
	case t.queue <- r:
	default:
		proxy.TracesLost.Add(t.meter, 1, lostQueue)
	}
}

// Close sends what is queued, for at most three seconds. Nothing may be told any more. Twice is harmless.
func (t *Traces) Close() {
	t.closing.Do(func() { close(t.end) })
	late := time.AfterFunc(patience, t.cancel)
	<-t.ended
	late.Stop()
	t.cancel()
}

// run is the goroutine. It ends when Close says so, which waits for it.
func (t *Traces) run() {
	defer close(t.ended)
	for {
		select {
		case r := <-t.queue:
			t.send(t.more(r))
		case <-t.end:
			for {
				select {
				case r := <-t.queue:
					t.send(t.more(r))
				default:
					t.exporter.Shutdown(context.Background()) // nothing is under way any more: there is no error
					return
				}
			}
		}
	}
}

// more waits a moment for others: failovers come in crowds, a server at a time.
func (t *Traces) more(first proxy.Record) []proxy.Record {
	all := []proxy.Record{first}
	enough := time.NewTimer(t.linger)
	defer enough.Stop()
	for len(all) < batch {
		select {
		case r := <-t.queue:
			all = append(all, r)
			continue
		default:
		}
		select {
		case r := <-t.queue:
			all = append(all, r)
		case <-enough.C:
			return all
		case <-t.end:
			if len(t.queue) == 0 {
				return all
			}
		}
	}
	return all
}

// send sends some records, or loses them.
func (t *Traces) send(all []proxy.Record) {
	for _, r := range all {
		t.tell(r)
	}
	spans := t.spans.taken()
	err := t.exporter.ExportSpans(t.all, spans)
	if err != nil {
		proxy.TracesLost.Add(t.meter, len(all), lostSend)
		if !t.failed {
			t.log.Warn("traces are not taken; they are lost until they are", "collector", t.url, "error", err)
		}
	} else if t.failed {
		t.log.Info("traces are taken again", "collector", t.url)
	}
	t.failed = err != nil
}

// collector keeps the spans that have ended (trace.SpanProcessor). It belongs to the goroutine, on which spans begin and end.
type collector struct{ ended []trace.ReadOnlySpan }

// OnStart is of trace.SpanProcessor.
func (c *collector) OnStart(context.Context, trace.ReadWriteSpan) {}

// OnEnd is of trace.SpanProcessor.
func (c *collector) OnEnd(s trace.ReadOnlySpan) { c.ended = append(c.ended, s) }

// Shutdown is of trace.SpanProcessor.
func (c *collector) Shutdown(context.Context) error { return nil }

// ForceFlush is of trace.SpanProcessor.
func (c *collector) ForceFlush(context.Context) error { return nil }

func (c *collector) taken() (all []trace.ReadOnlySpan) {
	all, c.ended = c.ended, nil
	return all
}
