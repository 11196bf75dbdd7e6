// Package test holds the end-to-end tests: the real binary, real sockets, real programs, and processes that are really killed.
//
// Every server is a process of its own: a real program (nginx), or this test binary started again in a role (see roles_test.go),
// so that kill -9 is what it is in life. What they write goes to files, which are both evidence and what a failed test shows.
//
// Tests that take long or need root and other programs run when POOLPROXY_CHECK=1 is set, as make check does; then
// nothing is skipped. Without it they say what they would need.
package test
