//go:build !front

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

	"github.com/seed38700745/pkg/cluster/instance"
	"github.com/seed38700745/pkg/cluster/settings"
)

// startTimeout is how long a start waits for the node to be Ready.
const startTimeout = 60 * time.Second

// startFlags are those of `pkg cluster start`. All but atBoot are kept in the
// cluster's settings when they are given.
type startFlags struct {
	noSubstitution bool
	backupSchedule string
	backupKeep     int
	backupVolumes  bool
	atBoot         bool
	evictionHard   string
	transition     time.Duration
	group          string
	httpProxy      string
	httpsProxy     string
	noProxy        string
}

func newClusterStartCommand(a *app) *cobra.Command {
	var f startFlags
	cmd := &cobra.Command{
		Use:   "start",
		Short: "start the cluster of this machine",
		Long: `Starts the cluster of this machine. What flags choose is kept: later starts, by whomever, choose the same.

Members of the group pkg, where there is one, or of --group, may use the cluster without
sudo. They are as powerful as root on this machine, since they can run any pod; --group -
keeps it to root.

Images are pulled through the proxies that $HTTP_PROXY, $HTTPS_PROXY and $NO_PROXY name here,
or the flags; they are kept, too, until a start names others (--http-proxy "" ends it). Mirrors,
credentials, CAs and registries without TLS are in registries.yaml in the data folder, as with k3s,
which is read at each pull; credentials of docker login and pkg registry login count as well.

Exit codes: 0 it runs, 1 it does not, 3 it is not ready in time.`,
		Example: `  pkg cluster start
  HTTPS_PROXY=http://proxy.example.com:3128 NO_PROXY=example.com pkg cluster start
  pkg cluster start --at-boot --backup-schedule "30 4 * * *" --backup-volumes
  sudo groupadd pkg; sudo usermod -aG pkg alice; sudo pkg cluster start`,
		Args: a.argCount(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := a.localCluster()
			if err != nil {
				return err
			}
			return l.startCommand(cmd.Context(), a, &f, cmd.Flags().Changed)
		},
	}
	cmd.Flags().BoolVar(&f.noSubstitution, "no-image-substitution", false, "never build an image from Debian packages where its registry does not answer")
	cmd.Flags().StringVar(&f.backupSchedule, "backup-schedule", settings.DefaultSchedule, "when the cluster makes backups by itself: @daily, five fields of cron, or off")
	cmd.Flags().IntVar(&f.backupKeep, "backup-keep", settings.DefaultKeep, "how many of these backups are kept")
	cmd.Flags().BoolVar(&f.backupVolumes, "backup-volumes", false, "these backups hold the data of volumes, too")
	cmd.Flags().StringVar(&f.evictionHard, "eviction-hard", "", "when the node evicts pods, as the kubelet's: memory.available<100Mi,nodefs.available<5%,imagefs.available<5%,...")
	cmd.Flags().DurationVar(&f.transition, "eviction-pressure-transition-period", 5*time.Minute, "how long a pressure condition of the node stays at least")
	cmd.Flags().StringVar(&f.group, "group", "", "the group that may use the cluster, too; \"-\" for root alone (default pkg, where it exists)")
	cmd.Flags().StringVar(&f.httpProxy, "http-proxy", "", "the proxy for http:// addresses of registries (default $HTTP_PROXY)")
	cmd.Flags().StringVar(&f.httpsProxy, "https-proxy", "", "the proxy for https:// addresses of registries (default $HTTPS_PROXY)")
	cmd.Flags().StringVar(&f.noProxy, "no-proxy", "", "hosts, domains and ranges that are reached without a proxy (default $NO_PROXY)")
	cmd.Flags().BoolVar(&f.atBoot, "at-boot", false, "start the cluster with the machine, too; without the flag a person at a terminal is asked once")
	return cmd
}

