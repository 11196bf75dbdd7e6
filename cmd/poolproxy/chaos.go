package main

import "io"

// chaosCommands are the words that may stand behind poolproxy chaos. Without one of them it disturbs.
func chaosCommands() []command {
	return []command{
		{"stop", "undo all disturbances, whoever asked for them: [-admin ADDRESS] ...", chaosStopCommand},
		{"client", "send a checked workload to a pool, and say what was lost, doubled or mixed", chaosClientCommand},
		{"serve", "be a server for that client", chaosServeCommand},
	}
}

// chaosCommand pulls plugs in a running deployment, or does what the word behind it says.
func chaosCommand(args []string, stdout, stderr io.Writer) int {
	if len(args) > 0 {
		for _, c := range chaosCommands() {
			if c.name == args[0] {
				return c.run(args[1:], stdout, stderr)
			}
		}
	}
	return chaosAttackCommand(args, stdout, stderr)
}
