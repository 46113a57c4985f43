package cluster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/seed38700745/pkg/cluster/container"
	"github.com/seed38700745/pkg/cluster/cri"
	"github.com/seed38700745/pkg/cluster/instance"
	"github.com/seed38700745/pkg/cluster/network"
	"github.com/seed38700745/pkg/cluster/node"
)

// stopGrace is how long a container has to end by itself when its record does
// not say: Kubernetes' default.
const stopGrace = 30 * time.Second

// StopPods ends all pods of a cluster whose daemon does not run, as their
// containers expect it (SIGTERM, then SIGKILL), and removes their sandboxes. The
// objects stay, so that the pods start again with the cluster.
func StopPods(ctx context.Context, r instance.Record, shim, helper string, log *slog.Logger) error {
	runtime, err := container.New(containerConfig(r, shim, helper, log))
	if err != nil {
		return err
	}
	return stopPods(ctx, runtime)
}

func stopPods(ctx context.Context, runtime *container.Runtime) error {
	sandboxes, err := runtime.Sandboxes(ctx)
	if err != nil {
		return err
	}
	g, stopping := errgroup.WithContext(ctx)
	for _, s := range sandboxes {
		for _, c := range s.Containers {
			if c.State != cri.Running {
				continue
			}
			grace, ok := node.Grace(c)
			if !ok {
				grace = stopGrace
			}
			g.Go(func() error { return runtime.StopContainer(stopping, s.PodUID, c.ID, grace) })
		}
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for _, s := range sandboxes {
		err = errors.Join(err, runtime.RemoveSandbox(ctx, s.PodUID))
	}
	return err
}

// Delete removes a cluster whose daemon does not run: pods, network, cgroups,
// mounts, records and the data folder; the volumes' data only with volumes. It
// works from the record, also where the folder is gone.
func Delete(ctx context.Context, r instance.Record, shim, helper string, volumes bool, log *slog.Logger) error {
	runtime, err := container.New(containerConfig(r, shim, helper, log))
	if err != nil {
		return err
	}
	if err := stopPods(ctx, runtime); err != nil {
		return fmt.Errorf("end the pods: %w", err)
	}
	if err := runtime.Purge(ctx); err != nil {
		return err
	}
	if err := unmountBelow(r.Home, r.RunDir()); err != nil {
		return err
	}
	others, err := otherClusters(r.ID)
	if err != nil {
		return err
	}
	if err := network.Cleanup(r.ID, r.RunDir(), SysctlRecord, others == 0); err != nil {
		return err
	}
	if err := removeHome(r.Home, volumes); err != nil {
		return err
	}
	_, err = instance.Forget(r.ID)
	return err
}

func otherClusters(id string) (int, error) {
	all, err := instance.All()
	if err != nil {
		return 0, err
	}
	n := 0
	for _, r := range all {
		if r.ID != id {
			n++
		}
	}
	return n, nil
}

// removeHome empties the data folder, but for volumes and backups unless they
// go too.
func removeHome(home string, volumes bool) error {
	entries, err := os.ReadDir(home)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if (e.Name() == "volumes" || e.Name() == BackupsDir) && !volumes {
			continue
		}
		if err := os.RemoveAll(filepath.Join(home, e.Name())); err != nil {
			return err
		}
	}
	if err := os.Remove(home); errors.Is(err, unix.ENOTEMPTY) || errors.Is(err, unix.EEXIST) {
		// Volumes and backups are kept, unless there are none.
		for _, kept := range []string{"volumes", BackupsDir} {
			_ = os.Remove(filepath.Join(home, kept)) // fails when something is in it
		}
		_ = os.Remove(home) // the same
		return nil
	} else if err != nil && !errors.Is(err, unix.EBUSY) { // a mount point of the user's
		return err
	}
	return nil
}
