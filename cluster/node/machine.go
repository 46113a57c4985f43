package node

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// machine reads what this machine has, from /proc, the cgroup that the agent
// runs in, and the file system that holds root.
func machine(root string) (corev1.ResourceList, corev1.NodeSystemInfo, error) {
	memory, err := totalMemory()
	if err != nil {
		return nil, corev1.NodeSystemInfo{}, err
	}
	disk, err := diskUse(root)
	if err != nil {
		return nil, corev1.NodeSystemInfo{}, err
	}
	info, err := systemInfo()
	if err != nil {
		return nil, info, err
	}
	return corev1.ResourceList{
		corev1.ResourceCPU:              *resource.NewQuantity(int64(runtime.NumCPU()), resource.DecimalSI),
		corev1.ResourceMemory:           *resource.NewQuantity(memory, resource.BinarySI),
		corev1.ResourceEphemeralStorage: *resource.NewQuantity(disk.total, resource.BinarySI),
	}, info, nil
}

// totalMemory is the machine's memory, or less where a cgroup limits us, as in
// a container.
func totalMemory() (int64, error) {
	total, err := meminfo("MemTotal")
	if err != nil {
		return 0, err
	}
	for _, path := range []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		if limit, err := readInt(path); err == nil && limit > 0 && limit < total {
			total = limit
		}
	}
	return total, nil
}

// meminfo returns a value of /proc/meminfo in bytes.
func meminfo(key string) (int64, error) {
	b, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, err
	}
	for s := bufio.NewScanner(bytes.NewReader(b)); s.Scan(); {
		if f := strings.Fields(s.Text()); len(f) >= 2 && f[0] == key+":" {
			kib, err := strconv.ParseInt(f[1], 10, 64)
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("/proc/meminfo: no %s", key)
}

func readInt(path string) (int64, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
}

// disk is a file system's use in bytes and inodes.
type disk struct {
	total, free           int64
	inodes, inodesFree    int64
	usedShare, inodeShare float64 // 0..1
}

// diskUse reads the file system that holds path or its nearest parent.
func diskUse(path string) (disk, error) {
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
		return disk{}, fmt.Errorf("file system of %s: %w", path, err)
	}
	d := disk{total: int64(st.Blocks) * st.Bsize, free: int64(st.Bavail) * st.Bsize, inodes: int64(st.Files), inodesFree: int64(st.Ffree)}
	if used := int64(st.Blocks-st.Bfree) * st.Bsize; used+d.free > 0 {
		d.usedShare = float64(used) / float64(used+d.free)
	}
	if d.inodes > 0 {
		d.inodeShare = 1 - float64(d.inodesFree)/float64(d.inodes)
	}
	return d, nil
}

// systemInfo says what runs on the machine.
func systemInfo() (corev1.NodeSystemInfo, error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return corev1.NodeSystemInfo{}, fmt.Errorf("uname: %w", err)
	}
	return corev1.NodeSystemInfo{
		MachineID:       line("/etc/machine-id"),
		SystemUUID:      line("/sys/class/dmi/id/product_uuid"),
		BootID:          line("/proc/sys/kernel/random/boot_id"),
		KernelVersion:   unix.ByteSliceToString(u.Release[:]),
		OSImage:         osImage(),
		OperatingSystem: runtime.GOOS,
		Architecture:    runtime.GOARCH,
	}, nil
}

// line returns a file's text, or nothing: these files may be missing.
func line(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// osImage is the distribution's name by os-release(5).
func osImage() string {
	for l := range strings.Lines(line("/etc/os-release")) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(l), "PRETTY_NAME="); ok {
			return strings.Trim(value, `"'`)
		}
	}
	return "Linux"
}
