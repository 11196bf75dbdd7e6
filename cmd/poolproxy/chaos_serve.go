package main

import (
	"fmt"
	"io"
)

// chaosServeCommand is a server for that workload.
func chaosServeCommand(_ []string, _, stderr io.Writer) int {
	fmt.Fprintln(stderr, "poolproxy chaos serve: not yet built")
	return exitFailed
}
