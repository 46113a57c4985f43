package podspec

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/seed38700745/pkg/cluster/cri"
)

// Secure fills in c's fields that come from the security contexts of pod and
// container: user, capabilities, privileges, seccomp. profiles is the folder
// that localhost seccomp profiles are relative to. A violated runAsNonRoot is
// an error in Kubernetes' wording.
func Secure(c *cri.ContainerConfig, pod *corev1.Pod, spec *corev1.Container, profiles string) error {
	p, s := pod.Spec.SecurityContext, spec.SecurityContext
	if p == nil {
		p = &corev1.PodSecurityContext{}
	}
	if s == nil {
		s = &corev1.SecurityContext{}
	}
	c.User = cri.User{
		Name: c.Image.Config.User,
		UID:  first(s.RunAsUser, p.RunAsUser),
		GID:  first(s.RunAsGroup, p.RunAsGroup),
	}
	c.User.Groups = append(c.User.Groups, p.SupplementalGroups...)
	if p.FSGroup != nil && !slices.Contains(c.User.Groups, *p.FSGroup) {
		c.User.Groups = append(c.User.Groups, *p.FSGroup)
	}
	if nonRoot := first(s.RunAsNonRoot, p.RunAsNonRoot); nonRoot != nil && *nonRoot {
		c.User.NonRoot = true
		if err := verifyNonRoot(c.User, pod, spec); err != nil {
			return err
		}
	}
	c.Privileged = s.Privileged != nil && *s.Privileged
	c.ReadonlyRootfs = s.ReadOnlyRootFilesystem != nil && *s.ReadOnlyRootFilesystem
	c.NoNewPrivileges = s.AllowPrivilegeEscalation != nil && !*s.AllowPrivilegeEscalation
	if s.Capabilities != nil {
		c.AddCapabilities = capabilities(s.Capabilities.Add)
		c.DropCapabilities = capabilities(s.Capabilities.Drop)
	}
	c.MaskedPaths = !c.Privileged && (s.ProcMount == nil || *s.ProcMount == corev1.DefaultProcMount)
	c.Seccomp = seccomp(first(s.SeccompProfile, p.SeccompProfile), c.Privileged, profiles)
	return nil
}

func verifyNonRoot(u cri.User, pod *corev1.Pod, c *corev1.Container) error {
	at := fmt.Sprintf("(pod: \"%s_%s(%s)\", container: %s)", pod.Name, pod.Namespace, pod.UID, c.Name)
	if u.UID != nil {
		if *u.UID == 0 {
			return fmt.Errorf("container's runAsUser breaks non-root policy %s", at)
		}
		return nil
	}
	name, _, _ := strings.Cut(u.Name, ":")
	if name == "" {
		return fmt.Errorf("container has runAsNonRoot and image will run as root %s", at)
	}
	uid, err := strconv.ParseInt(name, 10, 64)
	if err != nil {
		return fmt.Errorf("container has runAsNonRoot and image has non-numeric user (%s), cannot verify user is non-root %s", name, at)
	}
	if uid == 0 {
		return fmt.Errorf("container has runAsNonRoot and image will run as root %s", at)
	}
	return nil
}

// seccomp names the profile. Without a wish it is the runtime's default, as
// with the kubelet's seccompDefault.
func seccomp(p *corev1.SeccompProfile, privileged bool, profiles string) string {
	switch {
	case privileged:
		return "Unconfined"
	case p == nil:
		return "RuntimeDefault"
	case p.Type == corev1.SeccompProfileTypeLocalhost && p.LocalhostProfile != nil:
		return filepath.Join(profiles, filepath.Join("/", *p.LocalhostProfile))
	}
	return string(p.Type)
}

func capabilities(in []corev1.Capability) []string {
	var out []string
	for _, c := range in {
		out = append(out, strings.TrimPrefix(strings.ToUpper(string(c)), "CAP_"))
	}
	return out
}

// safeSysctls are those that Kubernetes lets every pod set.
var safeSysctls = []string{
	"kernel.shm_rmid_forced",
	"net.ipv4.ip_local_port_range", "net.ipv4.tcp_syncookies", "net.ipv4.ping_group_range",
	"net.ipv4.ip_unprivileged_port_start", "net.ipv4.ip_local_reserved_ports",
	"net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl",
	"net.ipv4.tcp_keepalive_probes", "net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem",
}

// Sysctls returns the sysctls of a pod by their dotted names. One that is not
// safe, or that would be the host's, is an error.
func Sysctls(pod *corev1.Pod) (map[string]string, error) {
	if pod.Spec.SecurityContext == nil || len(pod.Spec.SecurityContext.Sysctls) == 0 {
		return nil, nil
	}
	all := map[string]string{}
	for _, s := range pod.Spec.SecurityContext.Sysctls {
		name := strings.ReplaceAll(s.Name, "/", ".")
		if !slices.Contains(safeSysctls, name) {
			return nil, fmt.Errorf("forbidden sysctl: %q not allowlisted", s.Name)
		}
		if pod.Spec.HostNetwork && strings.HasPrefix(name, "net.") {
			return nil, fmt.Errorf("forbidden sysctl: %q not allowed with host net enabled", s.Name)
		}
		if pod.Spec.HostIPC && strings.HasPrefix(name, "kernel.shm") {
			return nil, fmt.Errorf("forbidden sysctl: %q not allowed with host ipc enabled", s.Name)
		}
		all[name] = s.Value
	}
	return all, nil
}

// first returns a, or b where a is nil.
func first[T any](a, b *T) *T {
	if a != nil {
		return a
	}
	return b
}
