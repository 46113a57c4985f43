package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

// startTimeout is how long a start waits for the node to be Ready.
const startTimeout = 60 * time.Second

func newClusterStartCommand(a *app) *cobra.Command {
	var noSubstitution bool
	cmd := &cobra.Command{
		Use:   "start",
		Short: "start the cluster of this machine",
		Args:  a.argCount(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := a.localCluster()
			if err != nil {
				return err
			}
			if pid, err := l.running(); err != nil {
				return err
			} else if pid != 0 {
				fmt.Fprintf(a.Err, "the cluster in %s is running already (pid %d)\n", l.home, pid)
				return nil
			}
			var args []string
			if noSubstitution {
				args = append(args, "--no-image-substitution")
			}
			if err := l.start(cmd.Context(), args...); err != nil {
				return err
			}
			record, err := l.record()
			if err != nil {
				return err
			}
			fmt.Fprintf(a.Err, "started the cluster in %s at %s (pkg cluster stop ends it)\n", l.home, record.Server())
			return nil
		},
	}
	cmd.Flags().BoolVar(&noSubstitution, "no-image-substitution", false, "never build an image from Debian packages where its registry does not answer")
	return cmd
}

// startCluster starts this machine's cluster if it is not running, and says so
// in one line.
func startCluster(ctx context.Context, a *app) error {
	l, err := a.localCluster()
	if err != nil {
		return err
	}
	if pid, err := l.running(); err != nil || pid != 0 {
		return err
	}
	fmt.Fprintf(a.Err, "starting the cluster of this machine in %s (pkg cluster stop ends it)\n", l.home)
	return l.start(ctx)
}

// start runs pkgd in the background and waits until it says that it is ready,
// or why it is not.
func (l *localCluster) start(ctx context.Context, args ...string) error {
	if os.Geteuid() != 0 {
		return withHint(errors.New("the cluster of this machine needs root to isolate containers"),
			"sudo pkg ..., or choose another cluster: --kubeconfig, --kube-context, pkg use, $KUBECONFIG")
	}
	path, err := program("pkgd")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(l.log()), 0o755); err != nil {
		return err
	}
	log, err := os.OpenFile(l.log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	c := exec.Command(path, append([]string{"run", "--home", l.home, "--ready-fd", "3"}, args...)...)
	c.Dir = "/"
	c.Stdout, c.Stderr = log, log
	c.ExtraFiles = []*os.File{w}
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // it outlives this terminal
	err = c.Start()
	w.Close()
	if err != nil {
		return fmt.Errorf("start pkgd: %w", err)
	}
	return l.awaitReady(ctx, c, r)
}

// awaitReady reads what pkgd says on its ready pipe: "ready", or an error. The
// end of the pipe without either means that it died.
func (l *localCluster) awaitReady(ctx context.Context, c *exec.Cmd, r *os.File) error {
	said := make(chan string, 1)
	go func() { // ends when pkgd says something or ends, which closes the pipe
		text, _ := bufio.NewReader(r).ReadString(0)
		said <- strings.TrimRight(text, "\x00\n")
	}()
	select {
	case text := <-said:
		if text == "ready" {
			return c.Process.Release()
		}
		err := c.Wait()
		if text == "" {
			text = fmt.Sprintf("pkgd ended (%v)", err)
		}
		return withHint(fmt.Errorf("cannot start the cluster: %s", text), "its log: %s", l.log())
	case <-time.After(startTimeout):
		return &exitError{code: exitTimeout, err: withHint(
			fmt.Errorf("the cluster (pid %d) is not ready after %s", c.Process.Pid, startTimeout), "its log: %s", l.log())}
	case <-ctx.Done():
		return errors.Join(ctx.Err(), c.Process.Signal(syscall.SIGTERM))
	}
}
