package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/seed38700745/pkg/cluster/backup/archive"
)

// Keeper makes backups by a schedule and keeps the last few.
type Keeper struct {
	Dir      string // where they are, and nothing else is
	Schedule cron.Schedule
	Keep     int // how many
	Options  Options
	// Born is when the cluster was made: the first backup is due after it.
	Born   func(context.Context) (time.Time, error)
	Write  func(context.Context, io.Writer, Options) (*archive.Manifest, error)
	Logger *slog.Logger
}

// FailedFile is the file in the folder of kept backups that says why the last one by schedule
// failed; it is not there when it did not.
const FailedFile = "failed"

// Times of a Keeper.
const (
	settle   = time.Minute // after the start, before a backup that is overdue
	lookPast = time.Hour   // the clock may be set, and the machine may sleep
	retry    = time.Hour   // after one that failed
)

// Run makes backups until ctx ends.
func (k *Keeper) Run(ctx context.Context) error {
	earliest := time.Now().Add(settle)
	for {
		due, err := k.due(ctx)
		if err != nil && ctx.Err() == nil {
			k.Logger.Error("backups", "error", err)
			earliest, due = time.Now().Add(retry), time.Time{}
		}
		if due.Before(earliest) {
			due = earliest
		}
		if !wait(ctx, min(time.Until(due), lookPast)) {
			return nil
		}
		if err != nil || time.Now().Before(due) {
			continue
		}
		if err := k.make(ctx); err != nil && ctx.Err() == nil {
			k.Logger.Error("backup by schedule failed", "error", err, "again in", retry)
			earliest = time.Now().Add(retry)
		}
	}
}

// wait waits for d, and returns false when ctx ends before.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// due is when the next backup must be made.
func (k *Keeper) due(ctx context.Context) (time.Time, error) {
	all, err := archive.List(k.Dir)
	if err != nil {
		return time.Time{}, err
	}
	for i := len(all) - 1; i >= 0; i-- {
		if all[i].Error == "" {
			return k.Schedule.Next(all[i].Time.Local()), nil
		}
	}
	born, err := k.Born(ctx)
	if err != nil {
		return time.Time{}, err
	}
	return k.Schedule.Next(born.Local()), nil
}

// make makes one backup, and removes those that are too many.
func (k *Keeper) make(ctx context.Context) error {
	if err := os.MkdirAll(k.Dir, 0o700); err != nil {
		return err
	}
	if err := archive.Tidy(k.Dir); err != nil {
		return err
	}
	now := time.Now().UTC()
	path := filepath.Join(k.Dir, "pkg-"+now.Format("20060102T150405Z")+archive.Suffix)
	failed := filepath.Join(k.Dir, FailedFile)
	err := archive.Create(path, func(w io.Writer) error {
		_, err := k.Write(ctx, w, k.Options)
		return err
	})
	if err != nil {
		text := fmt.Sprintf("%s: %v\n", now.Format(time.RFC3339), err)
		return errors.Join(err, os.WriteFile(failed, []byte(text), 0o600))
	}
	k.Logger.Info("backup made", "file", path, "volumes", k.Options.Volumes)
	if err := os.Remove(failed); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return k.prune()
}

func (k *Keeper) prune() error {
	all, err := archive.List(k.Dir)
	if err != nil {
		return err
	}
	for _, old := range all[:max(0, len(all)-k.Keep)] {
		if err := os.Remove(old.Path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
