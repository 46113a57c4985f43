package container

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/profiles/seccomp"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/seed38700745/pkg/cluster/cri"
)

// defaultCapabilities are what a container has unless it asks for other, as
// with containerd and Docker.
var defaultCapabilities = []string{
	"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID",
	"CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE",
}

// capabilityNames are Linux' capabilities by number (linux/capability.h).
var capabilityNames = []string{
	"CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP",
	"LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER",
	"SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE",
	"SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP",
	"MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF",
	"CHECKPOINT_RESTORE",
}

// limits are the rights of this process, which no container can exceed.
type limits struct {
	capabilities []string // "CAP_CHOWN"
	oomScoreAdj  int      // a container's is not lower, without CAP_SYS_RESOURCE
}

func readLimits() (limits, error) {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return limits{}, err
	}
	var l limits
	for line := range strings.Lines(string(b)) {
		value, ok := strings.CutPrefix(line, "CapBnd:")
		if !ok {
			continue
		}
		mask, err := strconv.ParseUint(strings.TrimSpace(value), 16, 64)
		if err != nil {
			return limits{}, fmt.Errorf("own capabilities: %w", err)
		}
		for i, name := range capabilityNames {
			if mask&(1<<i) != 0 {
				l.capabilities = append(l.capabilities, "CAP_"+name)
			}
		}
	}
	if b, err = os.ReadFile("/proc/self/oom_score_adj"); err != nil {
		return limits{}, err
	}
	l.oomScoreAdj, err = strconv.Atoi(strings.TrimSpace(string(b)))
	return l, err
}

// oomScore returns the nearest value that may be set.
func (l limits) oomScore(want int) int {
	if slices.Contains(l.capabilities, "CAP_SYS_RESOURCE") {
		return want
	}
	return max(want, l.oomScoreAdj)
}

// capabilitySet is the default with drops, then adds; "ALL" stands for all. It
// is cut to what this process may give: an unknown name is an error.
func (l limits) capabilitySet(c cri.ContainerConfig) (*specs.LinuxCapabilities, error) {
	set := map[string]bool{}
	for _, name := range defaultCapabilities {
		set[name] = true
	}
	change := func(names []string, to bool) error {
		for _, name := range names {
			name = strings.TrimPrefix(strings.ToUpper(name), "CAP_")
			if name == "ALL" {
				for _, n := range capabilityNames {
					set["CAP_"+n] = to
				}
			} else if slices.Contains(capabilityNames, name) {
				set["CAP_"+name] = to
			} else {
				return fmt.Errorf("unknown capability %q", name)
			}
		}
		return nil
	}
	// "ALL" first, so that one may drop all and add some, or add all but some.
	all := func(names []string) (yes, others []string) {
		for _, n := range names {
			if strings.EqualFold(n, "ALL") {
				yes = append(yes, n)
			} else {
				others = append(others, n)
			}
		}
		return yes, others
	}
	addAll, add := all(c.AddCapabilities)
	dropAll, drop := all(c.DropCapabilities)
	if c.Privileged {
		addAll, add, dropAll, drop = []string{"ALL"}, nil, nil, nil
	}
	err := errors.Join(change(addAll, true), change(dropAll, false), change(drop, false), change(add, true))
	if err != nil {
		return nil, err
	}
	names := []string{}
	for _, name := range l.capabilities {
		if set[name] {
			names = append(names, name)
		}
	}
	return &specs.LinuxCapabilities{Bounding: names, Effective: names, Permitted: names}, nil
}

// seccompFor sets the spec's system call filter, for the native architecture
// only: each further one doubles the time that its compilation takes.
func seccompFor(spec *specs.Spec, c cri.ContainerConfig) error {
	if c.Privileged || c.Seccomp == "Unconfined" {
		return nil
	}
	var filter *specs.LinuxSeccomp
	var err error
	switch {
	case c.Seccomp == "" || c.Seccomp == "RuntimeDefault":
		filter, err = seccomp.GetDefaultProfile(spec)
	case strings.HasPrefix(c.Seccomp, "/"):
		var body []byte
		if body, err = os.ReadFile(c.Seccomp); err == nil {
			filter, err = seccomp.LoadProfile(string(body), spec)
		}
	default:
		err = errors.New("it is neither RuntimeDefault, Unconfined nor a path")
	}
	if err != nil {
		return fmt.Errorf("seccomp profile %q: %w", c.Seccomp, err)
	}
	if len(filter.Architectures) > 1 {
		filter.Architectures = filter.Architectures[:1]
	}
	spec.Linux.Seccomp = filter
	return nil
}

// setDevices adds the container's devices and the rules that allow them.
func setDevices(spec *specs.Spec, c cri.ContainerConfig) error {
	if c.Privileged {
		spec.Linux.Resources.Devices = []specs.LinuxDeviceCgroup{{Allow: true, Access: "rwm"}}
		return addHostDevices(spec)
	}
	spec.Linux.Resources.Devices = []specs.LinuxDeviceCgroup{{Allow: false, Access: "rwm"}}
	for _, d := range c.Devices {
		device, err := statDevice(d.HostPath)
		if err != nil {
			return fmt.Errorf("device %s: %w", d.HostPath, err)
		}
		device.Path = d.ContainerPath
		if device.Path == "" {
			device.Path = d.HostPath
		}
		access := d.Permissions
		if access == "" {
			access = "rwm"
		}
		spec.Linux.Devices = append(spec.Linux.Devices, device)
		spec.Linux.Resources.Devices = append(spec.Linux.Resources.Devices, specs.LinuxDeviceCgroup{
			Allow: true, Type: device.Type, Major: &device.Major, Minor: &device.Minor, Access: access})
	}
	return nil
}

func statDevice(path string) (specs.LinuxDevice, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return specs.LinuxDevice{}, err
	}
	d := specs.LinuxDevice{Path: path, Major: int64(unix.Major(uint64(st.Rdev))), Minor: int64(unix.Minor(uint64(st.Rdev))),
		UID: &st.Uid, GID: &st.Gid}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFCHR:
		d.Type = "c"
	case unix.S_IFBLK:
		d.Type = "b"
	default:
		return d, errors.New("it is no device")
	}
	mode := os.FileMode(st.Mode & 0o777)
	d.FileMode = &mode
	return d, nil
}

// addHostDevices gives a privileged container what is directly in the host's
// /dev, except what every container has of its own.
func addHostDevices(spec *specs.Spec) error {
	own := []string{"console", "ptmx", "null", "zero", "full", "random", "urandom", "tty"}
	entries, err := os.ReadDir("/dev")
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Type()&os.ModeDevice == 0 || slices.Contains(own, e.Name()) {
			continue
		}
		if d, err := statDevice("/dev/" + e.Name()); err == nil { // one may go meanwhile
			spec.Linux.Devices = append(spec.Linux.Devices, d)
		}
	}
	return nil
}
