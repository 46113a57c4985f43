//go:build front

package main

import (
	"context"
	"errors"
	"log"
	"os"
	"syscall"

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

// execute runs one command line, or begins it again in pkg-release when that has what
// it needs: another command, or something that a function found missing here.
func (a *app) execute(ctx context.Context, args []string) error {
	held := &talk{to: a.Err}
	a.Err, a.Out = held, results{talk: held, to: a.Out}
	log.SetOutput(held)
	err := a.runHere(ctx, args)
	if errors.Is(err, chart.ErrElsewhere) {
		err = goOn()
	}
	held.release()
	return err
}

// runHere runs a command of this program without the tree of commands, which takes as
// long to build as the flags. Who asks for help, or needs it, gets it elsewhere.
func (a *app) runHere(ctx context.Context, args []string) error {
	c, ok := called(args)
	if !ok {
		return chart.ErrElsewhere
	}
	cmd := c.build(a)
	cmd.SetContext(ctx)
	f := cmd.Flags()
	a.addGlobalFlags(f)
	f.Usage = func() {}
	if f.Parse(args[1:]) != nil || cmd.ValidateArgs(f.Args()) != nil {
		return chart.ErrElsewhere
	}
	return cmd.RunE(cmd, f.Args())
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

// interruptible is never done: a signal ends this program at once, which leaves nothing
// behind.
func interruptible() (context.Context, context.CancelFunc) { return context.Background(), func() {} }

// rereadable leaves to pkg-release what can be read only once, as standard input and
// pipes: what is read here would be missing there.
func rereadable(name string) error {
	info, err := os.Stat(name)
	if name == "-" || err == nil && !info.Mode().IsRegular() && !info.IsDir() {
		return chart.ErrElsewhere
	}
	return nil
}

// templateCapabilities are Helm's defaults; pkg-release can ask the cluster, and starts
// other programs.
func (a *app) templateCapabilities(_ context.Context, o *templateOptions) (*engine.Capabilities, manifestCheck, error) {
	if o.validate || o.postRenderer.command != "" {
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
