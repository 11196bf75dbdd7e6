// Package load holds what is done to the sidecars in numbers: many sessions, many that lose their element at once, clients and servers that
// are slow, floods, and no descriptors left. What it measures is told in docs/limits.md (test/load/results.json, -write).
//
// Everything runs in a network namespace of its own, whose counters of dropped connections are nobody else's: the test binary starts itself
// again in one, which needs root. Servers are processes of their own, as are the sidecars; clients live in the test, as many as a process
// may have descriptors.
//
// Like the tests of ../ they run when POOLPROXY_CHECK=1 is set, as make check does.
package load
