package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed38700745/pkg/engine"
	"github.com/seed38700745/pkg/repo"
)

// Exit codes.
const (
	exitDone    = 0
	exitFailed  = 1
	exitUsage   = 2
	exitTimeout = 3
	exitBusy    = 4
)

// app is what every command works with: its streams, its clock, and where things
// are. Commands take nothing from the process's environment but through it.
type app struct {
	In  io.Reader
	Out io.Writer // results
	Err io.Writer // talk
	Now func() time.Time
	Env func(string) string

	ConfigDir string // repositories.yaml, registry credentials, the chosen context
	CacheDir  string // indexes and pulled charts
	SystemDir string // what an administrator set up for everybody

	global globalFlags
	asHelm bool // called as helm: its defaults and texts
}

// globalFlags are those that every command knows.
type globalFlags struct {
	Namespace        string
	Debug            bool
	Kubeconfig       string
	KubeContext      string
	KubeAPIServer    string
	KubeToken        string
	KubeAsUser       string
	KubeAsGroups     []string
	KubeCAFile       string
	KubeTLSName      string
	KubeInsecure     bool
	RegistryConfig   string
	RepositoryConfig string
	RepositoryCache  string
	Offline          bool
	BurstLimit       int
	QPS              float32
}

// newApp takes streams, clock and folders from the process.
func newApp() *app {
	return &app{
		In:        os.Stdin,
		Out:       os.Stdout,
		Err:       os.Stderr,
		Now:       time.Now,
		Env:       os.Getenv,
		ConfigDir: userDir("PKG_CONFIG_HOME", "XDG_CONFIG_HOME", ".config"),
		CacheDir:  userDir("PKG_CACHE_HOME", "XDG_CACHE_HOME", ".cache"),
		SystemDir: "/etc/pkg",
		asHelm:    strings.TrimSuffix(filepath.Base(os.Args[0]), ".exe") == "helm",
	}
}

// userDir is $own, else $xdg/pkg, else ~/fallback/pkg.
func userDir(own, xdg, fallback string) string {
	if dir := os.Getenv(own); dir != "" {
		return dir
	}
	if dir := os.Getenv(xdg); dir != "" {
		return filepath.Join(dir, "pkg")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		home = "/"
	}
	return filepath.Join(home, fallback, "pkg")
}

// namespace is the one that -n names, else $HELM_NAMESPACE, else "default".
func (a *app) namespace() string {
	if a.global.Namespace != "" {
		return a.global.Namespace
	}
	if ns := a.Env("HELM_NAMESPACE"); ns != "" {
		return ns
	}
	return "default"
}

// warnf prints one line on stderr, as helm words its warnings.
func (a *app) warnf(format string, args ...any) {
	fmt.Fprintf(a.Err, "WARNING: "+format+"\n", args...)
}

// logf prints one line of what Helm logs while it works on charts.
func (a *app) logf(format string, args ...any) {
	fmt.Fprintf(a.Err, strings.TrimSuffix(format, "\n")+"\n", args...)
}

// debugf prints one line on stderr under --debug.
func (a *app) debugf(format string, args ...any) {
	if a.global.Debug {
		fmt.Fprintf(a.Err, "[debug] "+format+"\n", args...)
	}
}

// main runs one command line and returns the exit code.
func (a *app) main(ctx context.Context, args []string) int {
	err := a.execute(ctx, args)
	if err == nil {
		return exitDone
	}
	a.printError(err)
	var coded interface{ ExitCode() int }
	if errors.As(err, &coded) {
		if _, program := coded.(*exec.ExitError); program { // another program's code says nothing of ours
			return exitFailed
		}
		return coded.ExitCode()
	}
	return exitFailed
}

// printError words an error for a person: Helm's "Error:" line, what a template
// error knows of its place, and a hint when there is a next step.
func (a *app) printError(err error) {
	if text := a.errorText(err); text != "" {
		if errors.Is(err, context.Canceled) && !a.asHelm { // only a signal does that
			text = "interrupted: " + text
		}
		fmt.Fprintf(a.Err, "Error: %s\n", text)
	}
	var tmpl *engine.TemplateError
	if errors.As(err, &tmpl) && !a.asHelm {
		fmt.Fprint(a.Err, tmpl.Detail())
	}
	var hinted interface{ Hint() string }
	if errors.As(err, &hinted) && hinted.Hint() != "" && !a.asHelm {
		fmt.Fprintf(a.Err, "hint: %s\n", hinted.Hint())
	}
}

// errorText is the error's text, or Helm's for what it words otherwise.
func (a *app) errorText(err error) string {
	var worded interface {
		error
		HelmText() string
	}
	if a.asHelm && errors.As(err, &worded) {
		return strings.Replace(err.Error(), worded.Error(), worded.HelmText(), 1)
	}
	var missing *repo.NotFoundError
	if a.asHelm && errors.As(err, &missing) {
		if ref := strings.TrimPrefix(missing.What, "chart "); !strings.Contains(ref, "/") {
			return "non-absolute URLs should be in form of repo_name/path_to_chart, got: " + ref
		}
	}
	return err.Error()
}

// exitError carries an exit code other than 1. With a nil err nothing is printed.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }
func (e *exitError) ExitCode() int { return e.code }

// usagef makes an error of wrong usage.
func usagef(format string, args ...any) error {
	return &exitError{code: exitUsage, err: fmt.Errorf(format, args...)}
}

// helmUsage is an error of wrong usage, which is exit code 1 when called as helm.
func (a *app) helmUsage(err error) error {
	if a.asHelm {
		return err
	}
	return &exitError{code: exitUsage, err: err}
}

// hintError carries the next step that a person can take.
type hintError struct {
	err  error
	hint string
}

func (e *hintError) Error() string { return e.err.Error() }
func (e *hintError) Unwrap() error { return e.err }
func (e *hintError) Hint() string  { return e.hint }

func withHint(err error, format string, args ...any) error {
	return &hintError{err: err, hint: fmt.Sprintf(format, args...)}
}

// argCount is a cobra argument check whose failure is wrong usage (exit 2), or
// Helm's failure (exit 1) when called as helm.
func (a *app) argCount(least, most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) >= least && (most < 0 || len(args) <= most) {
			return nil
		}
		var want string
		switch {
		case most == 0 && a.asHelm:
			want = "accepts no arguments"
		case least == most:
			want = fmt.Sprintf("requires %d argument%s", least, plural(least))
		case len(args) < least:
			want = fmt.Sprintf("requires at least %d argument%s", least, plural(least))
		default:
			want = fmt.Sprintf("accepts at most %d argument%s", most, plural(most))
		}
		err := fmt.Errorf("%q %s\n\nUsage:  %s", cmd.CommandPath(), want, cmd.UseLine())
		if a.asHelm {
			return err
		}
		return &exitError{code: exitUsage, err: err}
	}
}

func plural(n int) string {
	if n == 1 {
		return ""
	}
	return "s"
}
