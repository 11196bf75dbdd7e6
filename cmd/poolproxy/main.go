// Command poolproxy keeps a TCP connection alive when the server behind it dies.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
)

// Exit statuses of all commands. Those that ask for servers, or register them, have more: see exits.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// command is one word behind poolproxy. run gets what stands behind that word and returns the exit status.
type command struct {
	name    string
	summary string // "" leaves it out of the usage text
	run     func(args []string, stdout, stderr io.Writer) int
}

func commands() []command {
	return []command{
		{"run", "run the proxy: -config FILE|DIR, repeatable", runCommand},
		{"validate", "check a configuration: -config FILE|DIR, repeatable", validateCommand},
		{"status", "show what a running proxy does: [-json] [-watch] [-admin ADDRESS]", statusCommand},
		{"reload", "read the configuration again: [-admin ADDRESS]", reloadCommand},
		{"drain", "have the sessions of an element leave it: ELEMENT [-timeout DURATION]", drainCommand},
		{"undrain", "have it get sessions again: ELEMENT", undrainCommand},
		{"rehearse", "repeat recorded sessions at the pool's element for rehearsals, say what differs: POOL", rehearseCommand},
		{"resolve", "name the primary server of a pool: POOL", resolveCommand},
		{"next", "a server has failed, name the next one: POOL LAST [-refresh]", nextCommand},
		{"register", "put a server into a pool, print the registration's id: POOL -address IP:PORT", registerCommand},
		{"deregister", "take it out again: ID", deregisterCommand},
		{"registrations", "list what was registered with this proxy", registrationsCommand},
		{"upgrade", "replace the running proxy under live connections: [-binary PATH] [-config FILE|DIR]", upgradeCommand},
		{"chaos", "pull plugs in a running deployment that allows it, and report: [-dry-run] [-admin ADDRESS] ...; or: stop, client, serve", chaosCommand},
		{"config", "say what a setting does: explain [NAME], such as failover.replay", configCommand},
		{"completion", "print what a shell completes commands by: bash|zsh|fish", completionCommand},
		{"man", "print the manual page: poolproxy man | man -l -", manCommand},
		{"demo", "two servers, their sidecars, a transfer, kill -9 in the middle", demoCommand},
		{"demo-server", "", demoServerCommand}, // started by demo
		{"version", "print the version", versionCommand},
	}
}

func main() { os.Exit(dispatch(os.Args[1:], os.Stdout, os.Stderr)) }

// dispatch runs the command that the first argument names.
func dispatch(args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		usage(stderr)
		return exitUsage
	}
	switch args[0] {
	case "help", "-h", "-help", "--help":
		return help(args[1:], stdout, stderr)
	}
	for _, c := range commands() {
		if c.name == args[0] {
			return c.run(args[1:], stdout, stderr)
		}
	}
	fmt.Fprintf(stderr, "poolproxy: there is no command %q\n\n", args[0])
	usage(stderr)
	return exitUsage
}

// help says what there is; or, behind the words of a command, what that one does, and its flags.
func help(words []string, stdout, stderr io.Writer) int {
	if len(words) == 0 {
		usage(stdout)
		return exitOK
	}
	name, among := words, commands()
	if len(words) > 1 && words[0] == "chaos" {
		words, among = words[1:], chaosCommands()
	}
	for _, c := range among {
		if len(words) == 1 && c.name == words[0] {
			fmt.Fprintf(stdout, "poolproxy %s: %s\n\n", strings.Join(name, " "), c.summary)
			c.run([]string{"-h"}, stdout, stdout)
			return exitOK
		}
	}
	fmt.Fprintf(stderr, "poolproxy help: there is no command %q\n\n", strings.Join(name, " "))
	usage(stderr)
	return exitUsage
}

func usage(w io.Writer) {
	fmt.Fprint(w, "poolproxy keeps TCP connections alive when the servers behind them die.\n\nUsage: poolproxy COMMAND [FLAG ...]\n\n")
	for _, c := range commands() {
		if c.summary != "" {
			fmt.Fprintf(w, "  %-13s %s\n", c.name, c.summary)
		}
	}
	fmt.Fprint(w, "\npoolproxy help COMMAND lists the flags of a command. All settings are shown in config.hcl.example. "+exitStatuses())
}

// newFlags makes the flags of a command. Their help goes where the complaints go.
func newFlags(name string, stderr io.Writer) *flag.FlagSet {
	flags := flag.NewFlagSet("poolproxy "+name, flag.ContinueOnError)
	flags.SetOutput(stderr)
	setUsage(flags, flags.Usage)
	return flags
}

// setUsage sets what a command says of itself, unless it is only asked for its flags.
func setUsage(flags *flag.FlagSet, usage func()) {
	if seen, ok := flags.Output().(*flagsSeen); ok {
		usage = func() { flags.VisitAll(func(f *flag.Flag) { seen.found = append(seen.found, f) }) }
	}
	flags.Usage = usage
}

// parse parses flags and refuses other arguments. When it is not ok, the command ends with the status.
func parse(flags *flag.FlagSet, args []string) (status int, ok bool) {
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return exitOK, false
	case err != nil: // package flag has said what is wrong
		return exitUsage, false
	case flags.NArg() > 0:
		fmt.Fprintf(flags.Output(), "%s: unexpected argument %q\n", flags.Name(), flags.Arg(0))
		flags.Usage()
		return exitUsage, false
	}
	return exitOK, true
}
