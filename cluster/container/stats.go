package container

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/opencontainers/cgroups"

	"github.com/seed38700745/pkg/cluster/cri"
)

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

// readStats reads a cgroup's counters. A controller that is not mounted leaves
// zeros.
func readStats(path string) (cri.Stats, error) {
	paths, err := cgroupPaths(path)
	if err != nil {
		return cri.Stats{}, err
	}
	s := cri.Stats{Time: time.Now(), Cgroup: "/" + path}
	anchor, read := paths["devices"], readV1
	if cgroups.IsCgroup2UnifiedMode() {
		anchor, read = paths[""], readV2
	}
	if _, err := os.Stat(anchor); err != nil {
		return s, fmt.Errorf("cgroup: %w", ErrNotFound)
	}
	read(paths, &s)
	return s, nil
}

// readV2 reads the one folder of version 2 (the kernel's cgroup-v2.rst).
func readV2(paths map[string]string, s *cri.Stats) {
	in := folder(paths[""])
	cpu, memory, events := in.flat("cpu.stat"), in.flat("memory.stat"), in.flat("memory.events")
	s.CPUNanoseconds = cpu["usage_usec"] * 1000
	s.CPUUserNanoseconds, s.CPUSystemNanoseconds = cpu["user_usec"]*1000, cpu["system_usec"]*1000
	s.Throttling = cri.Throttling{Periods: cpu["nr_periods"], ThrottledPeriods: cpu["nr_throttled"], ThrottledNanoseconds: cpu["throttled_usec"] * 1000}
	s.MemoryUsage, s.MemoryPeak = in.number("memory.current"), in.number("memory.peak")
	s.MemoryRSS, s.MemoryCache, s.MemoryMapped, s.MemoryKernel = memory["anon"], memory["file"], memory["file_mapped"], memory["kernel"]
	s.MemorySwap = in.number("memory.swap.current")
	s.MemoryWorkingSet = subtract(s.MemoryUsage, memory["inactive_file"])
	s.PageFaults, s.MajorPageFaults = memory["pgfault"], memory["pgmajfault"]
	s.MemoryLimitHits, s.OOMKills = events["max"], events["oom_kill"]
	s.Pids, s.Processes = in.number("pids.current"), in.processes()
	s.Disks = in.disksV2()
	s.Limits.Memory, s.Limits.Pids = int64(in.number("memory.max")), int64(in.number("pids.max")) // "max" is no number: 0
	if quota, period, ok := strings.Cut(in.text("cpu.max"), " "); ok {
		s.Limits.CPUQuota, _ = strconv.ParseInt(quota, 10, 64) // "max": 0
		s.Limits.CPUPeriod, _ = strconv.ParseUint(period, 10, 64)
	}
	if weight := in.number("cpu.weight"); weight > 0 {
		s.Limits.CPUShares = 2 + (weight-1)*262142/9999 // the inverse of runc's conversion
	}
}

// readV1 reads the folders of version 1, one for each controller.
func readV1(paths map[string]string, s *cri.Stats) {
	acct, cpu, mem, pids, io := folder(paths["cpuacct"]), folder(paths["cpu"]), folder(paths["memory"]), folder(paths["pids"]), folder(paths["blkio"])
	const tick = 10_000_000 // nanoseconds: USER_HZ is 100
	s.CPUNanoseconds = acct.number("cpuacct.usage")
	use := acct.flat("cpuacct.stat")
	s.CPUUserNanoseconds, s.CPUSystemNanoseconds = use["user"]*tick, use["system"]*tick
	periods := cpu.flat("cpu.stat")
	s.Throttling = cri.Throttling{Periods: periods["nr_periods"], ThrottledPeriods: periods["nr_throttled"], ThrottledNanoseconds: periods["throttled_time"]}
	memory := mem.flat("memory.stat")
	s.MemoryUsage, s.MemoryPeak = mem.number("memory.usage_in_bytes"), mem.number("memory.max_usage_in_bytes")
	s.MemoryRSS, s.MemoryCache, s.MemoryMapped, s.MemorySwap = memory["total_rss"], memory["total_cache"], memory["total_mapped_file"], memory["total_swap"]
	s.MemoryKernel = mem.number("memory.kmem.usage_in_bytes")
	s.MemoryWorkingSet = subtract(s.MemoryUsage, memory["total_inactive_file"])
	s.PageFaults, s.MajorPageFaults = memory["total_pgfault"], memory["total_pgmajfault"]
	s.MemoryLimitHits = mem.number("memory.failcnt")
	s.OOMKills = mem.flat("memory.oom_control")["oom_kill"]
	s.Pids, s.Processes = pids.number("pids.current"), pids.processes()
	s.Disks = io.disksV1()
	s.Limits.CPUShares, s.Limits.CPUPeriod = cpu.number("cpu.shares"), cpu.number("cpu.cfs_period_us")
	s.Limits.CPUQuota = int64(cpu.number("cpu.cfs_quota_us")) // -1 is no number: 0
	s.Limits.Pids = int64(pids.number("pids.max"))
	if limit := mem.number("memory.limit_in_bytes"); limit < noLimit {
		s.Limits.Memory = int64(limit)
	}
}

