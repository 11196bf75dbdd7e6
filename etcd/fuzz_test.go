package etcd

import (
	"testing"
	"unicode/utf8"
)

// FuzzKey: a key names an element in one way only, whatever lies in etcd; and who a report says that it is from is bounded.
func FuzzKey(f *testing.F) {
	f.Add("a/tcp", []byte(`{"version":1,"by":"x"}`))
	f.Add("%2F%25/-", []byte(`{"by":7}`))
	f.Add("%zz/sctp", []byte(`[`))
	f.Add("a%20b/none/x", []byte(`{"by":"\u0000"}`))
	f.Fuzz(func(t *testing.T, key string, report []byte) {
		name, mapping, err := parseKey(key)
		if err == nil && elementKey(name, mapping) != key {
			t.Fatalf("%q is %q, %q, whose key is %q", key, name, mapping, elementKey(name, mapping))
		}
		if err == nil && (!utf8.ValidString(name) || len(name) > mostName) {
			t.Fatalf("%q is an element's name", name)
		}
		// Bytes that are no UTF-8 are three each in what JSON makes of them.
		if by := ofReport(report); len(by) > len(report)*3 || len(by) > 0 && len(report) > mostValue {
			t.Fatalf("%d bytes from %d", len(by), len(report))
		}
	})
}
