package proxy

import "github.com/hashicorp/go-metrics"

// Kinds of metrics.
const (
	Gauge     = "gauge"
	Counter   = "counter"
	Histogram = "histogram"
)

// mostLabels is how many labels a metric may have.
const mostLabels = 4

// Metric is a figure that the proxy tells: what docs/metrics.md and the page /metrics have of it. It is told through go-metrics by its name and
// the values of its labels, in the order that stands here, so that one is never told with other labels than another time.
type Metric struct {
	Name    string // with the unit where there is one: sessions, failover_seconds; "poolproxy_" comes before it
	Kind    string // gauge | counter | histogram
	Labels  []string
	Help    string    // one sentence for people
	Buckets []float64 // of a histogram: upper bounds, ascending
}

// Metrics are all that there are, in the order of the documentation.
func Metrics() []*Metric { return all }

var all []*Metric

// metric declares one. The names follow Prometheus's conventions: base units, _total behind what only grows.
func metric(kind, name, help string, labels ...string) *Metric {
	m := &Metric{Name: name, Kind: kind, Labels: labels, Help: help}
	if kind == Histogram {
		m.Buckets = pauses
	}
	all = append(all, m)
	return m
}

// pauses are the bounds of what failovers take, in seconds: from what resuming takes on one host to the longest deadline that is usual.
var pauses = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}

// The metrics. What has a label pool_user has the label pool before it: that of its pool.
var (
	sessionsNow = metric(Gauge, "sessions", "Sessions that there are.", "pool", "pool_user")
	sessionsBy  = metric(Gauge, "sessions_by_protection", "Sessions by whether they would survive the death of their server now.",
		"pool", "pool_user", "protection")
	sessionsAccepted = metric(Counter, "sessions_accepted_total", "Sessions that have begun.", "pool", "pool_user")
	sessionsRefused  = metric(Counter, "sessions_refused_total", "Clients that got no session, by the reason.", "pool", "pool_user", "reason")
	clientMessages   = metric(Counter, "client_messages_total", "Messages of clients, by whether the session was protected meanwhile.",
		"pool", "pool_user", "protected")
	clientBytes = metric(Counter, "client_bytes_total", "Bytes of clients, by whether the session was protected meanwhile.",
		"pool", "pool_user", "protected")

	failovers = metric(Counter, "failovers_total", "Failovers by how they ended (kind) and by what noticed the failure (reason).",
		"pool", "pool_user", "kind", "reason")
	failoverTime = metric(Histogram, "failover_seconds", "From noticing the failure until the session went on: a client's pause, without the time it took to notice.",
		"pool", "pool_user", "kind")
	failoverSteps = metric(Histogram, "failover_step_seconds", "When each step of failovers was done, from noticing on; detect: until then.",
		"pool", "pool_user", "step")
	failoverMessages = metric(Counter, "failover_replayed_messages_total", "Messages that were sent again.", "pool", "pool_user")
	failoverBytes    = metric(Counter, "failover_replayed_bytes_total", "Bytes that were sent again.", "pool", "pool_user")
	failoverSkipped  = metric(Counter, "failover_discarded_bytes_total", "Bytes of replies that came again, were compared and not passed on.",
		"pool", "pool_user")
	failoverLost = metric(Counter, "failover_lost_replies_total", "Requests that were answered by an error.", "pool", "pool_user")

	sessionsRecorded = metric(Gauge, "sessions_recorded", "Sessions that are recorded, so that they can be rehearsed.", "pool", "pool_user")
	rehearsals       = metric(Counter, "rehearsals_total", "Sessions that were rehearsed, by what came of it: same, joined, different, failed.",
		"pool", "pool_user", "result")

	poolElements = metric(Gauge, "pool_elements", "Elements that are known of a pool.", "pool")
	poolAlive    = metric(Gauge, "pool_elements_alive", "Elements of a pool that are believed to be alive.", "pool")
	poolAge      = metric(Gauge, "pool_age_seconds", "How old it is what the source of a pool has said last.", "pool", "source")
	poolAlarm    = metric(Gauge, "pool_alarm", "1: what is known of a pool is older than stale_after.", "pool", "source")
	poolDraining = metric(Gauge, "pool_elements_draining", "Elements of a pool that their sessions should leave.", "pool")
	sessionsStay = metric(Gauge, "sessions_leaving", "Sessions that should leave their element, since it is drained, and have not yet.", "pool", "pool_user")

	legsLive       = metric(Gauge, "legs", "Legs at a pool_element: live ones, and held ones that wait for their pool user.", "pool_element", "state")
	elementHealthy = metric(Gauge, "element_healthy", "1: the health check of a pool_element finds its server healthy.", "pool_element")
	healthFailed   = metric(Counter, "health_check_failures_total", "Health checks that failed.", "pool_element")
	regWanted      = metric(Gauge, "registrations_wanted", "In how many pools a pool_element is to be registered.", "pool_element")
	regDone        = metric(Gauge, "registrations", "In how many pools it is registered.", "pool_element")
	regRevalued    = metric(Counter, "registration_updates_total", "Loads that were told to registries.", "pool_element")

	pathsChanged      = metric(Counter, "path_changes_total", "Paths of associations that failed or work again (mapping sctp).", "side", "name", "state")
	tlsRefused        = metric(Counter, "tls_refused_total", "Peers that TLS has refused, by the reason.", "side", "name", "reason")
	certificateExpiry = metric(Gauge, "certificate_expiry_seconds", "How long our certificate in a file is valid yet; negative: it has expired.", "cert")
	stolenTokens      = metric(Counter, "stolen_tokens_total", "Resumes refused because the session is another pool user's.", "pool_element")
	adminRefused      = metric(Counter, "admin_refused_total", "Requests to the admin API that were refused for want of the token or of a certificate.", "reason")

	AccessLost = metric(Counter, "access_log_lost_lines_total", "Lines of the access log that were lost: the queue was full, or the file could not be written.", "reason")
	TracesLost = metric(Counter, "traces_lost_total", "Failovers of which no trace was sent: the queue was full, or the collector did not take it.", "reason")

	chaosBegun  = metric(Counter, "chaos_disturbances_total", "Disturbances that were asked for and begun, by their kind.", "kind")
	chaosActive = metric(Gauge, "chaos_active", "Disturbances that were asked for and go on.")

	bufferBytes = metric(Gauge, "buffer_bytes", "Bytes in buffers: what limits.memory bounds.")
)

// tags are the labels of a metric with their values, which are as many.
func (m *Metric) tags(values []string) []metrics.Label {
	to := make([]metrics.Label, len(m.Labels))
	for i, name := range m.Labels {
		to[i] = metrics.Label{Name: name, Value: values[i]}
	}
	return to
}
