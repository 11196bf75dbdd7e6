//go:build !unix

package main

// onReopen does nothing: there is no signal for that. The access log finds out by itself when its file was renamed.
func onReopen(func()) (end func()) { return func() {} }
