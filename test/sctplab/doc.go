// Package sctplab boots a Linux kernel that has SCTP, in emulation, for tests on machines whose own kernel has none.
//
// A test opens the lab, and runs a scenario in it: a shell script beside any programs, or a whole Go test binary. Each run is a
// machine of its own: a Debian kernel under qemu, with busybox, iproute2, tcpdump and rsplib, which lives in memory and is
// powered off at the end. Its console, the files that the scenario leaves and its exit status come back.
// README.md says what is needed, what it costs and which traps there are.
package sctplab
