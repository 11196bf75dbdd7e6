package traces

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-metrics"
	collect "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	wire "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/poolproxy/poolproxy/proxy"
	"github.com/poolproxy/poolproxy/session"
)

// receiver is a collector: it takes OTLP over HTTP, and has the spans.
type receiver struct {
	t      *testing.T
	mu     sync.Mutex
	spans  []*wire.Span
	about  map[string]string // of the resource
	header http.Header
	refuse func() int // the status; 0: it takes them
	asked  int
}

func (c *receiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body := io.Reader(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		var err error
		if body, err = gzip.NewReader(r.Body); err != nil {
			c.t.Error(err)
			return
		}
	}
	text, err := io.ReadAll(body)
	var said collect.ExportTraceServiceRequest
	if err != nil || r.URL.Path != "/v1/traces" || r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/x-protobuf" || proto.Unmarshal(text, &said) != nil {
		c.t.Errorf("%s %s %v: %v", r.Method, r.URL, r.Header, err)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked++
	if c.refuse != nil {
		if status := c.refuse(); status != 0 {
			w.WriteHeader(status)
			return
		}
	}
	c.header = r.Header
	c.about = map[string]string{}
	for _, from := range said.ResourceSpans {
		for _, a := range from.Resource.Attributes {
			c.about[a.Key] = a.Value.GetStringValue()
		}
		for _, s := range from.ScopeSpans {
			c.spans = append(c.spans, s.Spans...)
		}
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
	answer, err := proto.Marshal(&collect.ExportTraceServiceResponse{})
	if err != nil {
		c.t.Error(err)
	}
	w.Write(answer)
}

func (c *receiver) has() []*wire.Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.spans
}

// rig is a Traces with what it counts and says.
type rig struct {
	*Traces
	sink *metrics.InmemSink
	said *bytes.Buffer // read it when it is closed
}

func newRig(t *testing.T, url string) *rig {
	t.Helper()
	r := &rig{sink: metrics.NewInmemSink(time.Hour, time.Hour), said: &bytes.Buffer{}}
	meter, err := metrics.New(&metrics.Config{FilterDefault: true}, r.sink)
	if err != nil {
		t.Fatal(err)
	}
	c := proxy.Config{Traces: proxy.Traces{OTLP: url}, Users: []proxy.User{{Name: "front", Pool: "web"}}}
	if r.Traces, err = Start(c, "1.2.3", hclog.New(&hclog.LoggerOptions{Output: r.said}), meter); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

func (r *rig) lost(reason string) int {
	data := r.sink.Data()[0]
	data.RLock()
	defer data.RUnlock()
	if s := data.Counters["traces_lost_total;reason="+reason]; s.AggregateSample != nil {
		return int(s.Sum)
	}
	return 0
}

const ms = time.Millisecond

var noticed = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func moved() proxy.Record {
	return proxy.Record{User: "front", Record: session.Record{Time: noticed, Session: 17, Leg: 2, From: "a", To: "b", Kind: session.KindMoved,
		Cause: "3 heartbeats were not answered", Detector: "heartbeats", Detect: 3000 * ms, Fence: 5 * ms, Choose: 6 * ms, Connect: 8 * ms,
		Restored: 9 * ms, Replayed: 10 * ms, First: 12 * ms, Messages: 3, Bytes: 99, Tried: 1}}
}

// waitFor polls for spans, with a deadline.
func (c *receiver) waitFor(n int) {
	c.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); len(c.has()) < n; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			c.t.Fatalf("%d spans have come, not %d", len(c.has()), n)
		}
	}
}

// refuses has it answer by a status; 0: it takes what comes.
func (c *receiver) refuses(f func() int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refuse = f
}

func said(s *wire.Span, key string) string {
	for _, a := range s.Attributes {
		if a.Key == key {
			return fmt.Sprint(a.Value.GetStringValue(), a.Value.GetIntValue())
		}
	}
	return ""
}

