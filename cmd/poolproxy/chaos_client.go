package main

import (
	"fmt"
	"io"
)

// chaosClientCommand sends a checked workload.
func chaosClientCommand(_ []string, _, stderr io.Writer) int {
	fmt.Fprintln(stderr, "poolproxy chaos client: not yet built")
	return exitFailed
}
