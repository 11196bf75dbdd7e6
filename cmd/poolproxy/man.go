package main

import (
	"flag"
	"fmt"
	"io"
	"strings"

	"github.com/poolproxy/poolproxy/cmd/poolproxy/config"
)

// manCommand prints the manual page, in the language of man: poolproxy man | man -l -
func manCommand(args []string, stdout, stderr io.Writer) int {
	if status, ok := parse(newFlags("man", stderr), args); !ok {
		return status
	}
	fmt.Fprint(stdout, manPage())
	return exitOK
}

// roff keeps a text from being taken for requests of roff.
func roff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(text)
	if strings.HasPrefix(text, ".") || strings.HasPrefix(text, "'") {
		text = `\&` + text
	}
	return text
}

func manPage() string {
	var b strings.Builder
	b.WriteString(".TH POOLPROXY 8\n.SH NAME\npoolproxy \\- keep TCP connections alive when the servers behind them die\n" +
		".SH SYNOPSIS\n.B poolproxy\n.I COMMAND\n[\\-FLAG ...]\n.SH DESCRIPTION\n")
	b.WriteString(roff("A sidecar beside a client accepts its TCP connections and carries each, in an RSerPool session, to a sidecar in front of one of "+
		"several servers. When that server fails, what must be sent again is sent to another one, and the client sees a pause.") + "\n.SH COMMANDS\n")
	for _, c := range shown() {
		manCommandOf(&b, c.name, c)
		if c.name == "chaos" {
			for _, inside := range chaosCommands() {
				manCommandOf(&b, "chaos "+inside.name, inside)
			}
		}
	}
	b.WriteString(".SH CONFIGURATION\n" + roff("poolproxy config explain NAME says more of each, with what it takes.") + "\n")
	for _, s := range config.Settings() {
		if s.Block {
			fmt.Fprintf(&b, ".SS %s\n%s\n", roff(s.Path), roff(sentence(s.Text)))
			continue
		}
		fmt.Fprintf(&b, ".TP\n.B %s\n%s\n", roff(s.Shown), roff(sentence(s.Text)))
	}
	b.WriteString(".SH EXIT STATUS\n" + roff(strings.TrimSpace(exitStatuses())) + "\n.SH SEE ALSO\n.BR systemd.service (5)\n")
	return b.String()
}

// manCommandOf is the part of the page that one command has.
func manCommandOf(b *strings.Builder, name string, c command) {
	fmt.Fprintf(b, ".SS poolproxy %s\n%s\n", roff(name), roff(sentence(c.summary)))
	for _, f := range flagsOf(c) {
		value, help := flag.UnquoteUsage(f)
		fmt.Fprintf(b, ".TP\n.B \\-%s\n", strings.TrimSpace(roff(f.Name)+" "+value))
		if f.DefValue != "" && f.DefValue != "false" {
			help += " (default " + f.DefValue + ")"
		}
		b.WriteString(roff(help) + "\n")
	}
}

// sentence makes one of a text: with a capital letter, and a full stop.
func sentence(text string) string {
	return strings.ToUpper(text[:1]) + strings.TrimSuffix(text[1:], ".") + "."
}
