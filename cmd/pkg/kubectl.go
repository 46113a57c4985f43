package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

func newKubectlCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:                "kubectl ...",
		Short:              "the official kubectl, for the cluster that is meant",
		Example:            "  pkg kubectl get pods -A",
		DisableFlagParsing: true, // all flags are kubectl's
		RunE:               func(_ *cobra.Command, args []string) error { return a.execKubectl(args) },
	}
}

// execKubectl replaces this process by pkg-kubectl. Flags that choose a cluster are
// kubectl's own and win; without them it gets the cluster that other commands mean.
func (a *app) execKubectl(args []string) error {
	path, err := program("pkg-kubectl")
	if err != nil {
		return err
	}
	env := os.Environ()
	if !choosesCluster(args) {
		t, err := a.target()
		if err != nil {
			return err
		}
		if t.local != nil && needsServer(args) {
			if pid, err := t.local.running(); err != nil {
				return err
			} else if pid == 0 {
				return withHint(fmt.Errorf("%s is not running", t.name), "pkg cluster start")
			}
		}
		// Of a variable that is there twice, the first counts.
		env = slices.DeleteFunc(env, func(v string) bool { return strings.HasPrefix(v, "KUBECONFIG=") })
		env = append(env, "KUBECONFIG="+t.config.Path)
		if t.config.Context != "" {
			args = append([]string{"--context=" + t.config.Context}, args...)
		}
	}
	return syscall.Exec(path, append([]string{"kubectl"}, args...), env)
}

// choosesCluster tells whether kubectl's arguments name a cluster themselves.
func choosesCluster(args []string) bool {
	for _, arg := range args {
		if arg == "--" {
			return false
		}
		for _, flag := range []string{"--kubeconfig", "--context", "--server", "-s"} {
			if arg == flag || strings.HasPrefix(arg, flag+"=") {
				return true
			}
		}
	}
	return false
}

// needsServer is false for what kubectl does alone.
func needsServer(args []string) bool {
	if len(args) == 0 {
		return false
	}
	switch args[0] {
	case "help", "completion", "config", "options", "plugin", "-h", "--help":
		return false
	}
	return true
}
