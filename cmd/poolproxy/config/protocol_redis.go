package config

import (
	"fmt"

	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/poolproxy/poolproxy/protocol"
)

func (r *reader) readRedis(u *userBlock, b *hclsyntax.Block) (protocol.Protocol, error) {
	u.replies = true
	var safe []string
	r.block(b, &shape{
		what:       "protocol redis",
		labels:     []string{"redis"},
		attributes: map[string]setter{"safe": r.commands(&safe)},
	})
	u.Commands = protocol.NewRedisTable(safe)
	return protocol.NewRedis(protocol.RedisConfig{Safe: u.Commands.Safe, Divided: u.Commands.Divided, Blocks: u.Commands.Blocks}), nil
}

// commands reads a list of names of redis commands.
func (r *reader) commands(dst *[]string) setter {
	return func(a *hclsyntax.Attribute) {
		const hint = `Write a list of commands: ["my.get", "config get"].`
		items, ok := r.entries(a, hint)
		if !ok {
			return
		}
		for _, item := range items {
			text, ok := r.text(a.Name, item, hint)
			if !ok {
				continue
			}
			name, ok := protocol.RedisName(text)
			if !ok {
				r.fail(item.Range(), fmt.Sprintf("%q cannot be the name of a command", text), hint)
				continue
			}
			*dst = append(*dst, name)
		}
	}
}