// noLimit is where version 1's "no limit" begins: the largest number of bytes in
// pages, whatever the size of pages.
const noLimit = 1 << 62

// subtract is a - b, and 0 when b is larger: the counters are read one after
// the other.
func subtract(a, b uint64) uint64 { return a - min(a, b) }

// folder is a cgroup's folder; "" where its controller is not mounted. What
// cannot be read is empty or 0.
type folder string

func (f folder) text(file string) string {
	if f == "" {
		return ""
	}
	b, err := os.ReadFile(filepath.Join(string(f), file))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

func (f folder) number(file string) uint64 {
	n, err := strconv.ParseUint(f.text(file), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// flat reads a file of lines "name number".
func (f folder) flat(file string) map[string]uint64 {
	out := map[string]uint64{}
	for line := range strings.Lines(f.text(file)) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
			if n, err := strconv.ParseUint(value, 10, 64); err == nil {
				out[name] = n
			}
		}
	}
	return out
}

// processes counts those of the folder itself; a pod's are in its containers'.
func (f folder) processes() uint64 { return uint64(len(strings.Fields(f.text("cgroup.procs")))) }

// disksV2 reads io.stat: "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0".
func (f folder) disksV2() []cri.DiskIO {
	var all []cri.DiskIO
	for line := range strings.Lines(f.text("io.stat")) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		d := cri.DiskIO{Device: deviceName(fields[0])}
		for _, field := range fields[1:] {
			name, value, _ := strings.Cut(field, "=")
			n, err := strconv.ParseUint(value, 10, 64)
			if err != nil {
				continue
			}
			switch name {
			case "rbytes":
				d.ReadBytes = n
			case "wbytes":
				d.WriteBytes = n
			case "rios":
				d.Reads = n
			case "wios":
				d.Writes = n
			}
		}
		all = append(all, d)
	}
	return all
}

// disksV1 reads the throttling counters, which all I/O schedulers keep, of lines
// "8:0 Read 4096".
func (f folder) disksV1() []cri.DiskIO {
	var all []cri.DiskIO
	index := map[string]int{}
	each := func(kind string, note func(d *cri.DiskIO, operation string, n uint64)) {
		text := f.text("blkio.throttle." + kind + "_recursive")
		if text == "" {
			text = f.text("blkio.throttle." + kind)
		}
		for line := range strings.Lines(text) {
			fields := strings.Fields(line)
			if len(fields) != 3 {
				continue // the total
			}
			n, err := strconv.ParseUint(fields[2], 10, 64)
			if err != nil {
				continue
			}
			i, ok := index[fields[0]]
			if !ok {
				i = len(all)
				index[fields[0]] = i
				all = append(all, cri.DiskIO{Device: deviceName(fields[0])})
			}
			note(&all[i], fields[1], n)
		}
	}
	each("io_service_bytes", func(d *cri.DiskIO, operation string, n uint64) {
		switch operation {
		case "Read":
			d.ReadBytes = n
		case "Write":
			d.WriteBytes = n
		}
	})
	each("io_serviced", func(d *cri.DiskIO, operation string, n uint64) {
		switch operation {
		case "Read":
			d.Reads = n
		case "Write":
			d.Writes = n
		}
	})
	return all
}

// deviceName is the device's file for "8:0", or those numbers where it is not known.
func deviceName(numbers string) string {
	for line := range strings.Lines(folder("/sys/dev/block/" + numbers).text("uevent")) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "DEVNAME="); ok {
			return "/dev/" + name
		}
	}
	return numbers
}
