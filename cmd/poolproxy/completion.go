package main

import (
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/poolproxy/poolproxy/cmd/poolproxy/config"
)

// flagsSeen stands for standard error where only the flags of a command are asked for (flagsOf).
type flagsSeen struct {
	io.Writer
	found []*flag.Flag
}

// flagsOf are the flags of a command, as the command itself declares them: it is asked for its help.
func flagsOf(c command) []*flag.Flag {
	seen := &flagsSeen{Writer: io.Discard}
	c.run([]string{"-h"}, io.Discard, seen)
	return seen.found
}

// takesValue reports whether something stands behind the flag.
func takesValue(f *flag.Flag) bool {
	b, ok := f.Value.(interface{ IsBoolFlag() bool })
	return !ok || !b.IsBoolFlag()
}

// completionCommand prints what a shell needs to complete our commands and flags.
func completionCommand(args []string, stdout, stderr io.Writer) int {
	scripts := map[string]func() string{"bash": bashCompletion, "zsh": zshCompletion, "fish": fishCompletion}
	if len(args) != 1 || scripts[args[0]] == nil {
		fmt.Fprintln(stderr, "Usage: poolproxy completion bash|zsh|fish. For this shell: source <(poolproxy completion bash)")
		return exitUsage
	}
	fmt.Fprint(stdout, scripts[args[0]]())
	return exitOK
}

// shown are the commands that the usage text has.
func shown() (to []command) {
	for _, c := range commands() {
		if c.summary != "" {
			to = append(to, c)
		}
	}
	return to
}

func bashCompletion() string {
	var names, cases strings.Builder
	for _, c := range shown() {
		names.WriteString(" " + c.name)
		words := make([]string, 0, 8)
		for _, f := range flagsOf(c) {
			words = append(words, "-"+f.Name)
		}
		switch c.name {
		case "chaos":
			for _, inside := range chaosCommands() {
				words = append(words, inside.name)
				for _, f := range flagsOf(inside) {
					if !slices.Contains(words, "-"+f.Name) {
						words = append(words, "-"+f.Name)
					}
				}
			}
		case "config":
			words = append(words, "explain")
		case "completion":
			words = append(words, "bash", "zsh", "fish")
		}
		if len(words) > 0 {
			fmt.Fprintf(&cases, "        %s) words=%q ;;\n", c.name, strings.Join(words, " "))
		}
	}
	var settings []string
	for _, s := range config.Settings() {
		settings = append(settings, s.Path)
	}
	return fmt.Sprintf(`# Completion of poolproxy for bash.
_poolproxy() {
    local word="${COMP_WORDS[COMP_CWORD]}" before="${COMP_WORDS[COMP_CWORD-1]}" words=""
    COMPREPLY=()
    if [ "$COMP_CWORD" -eq 1 ]; then
        COMPREPLY=($(compgen -W "%s" -- "$word"))
        return
    fi
    if [ "${COMP_WORDS[1]}" = config ] && [ "$before" = explain ]; then
        COMPREPLY=($(compgen -W "%s" -- "$word"))
        return
    fi
    case "${COMP_WORDS[1]}" in
%s    esac
    case "$before" in
        -config|-binary|-token-file|-cacert|-cert|-key) COMPREPLY=($(compgen -f -- "$word")) ;;
        *) COMPREPLY=($(compgen -W "$words" -- "$word")) ;;
    esac
}
complete -o filenames -F _poolproxy poolproxy
`, strings.TrimSpace(names.String()), strings.Join(settings, " "), cases.String())
}

// zshCompletion lets zsh use the completion of bash, which it can.
func zshCompletion() string {
	return "#compdef poolproxy\nautoload -U +X compinit && compinit\nautoload -U +X bashcompinit && bashcompinit\n" + bashCompletion()
}

func fishCompletion() string {
	var b strings.Builder
	b.WriteString("# Completion of poolproxy for fish.\n")
	for _, c := range chaosCommands() {
		fmt.Fprintf(&b, "complete -c poolproxy -n '__fish_seen_subcommand_from chaos' -f -a %s -d '%s'\n", c.name, fishQuote.Replace(c.summary))
		fishFlags(&b, c)
	}
	for _, c := range shown() {
		fmt.Fprintf(&b, "complete -c poolproxy -n __fish_use_subcommand -f -a %s -d '%s'\n", c.name, fishQuote.Replace(c.summary))
		fishFlags(&b, c)
	}
	for _, s := range config.Settings() {
		fmt.Fprintf(&b, "complete -c poolproxy -n '__fish_seen_subcommand_from explain' -f -a %s\n", s.Path)
	}
	return b.String()
}

// fishQuote makes a text one of fish, in single quotes.
var fishQuote = strings.NewReplacer(`\`, `\\`, `'`, `\'`)

// fishFlags are the flags of a command.
func fishFlags(b *strings.Builder, c command) {
	for _, f := range flagsOf(c) {
		_, help := flag.UnquoteUsage(f)
		value := ""
		if takesValue(f) {
			value = " -r"
		}
		fmt.Fprintf(b, "complete -c poolproxy -n '__fish_seen_subcommand_from %s' -o %s%s -d '%s'\n", c.name, f.Name, value, fishQuote.Replace(help))
	}
}
