package backup

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/seed38700745/pkg/cluster/backup/archive"
)

// keeper writes small archives of the present time; fail makes it fail.
func keeper(t *testing.T, dir string, fail *error) *Keeper {
	t.Helper()
	daily, err := cron.ParseStandard("@daily")
	if err != nil {
		t.Fatal(err)
	}
	born := time.Now()
	return &Keeper{Dir: dir, Schedule: daily, Keep: 7, Logger: slog.New(slog.DiscardHandler),
		Born: func(context.Context) (time.Time, error) { return born, nil },
		Write: func(_ context.Context, w io.Writer, _ Options) (*archive.Manifest, error) {
			a, err := archive.NewWriter(w, archive.Header{Time: time.Now().UTC()})
			if err != nil {
				return nil, err
			}
			if *fail != nil {
				return nil, errors.Join(*fail, a.Fail(*fail))
			}
			return a.Finish(nil, nil)
		}}
}

func kept(t *testing.T, dir string) []archive.Info {
	t.Helper()
	all, err := archive.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestKeeper(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "backups")
	synctest.Test(t, func(t *testing.T) {
		var fail error
		k := keeper(t, dir, &fail)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- k.Run(ctx) }()
		pass := func(d time.Duration) {
			time.Sleep(d) // the bubble's time
			synctest.Wait()
		}
		pass(time.Hour)
		if n := len(kept(t, dir)); n != 0 {
			t.Errorf("%d backups in the first hour", n)
		}
		pass(24 * time.Hour)
		if n := len(kept(t, dir)); n != 1 {
			t.Errorf("%d backups after a day", n)
		}
		pass(9 * 24 * time.Hour)
		all := kept(t, dir)
		if len(all) != 7 {
			t.Fatalf("%d backups after ten days, want 7", len(all))
		}
		if newest := time.Since(all[6].Time); newest > 24*time.Hour {
			t.Errorf("the newest is of %s ago", newest)
		}
		if err := os.WriteFile(filepath.Join(dir, ".pkg-x.tar.zst.partial"), nil, 0o600); err != nil { // of a daemon that was killed
			t.Fatal(err)
		}
		fail = errors.New("no space left on device")
		pass(26 * time.Hour)
		if text, err := os.ReadFile(filepath.Join(dir, FailedFile)); err != nil || len(kept(t, dir)) != 7 {
			t.Errorf("after a failure: %q, %v, %d kept", text, err, len(kept(t, dir)))
		}
		fail = nil
		pass(2 * time.Hour) // it is tried again before the next day
		if _, err := os.ReadFile(filepath.Join(dir, FailedFile)); err == nil {
			t.Error("the failure is still told of")
		}
		if newest := time.Since(kept(t, dir)[6].Time); newest > 2*time.Hour {
			t.Errorf("the newest is of %s ago", newest)
		}
		if entries, _ := os.ReadDir(dir); len(entries) != 7 {
			t.Errorf("the folder holds %v", entries)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// A backup that was due while the machine was off is made soon after the start.
func TestKeeperOverdue(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "backups")
	synctest.Test(t, func(t *testing.T) {
		var fail error
		k := keeper(t, dir, &fail)
		time.Sleep(30 * time.Hour) // the bubble's time
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go k.Run(ctx)
		time.Sleep(settle + time.Second)
		synctest.Wait()
		if n := len(kept(t, dir)); n != 1 {
			t.Errorf("%d backups a minute after the start", n)
		}
	})
}
