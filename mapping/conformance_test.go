package mapping_test

import (
	"fmt"
	"testing"

	"github.com/poolproxy/poolproxy/mapping"
	"github.com/poolproxy/poolproxy/mapping/mappingtest"
)

func TestTCPVirtual(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) { mappingtest.Conformance(t, mappingtest.Virtual(seed)) })
	}
}

func TestTCPReal(t *testing.T) {
	mappingtest.Conformance(t, mappingtest.Real(mapping.TCPMapping{}, mapping.TCPMapping{}))
}

func TestDirect(t *testing.T) {
	mappingtest.Conformance(t, mappingtest.Direct(1))
}

func TestTCPManyMessages(t *testing.T) {
	mappingtest.Flood(t, mappingtest.Real(mapping.TCPMapping{}, mapping.TCPMapping{}), 10_000, 100, 65519)
}
