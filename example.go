// Package poolproxy holds config.hcl.example, the one place where every setting is described: the example is what users copy, what
// `poolproxy config explain` tells, and what docs/configuration.md is made from. The program is cmd/poolproxy.
package poolproxy

import _ "embed"

// Example is the text of config.hcl.example.
//
//go:embed config.hcl.example
var Example string
