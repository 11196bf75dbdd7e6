package main

import (
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/poolproxy/poolproxy/admin"
)

// reloadCommand has a running proxy read its configuration again, and says what became of it.
func reloadCommand(args []string, stdout, stderr io.Writer) int {
	p := newPrimitive("reload", stdout, stderr)
	_, status, ok := p.parse(args)
	if !ok {
		return status
	}
	p.advice[admin.NotReloaded] = "Nothing has changed. poolproxy validate finds mistakes before"
	p.advice[admin.NeedsRestart] = "Nothing has changed, not what could have been either"
	var done admin.Reloaded
	return p.ask(http.MethodPost, "/v1/reload", nil, &done, func() {
		for _, change := range done.Changes {
			fmt.Fprintln(p.stdout, strings.Map(printable, change))
		}
		if len(done.Changes) == 0 {
			p.note("the configuration is as it was")
		}
	})
}
