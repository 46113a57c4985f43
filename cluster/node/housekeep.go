package node

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/seed38700745/pkg/cluster/cri"
	"github.com/seed38700745/pkg/cluster/node/podlog"
)

// Limits of the kubelet.
const (
	housekeepPeriod = time.Minute
	logCheckPeriod  = 10 * time.Second
	imagePeriod     = 5 * time.Minute
	maxLogSize      = 10 << 20 // bytes before a log is rotated
	maxLogFiles     = 5
)

// housekeep removes what no pod needs any more, rotates logs, and frees disk
// space of unused images.
func (a *Agent) housekeep(ctx context.Context) error {
	var orphans, images time.Time
	ticker := time.NewTicker(logCheckPeriod)
	defer ticker.Stop()
	for {
		now := a.Now()
		a.mu.Lock()
		synced := a.synced
		a.mu.Unlock()
		if synced && now.Sub(orphans) >= housekeepPeriod {
			orphans = now
			if err := a.removeOrphans(ctx); err != nil && ctx.Err() == nil {
				a.Logger.Warn("leftovers of removed pods", "error", err)
			}
		}
		if now.Sub(images) >= imagePeriod {
			images = now
			if err := a.collectImages(ctx); err != nil && ctx.Err() == nil {
				a.Logger.Warn("unused images not removed", "error", err)
			}
		}
		a.rotateLogs(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// removeOrphans removes sandboxes, and then network attachments, volumes, files
// and logs, of pods that do not exist any more.
func (a *Agent) removeOrphans(ctx context.Context) error {
	sandboxes, err := a.Runtime.Sandboxes(ctx)
	if err != nil {
		return err
	}
	var all sync.WaitGroup
	for _, s := range sandboxes {
		if a.worker(s.PodUID) == nil {
			all.Go(func() { a.removeOrphan(ctx, s) }) // ends with ctx or the pod's grace
		}
	}
	all.Wait()
	if sandboxes, err = a.Runtime.Sandboxes(ctx); err != nil {
		return err
	}
	free := func(uid string) bool {
		return a.worker(uid) == nil && !slices.ContainsFunc(sandboxes, func(s cri.Sandbox) bool { return s.PodUID == uid })
	}
	var problems []error
	sweep := func(what string, uids iter.Seq[string], listed error, remove func(uid string) error) {
		if listed != nil {
			problems = append(problems, fmt.Errorf("%s: %w", what, listed))
			return
		}
		for uid := range uids {
			if !free(uid) {
				continue
			}
			if err := remove(uid); err != nil {
				problems = append(problems, fmt.Errorf("%s of pod %s: %w", what, uid, err))
			}
		}
	}
	attached, err := a.Network.Attached()
	sweep("network", maps.Keys(attached), err, func(uid string) error { return a.Network.Detach(ctx, uid) })
	files, err := a.files.pods()
	sweep("files", slices.Values(files), err, a.files.remove)
	volumes, err := a.Volumes.Pods()
	sweep("volumes", slices.Values(volumes), err, func(uid string) error { return a.Volumes.Teardown(ctx, uid) })
	logs, err := a.files.podLogs()
	sweep("logs", maps.Keys(logs), err, func(uid string) error { return os.RemoveAll(logs[uid]) })
	return errors.Join(problems...)
}

// removeOrphan ends a sandbox whose pod is gone, with the grace that the pod
// had.
func (a *Agent) removeOrphan(ctx context.Context, s cri.Sandbox) {
	var all sync.WaitGroup
	for _, c := range s.Containers {
		if c.State != cri.Running {
			continue
		}
		grace, ok := Grace(c)
		if !ok {
			grace = defaultGrace
		}
		all.Go(func() { // ends with ctx or grace
			if err := a.Runtime.StopContainer(ctx, s.PodUID, c.ID, grace); err != nil && ctx.Err() == nil {
				a.Logger.Warn("container of a removed pod not stopped", "pod", s.Namespace+"/"+s.Name, "error", err)
			}
		})
	}
	all.Wait()
	if err := a.Runtime.RemoveSandbox(ctx, s.PodUID); err != nil && ctx.Err() == nil {
		a.Logger.Warn("sandbox of a removed pod not removed", "pod", s.Namespace+"/"+s.Name, "error", err)
	}
}

// rotateLogs rotates the logs of running containers that have grown too large.
func (a *Agent) rotateLogs(ctx context.Context) {
	for _, pod := range a.Pods() {
		uid := string(pod.UID)
		for _, path := range a.files.largeLogs(pod, maxLogSize) {
			s, ok, err := a.Runtime.Sandbox(ctx, uid)
			if err != nil || !ok {
				continue
			}
			for _, c := range s.Containers {
				if c.LogPath != path || c.State != cri.Running {
					continue
				}
				err := podlog.Rotate(path, maxLogFiles, a.Now(), func() error { return a.Runtime.ReopenLog(ctx, uid, c.ID) })
				if err != nil && ctx.Err() == nil {
					a.Logger.Warn("log not rotated", "path", path, "error", err)
				}
			}
		}
	}
}
