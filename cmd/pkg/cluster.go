//go:build !front

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed38700745/pkg/cluster/boot"
	"github.com/seed38700745/pkg/cluster/instance"
)

// localCluster is the cluster of this machine that PKG_HOME names.
type localCluster struct {
	home    string
	systemd boot.Systemd // may start it with the machine
}

// localCluster finds it.
func (a *app) localCluster() (*localCluster, error) {
	home, err := instance.Home(a.Env("PKG_HOME"))
	if err != nil {
		return nil, err
	}
	return &localCluster{home: home}, nil
}

// kubeconfig is the file that pkgd writes for the administrator.
func (l *localCluster) kubeconfig() string { return filepath.Join(l.home, "kubeconfig") }

func (l *localCluster) log() string { return filepath.Join(l.home, "logs", "pkgd.log") }

// running returns the daemon's pid, or 0.
func (l *localCluster) running() (int, error) { return instance.Running(l.home) }

// record returns what the cluster has been given, or nil if there is none.
func (l *localCluster) record() (*instance.Record, error) {
	r, err := instance.Load(l.home)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return r, err
}

// errNoCluster says that there is nothing to work on.
func (l *localCluster) errNoCluster() error {
	return withHint(fmt.Errorf("there is no cluster in %s", l.home), "pkg cluster start")
}

// daemon runs pkgd with arguments for this cluster and waits for it.
func (l *localCluster) daemon(ctx context.Context, a *app, args ...string) error {
	path, err := program("pkgd")
	if err != nil {
		return err
	}
	c := exec.CommandContext(ctx, path, append([]string{args[0], "--home", l.home}, args[1:]...)...)
	c.Stdout, c.Stderr = a.Out, a.Err
	c.Cancel = func() error { return c.Process.Signal(syscall.SIGTERM) }
	if err := c.Run(); err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			return &exitError{code: exit.ExitCode()} // it has said why
		}
		return err
	}
	return nil
}

func newClusterCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cluster",
		Short: "the cluster of this machine: start, stop, status, backup, restore, delete ...",
		Long: `The cluster of this machine. Its data folder is $PKG_HOME, by default ` + instance.DefaultHome + `;
every data folder is a cluster of its own.`,
	}
	cmd.AddCommand(newClusterStartCommand(a), newClusterStopCommand(a), newClusterStatusCommand(a),
		newClusterDeleteCommand(a), newClusterKubeconfigCommand(a), newClusterLogsCommand(a), newClusterCheckCommand(a),
		newClusterEnableCommand(a), newClusterDisableCommand(a),
		newClusterBackupCommand(a), newClusterBackupsCommand(a), newClusterRestoreCommand(a))
	return cmd
}

func newClusterKubeconfigCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "kubeconfig",
		Short:   "print the administrator's kubeconfig",
		Example: "  pkg cluster kubeconfig > ~/.kube/pkg.yaml\n  KUBECONFIG=~/.kube/pkg.yaml kubectl get nodes",
		Args:    a.argCount(0, 0),
		RunE: func(*cobra.Command, []string) error {
			l, err := a.localCluster()
			if err != nil {
				return err
			}
			data, err := os.ReadFile(l.kubeconfig())
			if errors.Is(err, fs.ErrNotExist) {
				return l.errNoCluster()
			}
			if errors.Is(err, fs.ErrPermission) {
				return l.errNotAllowed()
			}
			if err != nil {
				return err
			}
			_, err = a.Out.Write(data)
			return err
		},
	}
}

// stopTimeout is how long stop waits for the daemon to end.
const stopTimeout = 30 * time.Second

func newClusterStopCommand(a *app) *cobra.Command {
	var pods bool
	cmd := &cobra.Command{
		Use:   "stop",
		Short: "stop the cluster's daemon; pods keep running unless --pods",
		Args:  a.argCount(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := a.localCluster()
			if err != nil {
				return err
			}
			return l.stop(cmd.Context(), a, pods)
		},
	}
	cmd.Flags().BoolVar(&pods, "pods", false, "end the pods too; they start again with the cluster")
	return cmd
}

func (l *localCluster) stop(ctx context.Context, a *app, pods bool) error {
	if err := needsRoot("stopping the cluster"); err != nil {
		return err
	}
	record, err := l.record()
	if err != nil {
		return err
	}
	if record == nil {
		return l.errNoCluster()
	}
	stopped, err := l.stopDaemon(ctx)
	if err != nil {
		return err
	}
	if pods {
		if err := l.daemon(ctx, a, "stop-pods"); err != nil {
			return err
		}
		fmt.Fprintf(a.Err, "stopped the cluster in %s and its pods\n", l.home)
		return nil
	}
	if !stopped {
		fmt.Fprintf(a.Err, "the cluster in %s was not running\n", l.home)
		return nil
	}
	fmt.Fprintf(a.Err, "stopped the cluster in %s; its pods keep running (pkg cluster stop --pods ends them)\n", l.home)
	if l.systemd.Enabled(record.ID) {
		fmt.Fprintln(a.Err, "it starts again with the machine (pkg cluster disable ends that)")
	}
	return nil
}

// stopDaemon ends pkgd and waits until it has released the data folder.
func (l *localCluster) stopDaemon(ctx context.Context) (wasRunning bool, err error) {
	pid, err := l.running()
	if err != nil || pid == 0 {
		return false, err
	}
	ctx, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	id := instance.ID(l.home)
	if service, err := l.systemd.Owns(ctx, id, pid); err != nil {
		return false, err
	} else if service {
		if err := l.systemd.Stop(ctx, id); err != nil {
			return false, err
		}
	} else if err := syscall.Kill(pid, syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
		return false, fmt.Errorf("stop pkgd (pid %d): %w", pid, err)
	}
	for {
		if now, err := l.running(); err != nil || now != pid {
			return true, err
		}
		select {
		case <-ctx.Done():
			return true, &exitError{code: exitTimeout, err: fmt.Errorf("pkgd (pid %d) has not ended after %s", pid, stopTimeout)}
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func newClusterDeleteCommand(a *app) *cobra.Command {
	var yes, volumes bool
	cmd := &cobra.Command{
		Use:   "delete",
		Short: "remove the cluster from this machine; volumes and backups are kept unless --volumes",
		Args:  a.argCount(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := a.localCluster()
			if err != nil {
				return err
			}
			return l.delete(cmd.Context(), a, yes, volumes)
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	cmd.Flags().BoolVar(&volumes, "volumes", false, "delete the data of persistent volumes and the kept backups too")
	return cmd
}

func (l *localCluster) delete(ctx context.Context, a *app, yes, volumes bool) error {
	if err := needsRoot("deleting the cluster"); err != nil {
		return err
	}
	record, err := l.record()
	if err != nil {
		return err
	}
	if record == nil {
		return l.errNoCluster()
	}
	if !yes {
		what := "keeping the data of its volumes and its backups"
		if volumes {
			what = "with the data of its volumes and its backups"
		}
		fmt.Fprintf(a.Err, "Delete the cluster in %s, %s? Type yes: ", l.home, what)
		var answer string
		if _, err := fmt.Fscanln(a.In, &answer); err != nil || answer != "yes" {
			return withHint(errors.New("not deleted"), "pkg cluster delete --yes")
		}
	}
	if _, err := l.stopDaemon(ctx); err != nil {
		return err
	}
	if err := l.systemd.Disable(ctx, record.ID); err != nil {
		return err
	}
	args := []string{"delete"}
	if volumes {
		args = append(args, "--volumes")
	}
	return l.daemon(ctx, a, args...)
}
