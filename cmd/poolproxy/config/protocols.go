package config

import (
	"fmt"
	"strings"

	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/poolproxy/poolproxy/protocol"
)

// maxAbort bounds a configured error text, in bytes.
const maxAbort = 4096

// laterProtocols belong to the design and are not made yet.
var laterProtocols = []string{"memcached", "smtp", "postgres", "mysql"}

// readProtocol reads the block of one of the protocols into u.
func (r *reader) readProtocol(u *userBlock, b *hclsyntax.Block) {
	readers := map[string]func(*userBlock, *hclsyntax.Block) (protocol.Protocol, error){
		"stream": r.readStream,
		"line":   r.readLine,
		"length": r.readLength,
		"http":   r.readHTTP,
		"redis":  r.readRedis,
	}
	read := readers[label(b)]
	if read == nil {
		r.unknownProtocol(b)
		return
	}
	u.kind, u.states, u.ProtocolDigest = label(b), stateGroups(b), r.digest(b)
	before := len(r.diags.Errs())
	p, err := read(u, b)
	switch {
	case len(r.diags.Errs()) > before: // it has been said what is wrong
	case err != nil:
		r.fail(b.DefRange(), "The settings of this protocol do not go together", first(err.Error())+".")
	default:
		u.Protocol = p
	}
}

func (r *reader) unknownProtocol(b *hclsyntax.Block) {
	names := []string{"stream", "line", "length", "http", "redis"}
	hint := fmt.Sprintf(`Write: protocol "..." { ... } with one of: %s.`, strings.Join(names, ", "))
	name := label(b)
	if name == "" {
		r.fail(b.DefRange(), "The protocol has no name", hint)
		return
	}
	for _, later := range laterProtocols {
		if name == later {
			r.fail(b.LabelRanges[0], fmt.Sprintf("protocol %q is not available in this version yet", name), hint)
			return
		}
	}
	if near := nearest(name, names); near != "" {
		hint = fmt.Sprintf("Did you mean %q?", near)
	}
	r.fail(b.LabelRanges[0], fmt.Sprintf("There is no protocol %q", name), hint)
}

// readStream reads protocol "stream". settle makes the protocol itself, when it is known what is replayed.
func (r *reader) readStream(_ *userBlock, b *hclsyntax.Block) (protocol.Protocol, error) {
	r.block(b, &shape{what: "protocol stream", labels: []string{"stream"}})
	return nil, nil
}
