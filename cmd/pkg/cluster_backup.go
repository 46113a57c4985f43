//go:build !front

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/seed38700745/pkg/cluster/backup/archive"
	"github.com/seed38700745/pkg/cluster/client"
	"github.com/seed38700745/pkg/cluster/settings"
)

// backupsDir holds the backups that the cluster makes by itself.
func (l *localCluster) backupsDir() string { return filepath.Join(l.home, "backups") }

func newClusterBackupCommand(a *app) *cobra.Command {
	var volumes bool
	cmd := &cobra.Command{
		Use:   "backup FILE",
		Short: "write a backup of the running cluster to a file",
		Long: `Writes a backup of the running cluster to FILE, "-" for standard output: all objects as of one moment, keys and
certificates, settings and, with --volumes, the data of persistent volumes. FILE is a tar archive under zstd that
only its owner may read: it holds every secret. It is complete or not there at all.

The volumes of a release are copied as of one moment. Pods with the annotation pkg.internal/pre-backup-command run that
command before; others stand still while their volumes are copied. Images are not in a backup.

Exit codes: 0 done, 1 failed, 4 another backup is being made.`,
		Example: `  pkg cluster backup /backup/cluster.tar.zst --volumes
  pkg cluster backup - | ssh backup 'cat > cluster.tar.zst'`,
		Args: a.argCount(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := a.localCluster()
			if err != nil {
				return err
			}
			return l.backup(cmd.Context(), a, args[0], volumes)
		},
	}
	cmd.Flags().BoolVar(&volumes, "volumes", false, "with the data of persistent volumes")
	return cmd
}

// client connects to the running cluster as its administrator.
func (l *localCluster) client(a *app) (*client.Client, error) {
	record, err := l.record()
	if err != nil {
		return nil, err
	}
	if record == nil {
		return nil, l.errNoCluster()
	}
	if pid, err := l.running(); err != nil {
		return nil, err
	} else if pid == 0 {
		return nil, withHint(fmt.Errorf("the cluster in %s is not running", l.home), "pkg cluster start")
	}
	loaded, err := client.Kubeconfig{Path: l.kubeconfig()}.Load()
	if err != nil {
		return nil, err
	}
	return client.New(client.Config{REST: loaded.REST, Now: a.Now})
}

func (l *localCluster) backup(ctx context.Context, a *app, file string, volumes bool) error {
	c, err := l.client(a)
	if err != nil {
		return err
	}
	fmt.Fprintf(a.Err, "backing up the cluster in %s\n", l.home)
	start := a.Now()
	var manifest *archive.Manifest
	write := func(w io.Writer) (err error) {
		manifest, err = fetchBackup(ctx, c, w, volumes)
		return err
	}
	if file == "-" {
		if isTerminal(a.Out) {
			return usagef("a backup is no text for a terminal: pkg cluster backup FILE, or redirect the output")
		}
		err = write(a.Out)
	} else {
		err = archive.Create(file, write)
	}
	switch {
	case errors.Is(err, archive.ErrBusy), apierrors.IsConflict(err):
		return &exitError{code: exitBusy, err: err}
	case err != nil:
		return fmt.Errorf("backup: %w", err)
	}
	l.tellBackup(a, file, manifest, a.Now().Sub(start))
	return nil
}

// fetchBackup has the cluster make a backup, writes it to w, and reads it along:
// what has arrived is complete when it returns nil.
func fetchBackup(ctx context.Context, c *client.Client, w io.Writer, volumes bool) (*archive.Manifest, error) {
	query := url.Values{"volumes": {fmt.Sprint(volumes)}}
	body, err := c.Stream(ctx, http.MethodPost, archive.Path, query, nil, "")
	if err != nil {
		return nil, err
	}
	defer body.Close()
	out := &sink{w: w}
	_, manifest, err := archive.Verify(io.TeeReader(body, out))
	if out.err != nil {
		return nil, out.err
	}
	if err != nil && ctx.Err() == nil && errors.Is(err, archive.ErrDamaged) {
		return nil, fmt.Errorf("the cluster broke off: %w", err)
	}
	return manifest, err
}

// sink remembers why writing failed.
type sink struct {
	w   io.Writer
	err error
}

func (s *sink) Write(p []byte) (int, error) {
	n, err := s.w.Write(p)
	if err != nil {
		s.err = err
	}
	return n, err
}

func (l *localCluster) tellBackup(a *app, file string, m *archive.Manifest, took time.Duration) {
	for _, v := range m.Volumes {
		fmt.Fprintf(a.Err, "volume %s: %d files, %s (%s)\n", named(v.Claim, v.Name), v.Files, megabytes(v.Bytes), v.How)
	}
	for _, s := range m.Skipped {
		fmt.Fprintf(a.Err, "not in it: volume %s: %s\n", named(s.Claim, s.Name), s.Why)
	}
	size := ""
	if info, err := os.Stat(file); err == nil {
		size = ", " + megabytes(info.Size())
	}
	if file == "-" {
		file = "standard output"
	}
	fmt.Fprintf(a.Err, "backup written to %s%s, in %s\n", file, size, took.Round(100*time.Millisecond))
}

func named(claim, volume string) string {
	if claim != "" {
		return "of claim " + claim
	}
	return volume
}

