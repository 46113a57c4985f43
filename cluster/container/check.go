package container

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/opencontainers/cgroups"
)

// neededCapabilities are what making namespaces, mounts, cgroups and devices,
// and becoming other users takes.
var neededCapabilities = []string{"CAP_SYS_ADMIN", "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_KILL",
	"CAP_MKNOD", "CAP_NET_ADMIN", "CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID", "CAP_SYS_CHROOT"}

// neededControllers are the cgroup controllers that limits and isolation rest
// on. Version 2 has no controller for devices: it uses programs (BPF).
var neededControllers = map[bool][]string{
	false: {"devices", "memory", "cpu", "pids"},
	true:  {"memory", "cpu", "pids"},
}

// check tells, all at once, what this process or machine lacks for isolated
// containers.
func check(l limits) error {
	var missing []string
	if os.Geteuid() != 0 {
		missing = append(missing, "root (run it with sudo)")
	}
	for _, c := range neededCapabilities {
		if !slices.Contains(l.capabilities, c) {
			missing = append(missing, "the capability "+c)
		}
	}
	if b, err := os.ReadFile("/proc/filesystems"); err == nil && !strings.Contains(string(b), "\toverlay\n") {
		missing = append(missing, "the overlay file system (modprobe overlay)")
	}
	controllers, err := mountedControllers()
	if err != nil {
		missing = append(missing, fmt.Sprintf("cgroups (%v)", err))
	}
	for _, c := range neededControllers[cgroups.IsCgroup2UnifiedMode()] {
		if err == nil && !slices.Contains(controllers, c) {
			missing = append(missing, "the cgroup controller "+c)
		}
	}
	if len(missing) > 0 {
		return errors.New("containers cannot be isolated here; missing: " + strings.Join(missing, ", "))
	}
	return nil
}

// mountedControllers lists the cgroup controllers that can be used.
func mountedControllers() ([]string, error) {
	if cgroups.IsCgroup2UnifiedMode() {
		b, err := os.ReadFile(filepath.Join(unifiedRoot, "cgroup.controllers"))
		return strings.Fields(string(b)), err
	}
	mounts, err := cgroups.GetCgroupMounts(true)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, m := range mounts {
		out = append(out, m.Subsystems...)
	}
	return out, nil
}
