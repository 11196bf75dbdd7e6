//go:build !linux

package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "bench: it needs Linux (epoll, network namespaces, /proc)")
	os.Exit(1)
}
