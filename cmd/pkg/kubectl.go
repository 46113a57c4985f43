//go:build !front

package main

import (
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

// execKubectl replaces this process by pkg-kubectl.
func (a *app) execKubectl(args []string) error {
	path, args, env, err := a.kubectl(args)
	if err != nil {
		return err
	}
	return syscall.Exec(path, append([]string{"kubectl"}, args...), env)
}

// kubectl is how pkg-kubectl is run with arguments: its path, all arguments, its
// environment. Flags that choose a cluster are kubectl's own and win; without them
// it gets the cluster that other commands mean.
func (a *app) kubectl(args []string) (path string, all, env []string, err error) {
	if path, err = program("pkg-kubectl"); err != nil {
		return "", nil, nil, err
	}
	env = os.Environ()
	if choosesCluster(args) {
		return path, args, env, nil
	}
	t, err := a.target()
	if err != nil {
		return "", nil, nil, err
	}
	if t.local != nil && needsServer(args) {
		if err := a.reachable(t); err != nil {
			return "", nil, nil, err
		}
	}
	// Of a variable that is there twice, the first counts.
	env = slices.DeleteFunc(env, func(v string) bool { return strings.HasPrefix(v, "KUBECONFIG=") })
	env = append(env, "KUBECONFIG="+t.config.Path)
	if t.config.Context != "" {
		args = append([]string{"--context=" + t.config.Context}, args...)
	}
	return path, args, env, nil
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
