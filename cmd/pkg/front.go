//go:build front

package main

import (
	"context"
	"errors"
	"log"
	"os"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/seed38700745/pkg/chart"
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

// begin leaves every other command to pkg-release. What is said before it is certain
// that the command line ends here is held back, see talk.
func (a *app) begin(args []string) error {
	if _, ok := called(args); !ok {
		return chart.ErrElsewhere
	}
	held := &talk{to: a.Err}
	a.Err, a.Out = held, results{talk: held, to: a.Out}
	log.SetOutput(held)
	return nil
}

// end begins the command line again in pkg-release when it came upon something that
// only the full program has; else what was held back is printed.
func (a *app) end(err error) error {
	if errors.Is(err, chart.ErrElsewhere) {
		err = goOn()
	}
	if held, ok := a.Err.(*talk); ok {
		held.release()
	}
	return err
}

// goOn begins the command line again in pkg-release, which has everything. It only
// returns if that is not possible.
func goOn() error {
	path, err := program("pkg-release")
	if err != nil {
		return err
	}
	return &os.PathError{Op: "run", Path: path, Err: syscall.Exec(path, os.Args, os.Environ())}
}

// addAll has nothing to add: begin does not let such command lines come here.
func (a *app) addAll(*cobra.Command) {}

// rereadable leaves to pkg-release what can be read only once, as standard input and
// pipes: what is read here would be missing there.
func rereadable(name string) error {
	info, err := os.Stat(name)
	if name == "-" || err == nil && !info.Mode().IsRegular() && !info.IsDir() {
		return chart.ErrElsewhere
	}
	return nil
}

// templateCapabilities are Helm's defaults; pkg-release can ask the cluster.
func (a *app) templateCapabilities(_ context.Context, validate bool) (*engine.Capabilities, manifestCheck, error) {
	if validate {
		return nil, nil, chart.ErrElsewhere
	}
	return engine.DefaultCapabilities(), nil, nil
}

// verifier is pkg-release's.
func (a *app) verifier(string) func(*repo.Archive) error {
	return func(*repo.Archive) error { return chart.ErrElsewhere }
}

// resolveBundle is pkg-release's.
func (a *app) resolveBundle(context.Context, string, chartFlags) (*repo.Resolved, error) {
	return nil, chart.ErrElsewhere
}

// bundleHint leaves what is no chart to pkg-release, which knows bundles, and names
// what is near.
func (a *app) bundleHint(string, error) error { return chart.ErrElsewhere }

// decryptAge is pkg-release's.
func (a *app) decryptAge([]byte) ([]byte, error) { return nil, chart.ErrElsewhere }

// decryptSOPS is pkg-release's.
func (a *app) decryptSOPS(context.Context, []byte) ([]byte, error) { return nil, chart.ErrElsewhere }
