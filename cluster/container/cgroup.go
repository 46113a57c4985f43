package container

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/opencontainers/cgroups"
	fs1 "github.com/opencontainers/cgroups/fs"
	"github.com/opencontainers/cgroups/fs2"
	"golang.org/x/sys/unix"

	"github.com/seed38700745/pkg/cluster/cri"
)

// unifiedRoot is where cgroup version 2 is mounted.
const unifiedRoot = "/sys/fs/cgroup"

// cgroupPaths returns the folder of a cgroup for each controller; with version
// 2 all are the same, under the key "".
func cgroupPaths(path string) (map[string]string, error) {
	if cgroups.IsCgroup2UnifiedMode() {
		return map[string]string{"": filepath.Join(unifiedRoot, path)}, nil
	}
	m, err := fs1.NewManager(&cgroups.Cgroup{Path: "/" + path, Resources: &cgroups.Resources{SkipDevices: true}}, nil)
	if err != nil {
		return nil, err
	}
	return m.GetPaths(), nil
}

// makeCgroup makes or changes a pod's cgroup.
func makeCgroup(path string, res cri.Resources) error {
	r := &cgroups.Resources{SkipDevices: true, CpuShares: res.CPUShares, CpuQuota: res.CPUQuota,
		CpuPeriod: res.CPUPeriod, Memory: res.Memory}
	if res.Memory > 0 && canLimitSwap() {
		r.MemorySwap = res.Memory
	}
	if res.Pids > 0 {
		r.PidsLimit = &res.Pids
	}
	config := &cgroups.Cgroup{Path: "/" + path, Resources: r}
	var m cgroups.Manager
	var err error
	if cgroups.IsCgroup2UnifiedMode() {
		m, err = fs2.NewManager(config, filepath.Join(unifiedRoot, path))
	} else {
		m, err = fs1.NewManager(config, nil)
	}
	if err != nil {
		return err
	}
	if err := m.Apply(-1); err != nil { // no process of its own
		return err
	}
	return m.Set(r)
}

// canLimitSwap tells whether a memory limit can include swap.
func canLimitSwap() bool {
	if cgroups.IsCgroup2UnifiedMode() {
		return true
	}
	mount, err := cgroups.FindCgroupMountpoint("", "memory")
	if err != nil {
		return false
	}
	_, err = os.Stat(filepath.Join(mount, "memory.memsw.limit_in_bytes"))
	return err == nil
}

// removeCgroup removes a cgroup without processes and what is below it.
func removeCgroup(path string) error {
	paths, err := cgroupPaths(path)
	if err != nil {
		return err
	}
	return cgroups.RemovePaths(paths)
}

// removeEmptyCgroup removes a cgroup that holds nothing.
func removeEmptyCgroup(path string) {
	paths, err := cgroupPaths(path)
	if err != nil {
		return
	}
	for _, dir := range paths {
		_ = unix.Rmdir(dir) // fails when it is not empty
	}
}

// killPoll is how often killCgroup looks whether processes have gone.
const killPoll = 5 * time.Millisecond

// killCgroup kills all processes in a cgroup and below, until none is left.
func killCgroup(ctx context.Context, path string) error {
	paths, err := cgroupPaths(path)
	if err != nil {
		return err
	}
	for {
		var pids []int
		for _, dir := range paths {
			found, err := cgroups.GetAllPids(dir)
			if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENODEV) {
				return err
			}
			pids = append(pids, found...)
		}
		if len(pids) == 0 {
			return nil
		}
		for _, pid := range pids {
			if err := unix.Kill(pid, unix.SIGKILL); err != nil && err != unix.ESRCH {
				return fmt.Errorf("kill process %d: %w", pid, err)
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("cgroup %s still has processes %v: %w", path, pids, context.Cause(ctx))
		case <-time.After(killPoll):
		}
	}
}

// oomFile is the file that counts processes killed for lack of memory.
func oomFile(path string) string {
	paths, err := cgroupPaths(path)
	if err != nil {
		return ""
	}
	if cgroups.IsCgroup2UnifiedMode() {
		return filepath.Join(paths[""], "memory.events")
	}
	if dir, ok := paths["memory"]; ok {
		return filepath.Join(dir, "memory.oom_control")
	}
	return ""
}

// cgroup returns the pod's cgroup or one below it, from the hierarchies' root.
func (s *sandbox) cgroup(below ...string) string {
	return filepath.Join(slices.Concat([]string{s.runtime.config.CgroupParent, "pod" + s.config.PodUID}, below)...)
}
