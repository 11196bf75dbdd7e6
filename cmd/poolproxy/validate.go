package main

import (
	"flag"
	"fmt"
	"io"

	"github.com/poolproxy/poolproxy/cmd/poolproxy/config"
	"github.com/poolproxy/poolproxy/proxy"
)

// configFlag adds -config, which may be repeated, to the flags.
func configFlag(flags *flag.FlagSet) *[]string {
	var paths []string
	flags.Func("config", "`FILE` or folder of files *.hcl; may be repeated", func(path string) error {
		paths = append(paths, path)
		return nil
	})
	return &paths
}

// needConfig complains when there is no -config.
func needConfig(flags *flag.FlagSet, paths []string) bool {
	if len(paths) == 0 {
		fmt.Fprintf(flags.Output(), "%s: -config is missing\n", flags.Name())
		flags.Usage()
		return false
	}
	return true
}

// validateCommand checks a configuration without running it.
func validateCommand(args []string, stdout, stderr io.Writer) int {
	flags := newFlags("validate", stderr)
	paths := configFlag(flags)
	if status, ok := parse(flags, args); !ok {
		return status
	}
	if !needConfig(flags, *paths) {
		return exitUsage
	}
	loaded := config.Load(*paths)
	if err := loaded.Write(stderr); err != nil || loaded.Failed() {
		return exitFailed
	}
	if err := proxy.Supported(loaded.Config); err != nil {
		fmt.Fprintf(stderr, "Warning: this machine cannot run it: %v\n", err)
	}
	fmt.Fprintf(stdout, "configuration is valid: %s\n", contents(loaded.Config))
	return exitOK
}

// contents counts what a configuration holds.
func contents(c proxy.Config) string {
	return fmt.Sprintf("%s, %s, %s", plural(len(c.Pools), "pool"), plural(len(c.Users), "pool_user"), plural(len(c.Elements), "pool_element"))
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
