package main

import (
	"fmt"
	"io"
	"os"

	"github.com/poolproxy/poolproxy/internal/workload"
)

// chaosServeCommand is a server for the workload of poolproxy chaos client, until it is killed.
func chaosServeCommand(args []string, stdout, stderr io.Writer) int {
	flags := newFlags("chaos serve", stderr)
	host, err := os.Hostname()
	if err != nil {
		host = "server" // a name in a journal; any will do
	}
	var p workload.Process
	flags.StringVar(&p.Kind, "kind", string(workload.Line), "what it speaks: line, length, http or stream; redis is served by redis itself")
	flags.StringVar(&p.Listen, "listen", "127.0.0.1:7801", "`address` that it listens on")
	flags.StringVar(&p.Journal, "journal", "", "`file` that each unsafe request is written to before it is answered, for the client's -journal")
	flags.StringVar(&p.Name, "name", fmt.Sprintf("%s-%d", host, os.Getpid()), "its name in the journal")
	if status, ok := parse(flags, args); !ok {
		return status
	}
	if err := p.Serve(stdout); err != nil {
		fmt.Fprintln(stderr, "poolproxy chaos serve:", err)
		return exitFailed
	}
	return exitOK
}
