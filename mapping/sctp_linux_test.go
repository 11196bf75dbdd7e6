package mapping_test

import (
	"testing"

	"github.com/poolproxy/poolproxy/mapping"
	"github.com/poolproxy/poolproxy/mapping/mappingtest"
)

// needSCTP skips where the kernel has no SCTP: test/sctplab runs these tests on one that has.
func needSCTP(t *testing.T) {
	if err := (mapping.SCTPMapping{}).Supported(); err != nil {
		t.Skipf("%v; test/sctplab runs this on a kernel that has it", err)
	}
}

func TestSCTPReal(t *testing.T) {
	needSCTP(t)
	mappingtest.Conformance(t, func(t *testing.T) *mappingtest.Env {
		e := mappingtest.Real(mapping.SCTPMapping{}, mapping.SCTPMapping{})(t)
		e.Bytes, e.Overtaking, e.KernelAcks = false, true, true
		return e
	})
}

// Ten thousand messages each way, of 1 byte to 1 MiB, over 100 streams: every one whole, and in order on its stream.
func TestSCTPManyMessages(t *testing.T) {
	needSCTP(t)
	mappingtest.Flood(t, mappingtest.Real(mapping.SCTPMapping{}, mapping.SCTPMapping{}), 10_000, 100)
}

// Native peers have no sidecars: the same messages without introductions.
func TestSCTPNativeMessages(t *testing.T) {
	needSCTP(t)
	native := mapping.SCTPMapping{Native: true}
	mappingtest.Flood(t, mappingtest.Real(native, native), 1_000, 10)
}
