package eviction

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Read measures the machine: its memory, the file systems that hold the
// folders pods and images, and its process ids.
func Read(pods, images string) (map[Signal]Amount, error) {
	all := map[Signal]Amount{}
	var err error
	if all[MemoryAvailable], err = memory(); err != nil {
		return nil, err
	}
	if all[NodeFSAvailable], all[NodeFSInodesFree], err = fileSystem(pods); err != nil {
		return nil, err
	}
	if all[ImageFSAvailable], all[ImageFSInodesFree], err = fileSystem(images); err != nil {
		return nil, err
	}
	if all[PIDAvailable], err = processIDs(); err != nil {
		return nil, err
	}
	for _, s := range []Signal{NodeFSInodesFree, ImageFSInodesFree} {
		if all[s].Capacity == 0 { // btrfs and others have as many as they like
			delete(all, s)
		}
	}
	return all, nil
}

// memory is what could be used without swapping: of the machine, or of the
// cgroup that holds us all where that has less, as in a container.
func memory() (Amount, error) {
	total, err := Meminfo("MemTotal")
	if err != nil {
		return Amount{}, err
	}
	available, err := Meminfo("MemAvailable")
	if err != nil {
		return Amount{}, err
	}
	a := Amount{available, total}
	for _, g := range []struct{ limit, usage, stat, inactive string }{
		{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current", "/sys/fs/cgroup/memory.stat", "inactive_file"},
		{"/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes", "/sys/fs/cgroup/memory/memory.stat", "total_inactive_file"},
	} {
		limit, err := number(g.limit)
		if err != nil || limit <= 0 || limit >= total { // "max", or not there
			continue
		}
		usage, err := number(g.usage)
		if err != nil {
			continue
		}
		cache, _ := field(g.stat, g.inactive) // without it a little less is available
		a = Amount{min(available, limit-max(usage-cache, 0)), limit}
	}
	return a, nil
}

// Meminfo returns a value of /proc/meminfo in bytes.
func Meminfo(key string) (int64, error) {
	kib, err := field("/proc/meminfo", key+":")
	return kib << 10, err
}

// field returns the number after a name at the start of a line.
func field(path, name string) (int64, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	for s := bufio.NewScanner(bytes.NewReader(b)); s.Scan(); {
		if f := strings.Fields(s.Text()); len(f) >= 2 && f[0] == name {
			return strconv.ParseInt(f[1], 10, 64)
		}
	}
	return 0, fmt.Errorf("%s: no %s", path, name)
}

func number(path string) (int64, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
}

// fileSystem returns the bytes and inodes of the file system that holds path,
// or its nearest parent that exists.
func fileSystem(path string) (bytes, inodes Amount, err error) {
	var st unix.Statfs_t
	for {
		err := unix.Statfs(path, &st)
		if err == nil {
			break
		}
		if parent := filepath.Dir(path); errors.Is(err, fs.ErrNotExist) && parent != path {
			path = parent
			continue
		}
		return bytes, inodes, fmt.Errorf("file system of %s: %w", path, err)
	}
	return Amount{int64(st.Bavail) * st.Bsize, int64(st.Blocks) * st.Bsize}, Amount{int64(st.Ffree), int64(st.Files)}, nil
}

// processIDs reads how many processes and threads there may be, and are.
func processIDs() (Amount, error) {
	most, err := number("/proc/sys/kernel/pid_max")
	if err != nil {
		return Amount{}, err
	}
	if threads, err := number("/proc/sys/kernel/threads-max"); err == nil {
		most = min(most, threads)
	}
	b, err := os.ReadFile("/proc/loadavg") // "0.1 0.2 0.3 running/total last"
	if err != nil {
		return Amount{}, err
	}
	var load [3]float64
	var running, total int64
	if _, err := fmt.Sscanf(string(b), "%f %f %f %d/%d", &load[0], &load[1], &load[2], &running, &total); err != nil {
		return Amount{}, fmt.Errorf("/proc/loadavg: %w", err)
	}
	return Amount{most - total, most}, nil
}

// Disk is what a folder takes.
type Disk struct{ Bytes, Inodes int64 }

// Add sums up.
func (d *Disk) Add(o Disk) { d.Bytes, d.Inodes = d.Bytes+o.Bytes, d.Inodes+o.Inodes }

// DiskUse measures a folder, without what is mounted in it; hard links count
// once. What vanishes meanwhile, or was never there, takes nothing.
func DiskUse(path string) (Disk, error) {
	var sum Disk
	var device uint64
	linked := map[uint64]bool{}
	err := filepath.WalkDir(path, func(p string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		st, ok := info.Sys().(*syscall.Stat_t)
		if !ok {
			return nil
		}
		switch {
		case p == path:
			device = st.Dev
		case st.Dev != device && e.IsDir():
			return fs.SkipDir
		case st.Nlink > 1 && !e.IsDir():
			if linked[st.Ino] {
				return nil
			}
			linked[st.Ino] = true
		}
		const block = 512 // stat(2)
		sum.Add(Disk{st.Blocks * block, 1})
		return nil
	})
	if err != nil {
		return sum, fmt.Errorf("measure %s: %w", path, err)
	}
	return sum, nil
}
