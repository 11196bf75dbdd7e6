package secure

import (
	"testing"

	"github.com/poolproxy/poolproxy/mapping/mappingtest"
)

// inTLS has an Env of the TCP mapping use TLS.
func inTLS(f mappingtest.Factory) mappingtest.Factory {
	return func(t *testing.T) *mappingtest.Env {
		e := f(t)
		e.Dialer, e.Acceptor = pair(t)
		e.Bytes = false // a stranger's bytes end in the handshake
		return e
	}
}

func TestConformanceVirtual(t *testing.T) { mappingtest.Conformance(t, inTLS(mappingtest.Virtual(1))) }

func TestConformanceReal(t *testing.T) {
	mappingtest.Conformance(t, inTLS(mappingtest.Real(nil, nil)))
}

func TestManyMessages(t *testing.T) {
	mappingtest.Flood(t, inTLS(mappingtest.Real(nil, nil)), 10_000, 100, 65519)
}
