package container

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/cgroups"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/seed38700745/pkg/cluster/cri"
)

// defaultPath is a container's PATH when neither image nor pod says one.
const defaultPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// maskedPaths and readonlyPaths of /proc and /sys tell or change what is the
// host's; the same lists as containerd's.
var (
	maskedPaths = []string{"/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys",
		"/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi",
		"/sys/firmware", "/sys/devices/virtual/powercap"}
	readonlyPaths = []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}
)

// spec makes the OCI spec of a container whose root is mounted.
func (s *sandbox) spec(rec *record, w *watch) (*specs.Spec, error) {
	c := rec.Config
	rootfs := filepath.Join(rec.dir, rootfsDir)
	process, err := s.process(c, rootfs)
	if err != nil {
		return nil, err
	}
	namespaces, err := s.namespaces(w, c.PIDOf)
	if err != nil {
		return nil, err
	}
	spec := &specs.Spec{
		Version: specs.Version,
		Root:    &specs.Root{Path: rootfs, Readonly: c.ReadonlyRootfs},
		Process: process,
		Linux: &specs.Linux{
			Namespaces:        namespaces,
			CgroupsPath:       "/" + s.cgroup(rec.ID),
			Resources:         resources(c.Resources),
			RootfsPropagation: "rslave",
			Sysctl:            s.sysctls(),
		},
	}
	if c.MaskedPaths && !c.Privileged {
		spec.Linux.MaskedPaths, spec.Linux.ReadonlyPaths = maskedPaths, readonlyPaths
	}
	s.setMounts(spec, c)
	if err := setDevices(spec, c); err != nil {
		return nil, err
	}
	if err := seccompFor(spec, c); err != nil {
		return nil, err
	}
	return spec, nil
}

func (s *sandbox) process(c cri.ContainerConfig, rootfs string) (*specs.Process, error) {
	user, err := lookUser(rootfs, c.User)
	if err != nil {
		return nil, err
	}
	capabilities, err := s.runtime.limits.capabilitySet(c)
	if err != nil {
		return nil, err
	}
	oom := s.runtime.limits.oomScore(c.Resources.OOMScoreAdj)
	p := &specs.Process{Terminal: c.TTY, User: user, Args: c.Args, Env: s.environment(c), Cwd: c.Dir,
		Capabilities: capabilities, NoNewPrivileges: c.NoNewPrivileges, OOMScoreAdj: &oom}
	if p.Cwd == "" {
		p.Cwd = c.Image.Config.WorkingDir
	}
	if !filepath.IsAbs(p.Cwd) {
		p.Cwd = "/" + p.Cwd
	}
	return p, nil
}

// environment completes the container's; of equal names the last one counts.
func (s *sandbox) environment(c cri.ContainerConfig) []string {
	env := []string{defaultPath}
	hostname := s.config.Hostname
	if hostname == "" {
		hostname, _ = os.Hostname() // the pod has the host's
	}
	env = append(env, "HOSTNAME="+hostname)
	if c.TTY {
		env = append(env, "TERM=xterm")
	}
	at := map[string]int{}
	for i, kv := range env {
		name, _, _ := strings.Cut(kv, "=")
		at[name] = i
	}
	for _, kv := range c.Env {
		name, _, _ := strings.Cut(kv, "=")
		if i, ok := at[name]; ok {
			env[i] = kv
			continue
		}
		at[name] = len(env)
		env = append(env, kv)
	}
	return env
}

// namespaces: the network is the agent's, UTS and IPC are the shim's, the PID
// namespace may be the pause process's or that of the container pidOf; a missing
// entry means the host's.
func (s *sandbox) namespaces(w *watch, pidOf string) ([]specs.LinuxNamespace, error) {
	of := func(pid int, name string) string { return "/proc/" + strconv.Itoa(pid) + "/ns/" + name }
	ns := []specs.LinuxNamespace{{Type: specs.MountNamespace}}
	if s.config.NetNS != "" {
		ns = append(ns, specs.LinuxNamespace{Type: specs.NetworkNamespace, Path: s.config.NetNS})
	}
	if s.config.Hostname != "" {
		ns = append(ns, specs.LinuxNamespace{Type: specs.UTSNamespace, Path: of(w.shimPID, "uts")})
	}
	if !s.config.HostIPC {
		ns = append(ns, specs.LinuxNamespace{Type: specs.IPCNamespace, Path: of(w.shimPID, "ipc")})
	}
	switch {
	case s.config.HostPID:
	case pidOf != "":
		target := s.record(pidOf)
		if target == nil || target.pid() == 0 {
			return nil, fmt.Errorf("container %s, whose processes are to be seen, does not run", pidOf)
		}
		ns = append(ns, specs.LinuxNamespace{Type: specs.PIDNamespace, Path: of(target.pid(), "pid")})
	case w.pausePID != 0:
		ns = append(ns, specs.LinuxNamespace{Type: specs.PIDNamespace, Path: of(w.pausePID, "pid")})
	default:
		ns = append(ns, specs.LinuxNamespace{Type: specs.PIDNamespace})
	}
	if cgroups.IsCgroup2UnifiedMode() {
		ns = append(ns, specs.LinuxNamespace{Type: specs.CgroupNamespace})
	}
	return ns, nil
}

