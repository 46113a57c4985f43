package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestCommandsAreCalledByTheirNames: a command whose line in the list has other names
// than itself could not be called, or only by some of its names.
func TestCommandsAreCalledByTheirNames(t *testing.T) {
	a := newApp()
	for _, c := range commands() {
		cmd := c.build(a)
		if diff := cmp.Diff(append([]string{cmd.Name()}, cmd.Aliases...), strings.Fields(c.names)); diff != "" {
			t.Errorf("%s: names that the command has (-), and that the list has (+):\n%s", cmd.Name(), diff)
		}
	}
}

// TestOnlyTheCalledCommandIsBuilt: help and completion know all commands, a call of one
// builds just that.
func TestOnlyTheCalledCommandIsBuilt(t *testing.T) {
	all := len(commands())
	for line, want := range map[string]int{
		"":                     all,
		"--help":               all,
		"help template":        all,
		"-n shop template .":   all,
		"__complete templ":     all,
		"tmplate .":            all,
		"template . -n shop":   1,
		"ls":                   1,
		"completion bash":      1,
		"dep build ./template": 1,
	} {
		if got := len(newRootCommand(newApp(), strings.Fields(line)).Commands()); got != want {
			t.Errorf("pkg %s builds %d commands, want %d", line, got, want)
		}
	}
}
