// Package host finds out whether this machine and this process can run
// containers with real isolation, and says what is missing.
package host

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
)

// Requirement is one thing that a cluster needs of its host.
type Requirement struct {
	Name   string // "root", "overlay filesystem"
	Err    error  // nil: met
	Remedy string // what to do about it
}

// The capabilities that the daemon needs, by their bit (linux/capability.h).
var needed = map[string]uint{
	"CAP_CHOWN": 0, "CAP_DAC_OVERRIDE": 1, "CAP_KILL": 5, "CAP_SETGID": 6, "CAP_SETUID": 7,
	"CAP_NET_ADMIN": 12, "CAP_SYS_CHROOT": 18, "CAP_SYS_PTRACE": 19, "CAP_SYS_ADMIN": 21, "CAP_MKNOD": 27,
}

// Check looks at every requirement.
func Check() []Requirement {
	return []Requirement{
		{"root", checkRoot(), "run as root (sudo)"},
		{"capabilities", checkCapabilities(), "start outside of the container or service that takes them away"},
		{"overlay filesystem", checkOverlay(), "load the kernel module: modprobe overlay"},
		{"cgroups", checkCgroups(), "mount the cgroup hierarchies (systemd does), with cpu, memory, pids and devices"},
		{"network namespaces", checkFile("/proc/self/ns/net"), "use a kernel with CONFIG_NET_NS"},
	}
}

// Missing returns an error that names every requirement that is not met.
func Missing() error {
	var all []error
	for _, r := range Check() {
		if r.Err != nil {
			all = append(all, fmt.Errorf("%s: %w (%s)", r.Name, r.Err, r.Remedy))
		}
	}
	if len(all) == 0 {
		return nil
	}
	return fmt.Errorf("containers cannot be isolated on this machine:\n%w", errors.Join(all...))
}

func checkRoot() error {
	if uid := os.Geteuid(); uid != 0 {
		return fmt.Errorf("running as user %d", uid)
	}
	return nil
}

func checkCapabilities() error {
	effective, err := statusField("CapEff")
	if err != nil {
		return err
	}
	mask, err := strconv.ParseUint(effective, 16, 64)
	if err != nil {
		return fmt.Errorf("CapEff %q: %w", effective, err)
	}
	var missing []string
	for name, bit := range needed {
		if mask&(1<<bit) == 0 {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		slices.Sort(missing)
		return fmt.Errorf("missing %s", strings.Join(missing, ", "))
	}
	return nil
}

// statusField reads one line of /proc/self/status.
func statusField(name string) (string, error) {
	f, err := os.Open("/proc/self/status")
	if err != nil {
		return "", err
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if value, ok := strings.CutPrefix(s.Text(), name+":"); ok {
			return strings.TrimSpace(value), nil
		}
	}
	return "", fmt.Errorf("/proc/self/status has no %s", name)
}

func checkOverlay() error {
	data, err := os.ReadFile("/proc/filesystems")
	if err != nil {
		return err
	}
	if !strings.Contains(string(data), "\toverlay\n") {
		return errors.New("the kernel does not offer it")
	}
	return nil
}

// checkCgroups wants the controllers in a v2 hierarchy or in v1 hierarchies.
func checkCgroups() error {
	if data, err := os.ReadFile("/sys/fs/cgroup/cgroup.controllers"); err == nil {
		have := strings.Fields(string(data))
		for _, c := range []string{"cpu", "memory", "pids"} {
			if !slices.Contains(have, c) {
				return fmt.Errorf("cgroup v2 has no %s controller", c)
			}
		}
		return nil
	}
	for _, c := range []string{"cpu", "memory", "pids", "devices", "freezer"} {
		if _, err := os.Stat("/sys/fs/cgroup/" + c); err != nil {
			return fmt.Errorf("no %s controller: %w", c, err)
		}
	}
	return nil
}

func checkFile(path string) error {
	_, err := os.Stat(path)
	return err
}
