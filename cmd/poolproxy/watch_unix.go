//go:build unix

package main

import (
	"fmt"
	"os"
	"syscall"
)

// identity tells files apart that are of the same length and time.
func identity(info os.FileInfo) string {
	if s, is := info.Sys().(*syscall.Stat_t); is {
		return fmt.Sprint(s.Dev, " ", s.Ino)
	}
	return ""
}
