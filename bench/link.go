package main

import "time"

// link is a bad path between the two hops: what it does to each IP packet, in either direction.
type link struct {
	Delay time.Duration // of each packet: half the round-trip time
	Loss  float64       // probability of each packet's loss, 0 to 1
}
