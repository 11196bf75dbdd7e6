//go:build linux && race

package test

const raceDetector = true
