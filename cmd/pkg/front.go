//go:build front

package main

import (
	"context"
	"os"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/seed38700745/pkg/engine"
	"github.com/seed38700745/pkg/repo"
)

// commands lists those that pkg runs itself: what takes little more than the start of
// a program, and is called often.
func commands() []command {
	return []command{
		{"template", newTemplateCommand},
		{"version", newVersionCommand},
	}
}

// begin leaves every other command to pkg-release.
func (a *app) begin(args []string) error {
	if _, ok := called(args); ok {
		return nil
	}
	return goOn()
}

// addAll has nothing to add: begin does not let such command lines come here.
func (a *app) addAll(*cobra.Command) {}

// goOn begins the command line again in pkg-release, which has everything. It only
// returns if that is not possible.
func goOn() error {
	path, err := program("pkg-release")
	if err != nil {
		return err
	}
	return &os.PathError{Op: "run", Path: path, Err: syscall.Exec(path, os.Args, os.Environ())}
}

// templateCapabilities are Helm's defaults; pkg-release can ask the cluster.
func (a *app) templateCapabilities(_ context.Context, validate bool) (*engine.Capabilities, manifestCheck, error) {
	if validate {
		return nil, nil, goOn()
	}
	return engine.DefaultCapabilities(), nil, nil
}

// verifier is pkg-release's.
func (a *app) verifier(string) func(*repo.Archive) error {
	return func(*repo.Archive) error { return goOn() }
}

// resolveBundle is pkg-release's.
func (a *app) resolveBundle(context.Context, string, chartFlags) (*repo.Resolved, error) {
	return nil, goOn()
}

// bundleHint leaves it at the error: what bundles look like is pkg-release's to know.
func (a *app) bundleHint(_ string, err error) error { return err }
