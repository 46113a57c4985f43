package node

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/seed38700745/pkg/cluster/cri"
	"github.com/seed38700745/pkg/cluster/node/podlog"
	"github.com/seed38700745/pkg/cluster/node/podspec"
)

// mounts adds the container's volumes and the files that the agent supplies.
// paths are the volumes' places on the host.
func (w *worker) mounts(c *cri.ContainerConfig, pod *corev1.Pod, spec *corev1.Container, env []corev1.EnvVar, paths map[string]string) error {
	if len(spec.VolumeDevices) > 0 {
		return fmt.Errorf("volumeDevices: block volumes are not supported by this node")
	}
	vars := map[string]string{}
	for _, e := range env {
		vars[e.Name] = e.Value
	}
	for i, m := range spec.VolumeMounts {
		path, ok := paths[m.Name]
		if !ok {
			return fmt.Errorf("cannot find volume %q to mount into container %q", m.Name, spec.Name)
		}
		sub := m.SubPath
		if m.SubPathExpr != "" {
			if sub = podspec.ExpandEnv(m.SubPathExpr, vars); strings.Contains(sub, "$(") {
				return fmt.Errorf("failed to expand subPathExpr %q of volume mount %q", m.SubPathExpr, m.Name)
			}
		}
		if sub != "" {
			target := filepath.Join(w.agent.files.dir(w.uid), subpathDir, spec.Name, fmt.Sprint(i))
			if err := bindSubpath(path, sub, target); err != nil {
				return fmt.Errorf("failed to prepare subPath for volumeMount %q of container %q: %w", m.Name, spec.Name, err)
			}
			path = target
		}
		mount := cri.Mount{HostPath: path, ContainerPath: absolute(m.MountPath), ReadOnly: m.ReadOnly}
		if m.MountPropagation != nil && *m.MountPropagation != corev1.MountPropagationNone {
			mount.Propagation = string(*m.MountPropagation)
		}
		c.Mounts = append(c.Mounts, mount)
	}
	return w.ownFiles(c, pod, spec)
}

func absolute(path string) string { return filepath.Join("/", path) }

// ownFiles mounts /etc/hosts, /etc/resolv.conf, /etc/hostname and the file for
// the termination message, but none that a volume already provides.
func (w *worker) ownFiles(c *cri.ContainerConfig, pod *corev1.Pod, spec *corev1.Container) error {
	files := w.agent.files
	add := func(at, name, text string) error {
		if slices.ContainsFunc(c.Mounts, func(m cri.Mount) bool { return m.ContainerPath == at }) {
			return nil
		}
		path, err := files.write(w.uid, name, text)
		if err != nil {
			return err
		}
		c.Mounts = append(c.Mounts, cri.Mount{HostPath: path, ContainerPath: at, ReadOnly: c.ReadonlyRootfs})
		return nil
	}
	hostsOfHost := ""
	if pod.Spec.HostNetwork {
		b, err := os.ReadFile("/etc/hosts")
		if err != nil {
			return fmt.Errorf("hosts file: %w", err)
		}
		hostsOfHost = string(b)
	}
	if err := add("/etc/hosts", "etc-hosts", podspec.HostsFile(pod, w.agent.DNS.Domain, w.network.IPs, hostsOfHost)); err != nil {
		return err
	}
	resolver, err := w.agent.hostResolver()
	if err != nil {
		return err
	}
	if err := add("/etc/resolv.conf", "resolv.conf", podspec.PodResolver(pod, w.agent.DNS.Server, w.agent.DNS.Domain, resolver).String()); err != nil {
		return err
	}
	name, err := podspec.UTSHostname(pod, w.agent.DNS.Domain)
	if err != nil {
		return err
	}
	if pod.Spec.HostNetwork {
		if name, err = os.Hostname(); err != nil {
			return fmt.Errorf("host name: %w", err)
		}
	}
	if err := add("/etc/hostname", "hostname", name+"\n"); err != nil {
		return err
	}
	at := absolute(cmp.Or(spec.TerminationMessagePath, corev1.TerminationMessagePathDefault))
	path, err := files.newTermination(w.uid, spec.Name, c.Attempt)
	if err != nil {
		return fmt.Errorf("termination message: %w", err)
	}
	c.TerminationMessagePath = at
	c.Mounts = append(c.Mounts, cri.Mount{HostPath: path, ContainerPath: at})
	return nil
}

// resolvedStub and resolvedReal: where systemd-resolved is in use, the host's
// resolv.conf names a stub that pods cannot reach.
const (
	resolvedStub = "127.0.0.53"
	resolvedReal = "/run/systemd/resolve/resolv.conf"
)

func (a *Agent) hostResolver() (podspec.Resolver, error) {
	b, err := os.ReadFile(a.ResolvConf)
	if err != nil && !os.IsNotExist(err) {
		return podspec.Resolver{}, fmt.Errorf("host's resolver: %w", err)
	}
	r := podspec.ParseResolver(string(b))
	if slices.Equal(r.Nameservers, []string{resolvedStub}) {
		if b, err := os.ReadFile(resolvedReal); err == nil {
			return podspec.ParseResolver(string(b)), nil
		}
	}
	return r, nil
}

// Limits of termination messages.
const (
	maxTermination = 4096
	maxLogBytes    = 2048 // of the log, for FallbackToLogsOnError
	maxLogLines    = 80
)

// terminationMessage returns what a container left as its last words: its
// termination file, or with FallbackToLogsOnError the end of its log.
func (w *worker) terminationMessage(r *record) string {
	f, err := os.Open(w.agent.files.termination(w.uid, r.Name, r.Attempt))
	if err == nil {
		defer f.Close()
		if b, err := io.ReadAll(io.LimitReader(f, maxTermination)); err == nil && len(b) > 0 {
			return string(b)
		}
	}
	pod, _ := w.current()
	c := container(pod, r.Name)
	if c == nil || c.TerminationMessagePolicy != corev1.TerminationMessageFallbackToLogsOnError || r.ExitCode == 0 || r.LogPath == "" {
		return ""
	}
	text, err := podlog.Tail(r.LogPath, maxLogLines, maxLogBytes)
	if err != nil {
		return ""
	}
	return text
}