// startCommand is `pkg cluster start`; given tells which flags were.
func (l *localCluster) startCommand(ctx context.Context, a *app, f *startFlags, given func(string) bool) error {
	pid, err := l.running()
	if err != nil {
		return err
	}
	if pid == 0 {
		if err := needRoot(); err != nil {
			return err
		}
	}
	if given("group") {
		if err := checkGroup(f.group); err != nil {
			return err
		}
	}
	if err := l.checkRegistries(a); err != nil {
		return err
	}
	changed, err := l.keep(f, given)
	if err != nil {
		return err
	}
	changedProxy, err := l.keepProxy(a, f, given)
	if err != nil {
		return err
	}
	if pid != 0 {
		fmt.Fprintf(a.Err, "the cluster in %s is running already (pid %d)\n", l.home, pid)
		if given("group") {
			if err := instance.Share(l.kubeconfig(), f.group); err != nil {
				return err
			}
			l.tellGroup(a)
			changed = false // it is in force
		}
		if changed || changedProxy {
			fmt.Fprintln(a.Err, "what the flags choose is kept for its next start: pkg cluster stop, pkg cluster start")
		}
		if given("at-boot") {
			return l.setAtBoot(ctx, a, f.atBoot)
		}
		return nil
	}
	told, err := l.chooseAtBoot(ctx, a, f, given("at-boot"))
	if err != nil {
		return err
	}
	if err := l.keepCredentials(a); err != nil {
		return err
	}
	record, err := l.startAndTell(ctx, a)
	if err != nil {
		return err
	}
	l.tellGroup(a)
	if !told && l.systemd.Runs() && !l.systemd.Enabled(record.ID) {
		fmt.Fprintln(a.Err, "it does not start with the machine: pkg cluster enable changes that")
	}
	return nil
}

// startAndTell starts the cluster and says where it is.
func (l *localCluster) startAndTell(ctx context.Context, a *app) (*instance.Record, error) {
	if err := l.start(ctx); err != nil {
		return nil, err
	}
	record, err := l.record()
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(a.Err, "started the cluster in %s at %s (pkg cluster stop ends it)\n", l.home, record.Server())
	return record, nil
}

// keep notes in the cluster's settings what the flags choose, and tells whether
// anything is different now.
func (l *localCluster) keep(f *startFlags, given func(string) bool) (changed bool, err error) {
	old, err := settings.Load(l.home)
	if err != nil {
		return false, err
	}
	s := old
	if given("no-image-substitution") {
		s.NoImageSubstitution = f.noSubstitution
	}
	if given("backup-schedule") {
		s.Backup.Schedule = f.backupSchedule
		if _, err := s.Backup.When(); err != nil {
			return false, usagef("--backup-schedule: %w", err)
		}
	}
	if given("backup-keep") {
		if f.backupKeep < 1 {
			return false, usagef("--backup-keep must be at least 1; --backup-schedule %s ends backups", settings.Off)
		}
		s.Backup.Keep = f.backupKeep
	}
	if given("backup-volumes") {
		s.Backup.Volumes = f.backupVolumes
	}
	if given("eviction-hard") {
		s.Eviction.Hard = f.evictionHard
	}
	if given("eviction-pressure-transition-period") {
		if f.transition <= 0 {
			return false, usagef("--eviction-pressure-transition-period must be more than 0")
		}
		s.Eviction.PressureTransition = f.transition.String()
	}
	if given("group") {
		if s.Group = f.group; f.group == instance.DefaultGroup {
			s.Group = "" // so that a machine that loses it does not lose the cluster
		}
	}
	if s == old {
		return false, nil
	}
	return true, l.save(s)
}

// keepCredentials notes where the credentials for registries of who starts the
// cluster are.
func (l *localCluster) keepCredentials(a *app) error {
	s, err := settings.Load(l.home)
	if err != nil || s.Credentials == a.dockerConfigs() {
		return err
	}
	s.Credentials = a.dockerConfigs()
	return l.save(s)
}

// save keeps settings, also those of a cluster that is not there yet.
func (l *localCluster) save(s settings.Settings) error {
	if err := os.MkdirAll(l.home, 0o755); err != nil {
		return err
	}
	return s.Save(l.home)
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
	if os.Geteuid() == 0 {
		if _, err := l.keepProxy(a, &startFlags{}, func(string) bool { return false }); err != nil {
			return err
		}
		if err := l.keepCredentials(a); err != nil {
			return err
		}
	}
	return l.start(ctx)
}

// needRoot explains why only root can go on.
func needRoot() error {
	if os.Geteuid() == 0 {
		return nil
	}
	return withHint(errors.New("the cluster of this machine needs root to isolate containers"),
		"sudo pkg ..., or choose another cluster: --kubeconfig, --kube-context, pkg use, $KUBECONFIG")
}

// start runs pkgd, through systemd if that starts it with the machine, and waits
// until it says that it is ready, or why it is not.
func (l *localCluster) start(ctx context.Context) error {
	if err := needRoot(); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(l.log()), 0o755); err != nil {
		return err
	}
	if id := instance.ID(l.home); l.systemd.Runs() && l.systemd.Installed(id) {
		return l.startService(ctx, id)
	}
	return l.startDaemon(ctx)
}

// startDaemon runs pkgd in the background.
func (l *localCluster) startDaemon(ctx context.Context) error {
	path, err := program("pkgd")
	if err != nil {
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
	c := exec.Command(path, "run", "--home", l.home, "--ready-fd", "3")
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