func newClusterBackupsCommand(a *app) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "backups",
		Short: "list the backups that the cluster has made by itself",
		Long: `Lists the backups that the cluster has made by itself, in the folder backups of its data folder. By default it makes
one a day, without volumes, and keeps seven: pkg cluster start --backup-schedule, --backup-keep, --backup-volumes.`,
		Example: "  pkg cluster backups\n  pkg cluster backups -o json",
		Args:    a.argCount(0, 0),
		RunE: func(*cobra.Command, []string) error {
			l, err := a.localCluster()
			if err != nil {
				return err
			}
			return l.backups(a, output)
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "table", "table or json")
	return cmd
}

func (l *localCluster) backups(a *app, output string) error {
	all, err := archive.List(l.backupsDir())
	if err != nil {
		return err
	}
	switch output {
	case "json":
		if all == nil {
			all = []archive.Info{}
		}
		e := json.NewEncoder(a.Out)
		e.SetIndent("", "  ")
		return e.Encode(all)
	case "table":
	default:
		return usagef("unknown output format %q: table or json", output)
	}
	if len(all) == 0 {
		fmt.Fprintf(a.Err, "no backups in %s yet (%s)\n", l.backupsDir(), l.backupLine(a))
		return nil
	}
	t := tabwriter.NewWriter(a.Out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(t, "TIME\tSIZE\tVOLUMES\tFILE")
	for _, b := range all {
		if b.Error != "" {
			fmt.Fprintf(t, "-\t%s\t-\t%s (%s)\n", megabytes(b.Size), b.Path, b.Error)
			continue
		}
		with := map[bool]string{true: "yes", false: "no"}[b.Volumes]
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", b.Time.Local().Format(time.DateTime), megabytes(b.Size), with, b.Path)
	}
	return t.Flush()
}

// backupStatus is what `pkg cluster status` says of backups by schedule.
type backupStatus struct {
	Schedule string     `json:"schedule"`
	Keep     int        `json:"keep"`
	Volumes  bool       `json:"volumes"`
	Count    int        `json:"count"`
	Last     *time.Time `json:"last,omitempty"`
	Failed   string     `json:"failed,omitempty"` // when and why the last one was not made
}

func (l *localCluster) backupStatus() (backupStatus, error) {
	s, err := settings.Load(l.home)
	if err != nil {
		return backupStatus{}, err
	}
	b := backupStatus{Schedule: firstOf(s.Backup.Schedule, settings.DefaultSchedule), Keep: s.Backup.Kept(), Volumes: s.Backup.Volumes}
	all, err := archive.List(l.backupsDir())
	if err != nil {
		return b, err
	}
	for _, i := range all {
		if i.Error == "" {
			b.Count++
			b.Last = &i.Time
		}
	}
	if text, err := os.ReadFile(filepath.Join(l.backupsDir(), "failed")); err == nil {
		b.Failed = strings.TrimSpace(string(text))
	}
	return b, nil
}

// backupLine words it.
func (l *localCluster) backupLine(a *app) string {
	b, err := l.backupStatus()
	switch {
	case err != nil:
		return err.Error()
	case b.Failed != "":
		return "the last one failed at " + b.Failed
	case b.Schedule == settings.Off:
		return fmt.Sprintf("off, %d kept", b.Count)
	case b.Last == nil:
		return fmt.Sprintf("none yet, %s", b.Schedule)
	}
	return fmt.Sprintf("%s, the last %s (%s), %d of %d kept", b.Schedule, b.Last.Local().Format(time.DateTime), ago(a.Now().Sub(*b.Last)), b.Count, b.Keep)
}

func newClusterRestoreCommand(a *app) *cobra.Command {
	var force, start bool
	cmd := &cobra.Command{
		Use:   "restore FILE",
		Short: "make the cluster of a backup the one of this data folder, and start it",
		Long: `Makes the cluster of a backup the one of the data folder $PKG_HOME, on this machine or another, and starts it. The
whole file is checked before anything is touched. The folder must be empty, but for volumes and backups that a
deleted cluster has left. With --force the stopped cluster in it is removed, but for its volumes, of which those in
the backup are replaced.

Addresses of Services, node ports, the node's name and paths are adapted where the folder or machine has others; the
output says so. Certificates and tokens stay valid, but clients need the kubeconfig anew.

Exit codes: 0 done, 1 failed, 3 restored, but not ready in time.`,
		Example: `  PKG_HOME=/var/lib/other pkg cluster restore /backup/cluster.tar.zst
  pkg cluster restore --force /var/lib/pkg/backups/pkg-20261121T000000Z.tar.zst`,
		Args: a.argCount(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := a.localCluster()
			if err != nil {
				return err
			}
			return l.restore(cmd.Context(), a, args[0], force, start)
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "replace the stopped cluster that is there")
	cmd.Flags().BoolVar(&start, "start", true, "start the cluster afterwards")
	return cmd
}

func (l *localCluster) restore(ctx context.Context, a *app, file string, force, start bool) error {
	if err := needRoot(); err != nil {
		return err
	}
	args := []string{"restore"}
	if force {
		args = append(args, "--force")
	}
	if err := l.daemon(ctx, a, append(args, file)...); err != nil {
		return err
	}
	if !start {
		fmt.Fprintln(a.Err, "pkg cluster start starts it")
		return nil
	}
	_, err := l.startAndTell(ctx, a)
	return err
}
