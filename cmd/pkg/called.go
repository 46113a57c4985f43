package main

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// command is one command of pkg, which is only built when it is called: all of them
// have hundreds of flags, which take as long as rendering a small chart.
type command struct {
	names string // the name, then its aliases
	build func(*app) *cobra.Command
}

// called is the command that the first argument names. Without one (there is none,
// a flag, help, completion, or a word that no command has) all commands are needed.
func called(args []string) (command, bool) {
	for _, c := range commands() {
		if len(args) > 0 && slices.Contains(strings.Fields(c.names), args[0]) {
			return c, true
		}
	}
	return command{}, false
}
