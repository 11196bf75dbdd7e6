// Package givenback compares three accounts of what a killed peer leaves behind on an association over SCTP: what the kernel gives back
// (mapping), what retrieval names, and what the packets say. Its tests run in test/sctplab's machine.
package givenback
