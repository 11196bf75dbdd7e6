//go:build race

package protocol

// raceDetector: sync.Pool, and with it regexp, allocates at random under it.
const raceDetector = true