// sysctls adds to the pod's what containerd sets in a network of its own: any
// user may ping and use low ports.
func (s *sandbox) sysctls() map[string]string {
	out := map[string]string{}
	if s.config.NetNS != "" {
		out["net.ipv4.ip_unprivileged_port_start"] = "0"
		out["net.ipv4.ping_group_range"] = "0 2147483647"
	}
	for k, v := range s.config.Sysctls {
		out[k] = v
	}
	return out
}

func resources(r cri.Resources) *specs.LinuxResources {
	out := &specs.LinuxResources{CPU: &specs.LinuxCPU{}}
	if r.CPUShares > 0 {
		out.CPU.Shares = &r.CPUShares
	}
	if r.CPUQuota != 0 {
		out.CPU.Quota = &r.CPUQuota
	}
	if r.CPUPeriod > 0 {
		out.CPU.Period = &r.CPUPeriod
	}
	if r.Memory > 0 {
		out.Memory = &specs.LinuxMemory{Limit: &r.Memory}
		if canLimitSwap() {
			out.Memory.Swap = &r.Memory // of both together: none
		}
	}
	if r.Pids > 0 {
		out.Pids = &specs.LinuxPids{Limit: &r.Pids}
	}
	return out
}

// setMounts adds the mounts that every container has, then the agent's, parents
// before children.
func (s *sandbox) setMounts(spec *specs.Spec, c cri.ContainerConfig) {
	system := "ro"
	if c.Privileged {
		system = "rw"
	}
	mounts := []specs.Mount{
		{Destination: "/proc", Type: "proc", Source: "proc", Options: []string{"nosuid", "noexec", "nodev"}},
		{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "strictatime", "mode=755", "size=65536k"}},
		{Destination: "/dev/pts", Type: "devpts", Source: "devpts",
			Options: []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}},
		{Destination: "/dev/mqueue", Type: "mqueue", Source: "mqueue", Options: []string{"nosuid", "noexec", "nodev"}},
		{Destination: "/dev/shm", Type: "bind", Source: s.shm(), Options: []string{"rbind", "rprivate"}},
		{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: []string{"nosuid", "noexec", "nodev", system}},
		{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: []string{"nosuid", "noexec", "nodev", "relatime", system}},
	}
	if s.config.Hostname != "" {
		mounts = append(mounts, specs.Mount{Destination: "/etc/hostname", Type: "bind",
			Source: filepath.Join(s.dir, hostnameFile), Options: []string{"rbind", "rprivate", "ro"}})
	}
	agents := slices.Clone(c.Mounts)
	slices.SortStableFunc(agents, func(a, b cri.Mount) int {
		return strings.Count(filepath.Clean(a.ContainerPath), "/") - strings.Count(filepath.Clean(b.ContainerPath), "/")
	})
	for _, m := range agents {
		target := filepath.Clean(m.ContainerPath)
		mounts = slices.DeleteFunc(mounts, func(own specs.Mount) bool { return own.Destination == target })
		mounts = append(mounts, mount(m, target))
		if m.Propagation == "Bidirectional" {
			spec.Linux.RootfsPropagation = "rshared"
		}
	}
	spec.Mounts = mounts
}

// mount turns the agent's mount into the spec's.
func mount(m cri.Mount, target string) specs.Mount {
	access := "rw"
	if m.ReadOnly {
		access = "ro"
	}
	if m.Type == "tmpfs" {
		options := []string{"nosuid", "nodev", "mode=1777", access}
		if m.Size > 0 {
			options = append(options, fmt.Sprintf("size=%d", m.Size))
		}
		return specs.Mount{Destination: target, Type: "tmpfs", Source: "tmpfs", Options: options}
	}
	propagation := map[string]string{"": "rprivate", "HostToContainer": "rslave", "Bidirectional": "rshared"}[m.Propagation]
	if propagation == "" {
		propagation = "rprivate"
	}
	return specs.Mount{Destination: target, Type: "bind", Source: m.HostPath,
		Options: []string{"rbind", propagation, access}}
}