// A real receiver gets one trace for each record, whose spans have the times of its steps.
func TestTraces(t *testing.T) {
	collector := &receiver{t: t}
	server := httptest.NewServer(collector)
	defer server.Close()
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=prod")
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer x")
	r := newRig(t, server.URL)
	r.Failover(moved())
	r.Failover(proxy.Record{User: "front", Record: session.Record{Time: noticed, Kind: session.KindEnded, Verdict: "it was not safe", Detector: "reset"}})
	r.Ended(proxy.SessionEnd{})
	collector.waitFor(9)
	r.Close()
	r.Close()
	spans := collector.has()
	if len(spans) != 9 || r.lost(lostQueue)+r.lost(lostSend) > 0 || r.said.Len() > 0 {
		t.Fatalf("%d spans, %d and %d lost; %s", len(spans), r.lost(lostQueue), r.lost(lostSend), r.said)
	}
	if a := collector.about; a["service.name"] != "poolproxy" || a["service.version"] != "1.2.3" || a["deployment.environment"] != "prod" || a["host.name"] == "" {
		t.Error(a)
	}
	if collector.header.Get("Authorization") != "Bearer x" {
		t.Error(collector.header)
	}
	want := map[string][2]time.Duration{"failover": {-3000 * ms, 12 * ms}, "detect": {-3000 * ms, 0}, "fence": {0, 5 * ms}, "choose": {5 * ms, 6 * ms},
		"connect": {6 * ms, 8 * ms}, "restore": {8 * ms, 9 * ms}, "replay": {9 * ms, 10 * ms}, "first reply": {10 * ms, 12 * ms}}
	var whole *wire.Span
	for _, s := range spans {
		if s.Name == "failover" && said(s, "poolproxy.kind") == "moved0" {
			whole = s
		}
	}
	if whole == nil || len(whole.ParentSpanId) != 0 || said(whole, "poolproxy.pool") != "web0" || said(whole, "poolproxy.session") != "17" ||
		said(whole, "poolproxy.replayed_bytes") != "99" || said(whole, "poolproxy.to") != "b0" || len(whole.Events) != 1 ||
		whole.Events[0].TimeUnixNano != uint64(noticed.UnixNano()) || whole.Status.GetCode() != wire.Status_STATUS_CODE_UNSET {
		t.Fatal(whole)
	}
	found := 0
	for _, s := range spans {
		if !bytes.Equal(s.TraceId, whole.TraceId) {
			if s.Name != "failover" || s.Status.GetCode() != wire.Status_STATUS_CODE_ERROR || s.Status.Message != "it was not safe" || s.EndTimeUnixNano != uint64(noticed.UnixNano()) {
				t.Error(s)
			}
			continue
		}
		found++
		if times := [2]time.Duration{time.Duration(s.StartTimeUnixNano - uint64(noticed.UnixNano())), time.Duration(s.EndTimeUnixNano - uint64(noticed.UnixNano()))}; times != want[s.Name] {
			t.Errorf("%s is from %s to %s, not %s", s.Name, times[0], times[1], want[s.Name])
		}
		if s != whole && !bytes.Equal(s.ParentSpanId, whole.SpanId) {
			t.Errorf("%s is not in the failover", s.Name)
		}
	}
	if found != len(want) {
		t.Errorf("%d spans in the trace", found)
	}
}

// A collector that is busy for a moment is asked again; one that refuses loses traces, which is counted and said once.
func TestRefusals(t *testing.T) {
	collector := &receiver{t: t}
	collector.refuses(func() int {
		if collector.asked == 1 {
			return http.StatusServiceUnavailable
		}
		return 0
	})
	server := httptest.NewServer(collector)
	defer server.Close()
	r := newRig(t, server.URL+"/")
	r.Failover(moved())
	collector.waitFor(8)
	r.Close()
	if len(collector.has()) != 8 || r.lost(lostSend) != 0 || collector.asked != 2 {
		t.Errorf("%d spans, %d lost, %d times asked", len(collector.has()), r.lost(lostSend), collector.asked)
	}
	collector.refuses(func() int { return http.StatusForbidden })
	r = newRig(t, server.URL)
	for range 2 * batch {
		r.Failover(moved())
	}
	r.Close()
	if n := r.lost(lostSend); n != 2*batch || strings.Count(r.said.String(), "not taken") != 1 || !strings.Contains(r.said.String(), "403") {
		t.Errorf("%d lost; %s", n, r.said)
	}
}

// While the collector hangs nobody waits: what the queue does not take is lost and counted; and the process ends all the same.
func TestHangingCollector(t *testing.T) {
	hangs, asked := make(chan struct{}), make(chan struct{}, 100)
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked <- struct{}{}; <-hangs }))
	defer server.Close()
	defer close(hangs)
	r := newRig(t, server.URL)
	r.Failover(moved())
	<-asked
	told := 1
	for ; r.lost(lostQueue) < 10; told++ { // returns at once, each time
		if r.Failover(moved()); told > 10*mostQueued {
			t.Fatal("nothing is lost")
		}
	}
	r.Close()
	if all := r.lost(lostQueue) + r.lost(lostSend); all != told {
		t.Errorf("%d of %d are lost", all, told)
	}
}

func TestURLs(t *testing.T) {
	for text, ok := range map[string]bool{"http://127.0.0.1:4318": true, "https://collector/otlp/v1/traces": true, "127.0.0.1:4318": false, "grpc://x:4317": false,
		"http://": false, "": false, "http://a b": false, "http://u:p@h": false, "http://h?x=y": false} {
		if err := Check(text); (err == nil) != ok {
			t.Errorf("%q: %v", text, err)
		}
	}
}
