package config

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"

	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// digest is of what stands in a block: two blocks that are written alike but for comments, empty lines, spaces and their place have the same.
// What a block makes (a protocol, a callback, a source) cannot be compared itself. Nothing of what is written can be had from it.
func (r *reader) digest(b *hclsyntax.Block) string {
	file := r.files[b.Range().Filename]
	if file == nil {
		return "" // of no file: nobody reads it again
	}
	tokens, _ := hclsyntax.LexConfig(b.Range().SliceBytes(file.Bytes), b.Range().Filename, b.Range().Start) // it was parsed before
	sum := sha256.New()
	line := false // a line has been begun
	write := func(p []byte) {
		sum.Write(p)
		sum.Write([]byte{0})
	}
	for _, t := range tokens {
		end := t.Type == hclsyntax.TokenNewline || t.Type == hclsyntax.TokenComment && bytes.HasSuffix(t.Bytes, []byte("\n"))
		switch {
		case end && line:
			write([]byte("\n"))
			line = false
		case end || t.Type == hclsyntax.TokenComment || t.Type == hclsyntax.TokenEOF:
		default:
			write(t.Bytes)
			line = true
		}
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// withFile is the digest of a block that names a file with this secret: another secret makes it another block.
func withFile(digest, secret string) string {
	sum := sha256.Sum256([]byte(digest + "\x00" + secret))
	return hex.EncodeToString(sum[:])
}
