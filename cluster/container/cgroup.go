package container

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
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

// readStats reads a cgroup's counters. A controller that is not mounted leaves
// zeros.
func readStats(path string) (cri.Stats, error) {
	paths, err := cgroupPaths(path)
	if err != nil {
		return cri.Stats{}, err
	}
	s := cri.Stats{Time: time.Now()}
	if cgroups.IsCgroup2UnifiedMode() {
		dir := paths[""]
		if _, err := os.Stat(dir); err != nil {
			return s, fmt.Errorf("cgroup: %w", ErrNotFound)
		}
		memory := readFlat(filepath.Join(dir, "memory.stat"))
		s.CPUNanoseconds = readFlat(filepath.Join(dir, "cpu.stat"))["usage_usec"] * 1000
		s.MemoryUsage = readNumber(filepath.Join(dir, "memory.current"))
		s.MemoryRSS = memory["anon"]
		s.MemoryWorkingSet = subtract(s.MemoryUsage, memory["inactive_file"])
		s.Pids = readNumber(filepath.Join(dir, "pids.current"))
		s.OOMKills = readFlat(filepath.Join(dir, "memory.events"))["oom_kill"]
		return s, nil
	}
	if _, err := os.Stat(paths["devices"]); err != nil {
		return s, fmt.Errorf("cgroup: %w", ErrNotFound)
	}
	memory := readFlat(filepath.Join(paths["memory"], "memory.stat"))
	s.CPUNanoseconds = readNumber(filepath.Join(paths["cpuacct"], "cpuacct.usage"))
	s.MemoryUsage = readNumber(filepath.Join(paths["memory"], "memory.usage_in_bytes"))
	s.MemoryRSS = memory["total_rss"]
	s.MemoryWorkingSet = subtract(s.MemoryUsage, memory["total_inactive_file"])
	s.Pids = readNumber(filepath.Join(paths["pids"], "pids.current"))
	s.OOMKills = readFlat(filepath.Join(paths["memory"], "memory.oom_control"))["oom_kill"]
	return s, nil
}

// subtract is a - b, and 0 when b is larger: the counters are read one after
// the other.
func subtract(a, b uint64) uint64 { return a - min(a, b) }

// readFlat reads a file of lines "name number".
func readFlat(path string) map[string]uint64 {
	out := map[string]uint64{}
	b, err := os.ReadFile(path)
	if err != nil {
		return out
	}
	for line := range strings.Lines(string(b)) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
			if n, err := strconv.ParseUint(value, 10, 64); err == nil {
				out[name] = n
			}
		}
	}
	return out
}

func readNumber(path string) uint64 {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	n, _ := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64)
	return n
}

// Stats returns a running container's use of resources.
func (r *Runtime) Stats(_ context.Context, podUID, id string) (cri.Stats, error) {
	s, rec, err := r.container(podUID, id)
	if err != nil {
		return cri.Stats{}, err
	}
	return readStats(s.cgroup(rec.ID))
}

// PodStats returns the use of resources of all of a pod's containers.
func (r *Runtime) PodStats(_ context.Context, podUID string) (cri.Stats, error) {
	s := r.find(podUID)
	if s == nil {
		return cri.Stats{}, fmt.Errorf("sandbox of pod %s: %w", podUID, ErrNotFound)
	}
	stats, err := readStats(s.cgroup())
	if cgroups.IsCgroup2UnifiedMode() || err != nil {
		return stats, err
	}
	// With version 1 the kill counter is of the cgroup alone.
	for _, c := range s.describe().Containers {
		if cs, err := readStats(s.cgroup(c.ID)); err == nil {
			stats.OOMKills += cs.OOMKills
		}
	}
	return stats, nil
}

// cgroup returns the pod's cgroup or one below it, from the hierarchies' root.
func (s *sandbox) cgroup(below ...string) string {
	return filepath.Join(slices.Concat([]string{s.runtime.config.CgroupParent, "pod" + s.config.PodUID}, below)...)
}
