package proxy

import (
	"bytes"
	"crypto/x509"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-metrics"

	"github.com/poolproxy/poolproxy/secure"
	"github.com/poolproxy/poolproxy/secure/securetest"
)

// A certificate that expires is told to the metrics, and to the log: from 30 days on a warning a day, from 7 on an error; a renewed one is told no more.
func TestExpiring(t *testing.T) {
	a := securetest.NewAuthority(t)
	end := time.Date(2030, 6, 1, 0, 0, 0, 0, time.UTC)
	until := func(c *x509.Certificate) { c.NotAfter = end }
	files := a.Issue("a.test", until)
	c, err := secure.Load(secure.Files(files))
	if err != nil {
		t.Fatal(err)
	}
	sink := metrics.NewInmemSink(time.Hour, time.Hour)
	meter, err := metrics.New(&metrics.Config{FilterDefault: true}, sink)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	r := &renewal{all: []*secure.Credentials{c}, log: hclog.New(&hclog.LoggerOptions{Output: &log}), metrics: meter,
		said: make(map[secure.Files]string), warned: make(map[string]time.Time)}
	const day = 24 * time.Hour
	for _, x := range []struct {
		left time.Duration
		says string // "": nothing
	}{
		{31 * day, ""}, {29 * day, "[WARN]  a certificate expires soon"}, {29*day - time.Hour, ""}, {28 * day, "days=28"}, {28*day - time.Minute, ""},
		{6 * day, "[ERROR] a certificate expires in a few days"}, {6*day - 23*time.Hour, ""}, {5 * day, "days=5"}, {-time.Hour, "[ERROR] a certificate has expired"}, {-2 * time.Hour, ""},
	} {
		log.Reset()
		r.expiring(end.Add(-x.left))
		if s := log.String(); !strings.Contains(s, x.says) || (s == "") != (x.says == "") || s != "" && !strings.Contains(s, files.Cert) {
			t.Errorf("%v before: %q, want %q", x.left, s, x.says)
		}
		if got := expiryOf(sink); got != float32(x.left.Seconds()) {
			t.Errorf("%v before the metrics have %v s", x.left, got)
		}
	}
	end = end.AddDate(1, 0, 0)
	a.Renew(files, "a.test", until)
	if changed, err := c.Refresh(); !changed || err != nil {
		t.Fatal(changed, err)
	}
	log.Reset()
	if r.expiring(end.AddDate(-1, 0, 0)); log.Len() > 0 {
		t.Error(log.String())
	}
}

// expiryOf is what a sink was last told.
func expiryOf(sink *metrics.InmemSink) (seconds float32) {
	for _, interval := range sink.Data() {
		for name, g := range interval.Gauges {
			if strings.Contains(name, certificateExpiry.Name) {
				seconds = g.Value
			}
		}
	}
	return seconds
}
