package main

import (
	"fmt"
	"io"

	"github.com/poolproxy/poolproxy/cmd/poolproxy/config"
)

// configCommand is `poolproxy config explain [NAME]`: what a setting does, or without a name which settings there are.
func configCommand(args []string, stdout, stderr io.Writer) int {
	flags := newFlags("config explain", stderr)
	flags.Usage = func() {
		fmt.Fprintln(stderr, "Usage: poolproxy config explain [NAME], such as failover.replay. Without a name all settings are listed.")
	}
	if len(args) == 0 || args[0] != "explain" {
		flags.Usage()
		return exitUsage
	}
	if err := flags.Parse(args[1:]); err != nil || flags.NArg() > 1 {
		flags.Usage()
		return exitUsage
	}
	if flags.NArg() == 0 {
		for _, s := range config.Settings() {
			fmt.Fprintf(stdout, "%-45s %s\n", s.Path, s.Shown)
		}
		return exitOK
	}
	text, ok := config.Explain(flags.Arg(0))
	if !ok {
		fmt.Fprintln(stderr, "poolproxy config explain:", text)
		return exitFailed
	}
	fmt.Fprint(stdout, text)
	return exitOK
}
