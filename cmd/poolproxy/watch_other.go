//go:build !unix

package main

import "os"

// identity tells files apart that are of the same length and time: here it cannot.
func identity(os.FileInfo) string { return "" }
