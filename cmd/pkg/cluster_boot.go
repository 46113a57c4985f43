//go:build !front

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed38700745/pkg/cluster/boot"
	"github.com/seed38700745/pkg/cluster/instance"
	"github.com/seed38700745/pkg/cluster/settings"
)

func newClusterEnableCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "enable",
		Short: "start the cluster with the machine, by a service of systemd",
		Long: `Installs a service of systemd, pkg-<id>.service, that starts the cluster's daemon with the machine and again if
it fails. A cluster that runs is handed over to it; its pods keep running. PKG_HOME and the proxies of this
environment are kept for the service, in a file that only root reads.

Exit codes: 0 done, 1 failed (also where systemd does not run the machine).`,
		Example: "  pkg cluster enable\n  systemctl status pkg-*.service",
		Args:    a.argCount(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := a.localCluster()
			if err != nil {
				return err
			}
			return l.setAtBoot(cmd.Context(), a, true)
		},
	}
}

func newClusterDisableCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "disable",
		Short:   "start the cluster with the machine no more; it keeps running now",
		Example: "  pkg cluster disable",
		Args:    a.argCount(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := a.localCluster()
			if err != nil {
				return err
			}
			return l.setAtBoot(cmd.Context(), a, false)
		},
	}
}

// setAtBoot has the cluster started with the machine or not.
func (l *localCluster) setAtBoot(ctx context.Context, a *app, want bool) error {
	if err := needRoot(); err != nil {
		return err
	}
	id := instance.ID(l.home)
	if err := l.noteAtBoot(want); err != nil {
		return err
	}
	if !want {
		if !l.systemd.Installed(id) {
			fmt.Fprintf(a.Err, "the cluster in %s does not start with the machine\n", l.home)
			return nil
		}
		if err := l.systemd.Disable(ctx, id); err != nil {
			return err
		}
		fmt.Fprintf(a.Err, "the cluster in %s starts with the machine no more; %s is removed\n", l.home, boot.Name(id))
		return nil
	}
	if err := l.enable(ctx, a); err != nil {
		return err
	}
	pid, err := l.running()
	if err != nil {
		return err
	}
	if pid == 0 {
		fmt.Fprintln(a.Err, "pkg cluster start starts it now")
		return nil
	}
	if service, err := l.systemd.Owns(ctx, id, pid); err != nil || service {
		return err
	}
	fmt.Fprintln(a.Err, "handing the running cluster over to systemd; its pods keep running")
	if _, err := l.stopDaemon(ctx); err != nil {
		return err
	}
	return l.start(ctx)
}

// enable installs the service.
func (l *localCluster) enable(ctx context.Context, a *app) error {
	id := instance.ID(l.home)
	daemon, err := program("pkgd")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(l.log()), 0o755); err != nil {
		return err
	}
	s := &boot.Service{ID: id, Home: l.home, Daemon: daemon, Log: l.log(), Env: map[string]string{}}
	for _, name := range boot.Kept {
		if v := a.Env(name); v != "" {
			s.Env[name] = v
		}
	}
	err = l.systemd.Enable(ctx, s)
	if errors.Is(err, boot.ErrNone) {
		return withHint(err, "have its init run: PKG_HOME=%s pkg cluster start", quote(l.home))
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(a.Err, "the cluster in %s starts with the machine: %s (pkg cluster disable ends that)\n", l.home, boot.Name(id))
	return nil
}

// noteAtBoot remembers an answer, so that the question is not asked again.
func (l *localCluster) noteAtBoot(want bool) error {
	s, err := settings.Load(l.home)
	if err != nil || s.NoBoot == !want {
		return err
	}
	s.NoBoot = !want
	return l.save(s)
}

// chooseAtBoot does what the flag says or, where systemd runs and nobody has
// chosen yet, asks the person at the terminal. told is true when there is
// nothing more to say about it.
func (l *localCluster) chooseAtBoot(ctx context.Context, a *app, f *startFlags, given bool) (told bool, err error) {
	id := instance.ID(l.home)
	if given {
		if !f.atBoot {
			return true, errors.Join(l.noteAtBoot(false), l.systemd.Disable(ctx, id))
		}
		return true, errors.Join(l.noteAtBoot(true), l.enable(ctx, a))
	}
	s, err := settings.Load(l.home)
	if err != nil || s.NoBoot || !l.systemd.Runs() || l.systemd.Enabled(id) {
		return true, err
	}
	if !isTerminal(a.In) || !isTerminal(a.Err) {
		return false, nil
	}
	yes, err := askYes(a, fmt.Sprintf("Start the cluster with the machine, too (systemd, %s)? [Y/n] ", boot.Name(id)))
	if err != nil {
		return false, err
	}
	if !yes {
		fmt.Fprintln(a.Err, "it does not; pkg cluster enable changes that")
		return true, l.noteAtBoot(false)
	}
	return true, l.enable(ctx, a)
}

// askYes asks a question whose default is yes.
func askYes(a *app, question string) (yes bool, err error) {
	fmt.Fprint(a.Err, question)
	line, err := bufio.NewReader(a.In).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	if err != nil { // nobody has answered
		fmt.Fprintln(a.Err)
		return false, errors.New("no answer; --at-boot or --at-boot=false gives one")
	}
	switch strings.ToLower(strings.TrimSpace(line)) {
	case "", "y", "yes":
		return true, nil
	}
	return false, nil
}

// startService starts the cluster's service and waits until it is ready.
func (l *localCluster) startService(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, errNotInTime)
	defer cancel()
	err := l.systemd.Start(ctx, id)
	switch {
	case err == nil:
		return nil
	case errors.Is(context.Cause(ctx), errNotInTime):
		return &exitError{code: exitTimeout, err: withHint(
			fmt.Errorf("%s is not ready after %s", boot.Name(id), startTimeout), "its log: %s", l.log())}
	}
	return withHint(fmt.Errorf("cannot start the cluster: %w", err), "its log: %s, and systemctl status %s", l.log(), boot.Name(id))
}

var errNotInTime = errors.New("not in time")

// bootLine words for the status whether the cluster starts with the machine.
func (l *localCluster) bootLine(id string) string {
	switch {
	case l.systemd.Enabled(id):
		return "starts with the machine (" + boot.Name(id) + ")"
	case !l.systemd.Runs():
		return "does not start with the machine, which systemd does not run"
	}
	return "does not start with the machine (pkg cluster enable changes that)"
}

// ago words how long ago something was.
func ago(d time.Duration) string {
	switch {
	case d < time.Minute:
		return "just now"
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min ago", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h ago", int(d.Hours()))
	}
	return fmt.Sprintf("%d days ago", int(d.Hours()/24))
}
