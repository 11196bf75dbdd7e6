//go:build !unix

package access

const openFlags = 0
