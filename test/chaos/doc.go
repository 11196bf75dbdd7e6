// Package chaos pulls plugs: hosts that are network namespaces, real sidecars, real servers, and clients that know every byte which
// they have to get. Each kind of failure strikes each kind of session in each state that it can be in, and every one of these cells gets
// a verdict; docs/reliability.md is made of them. It is a package of tests only.
package chaos
