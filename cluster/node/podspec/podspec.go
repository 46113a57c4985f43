// Package podspec translates a pod's specification into what the runtime is
// told: environment, command, user, capabilities, cgroup values, and the files
// /etc/hosts and /etc/resolv.conf. Apart from reading ConfigMaps, Secrets and
// Services it is pure. The rules are Kubernetes'.
package podspec

import (
	"cmp"
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/seed38700745/pkg/cluster/cri"
)

// Command returns what is executed: command and args of the container, with
// $(VAR) expanded from env, replacing the image's entrypoint and arguments by
// the rules of Kubernetes (a command drops both, args only the arguments).
func Command(c *corev1.Container, image cri.ImageConfig, env []corev1.EnvVar) ([]string, error) {
	vars := make(map[string]string, len(env))
	for _, e := range env {
		vars[e.Name] = e.Value
	}
	command, args := expandAll(c.Command, vars), expandAll(c.Args, vars)
	if len(command) == 0 {
		command = image.Entrypoint
		if len(args) == 0 {
			args = image.Cmd
		}
	}
	all := append(append([]string{}, command...), args...)
	if len(all) == 0 {
		return nil, fmt.Errorf("no command specified: neither the container nor its image %q names one", c.Image)
	}
	return all, nil
}

// Environ returns the complete environment of the process: the image's,
// overridden by env.
func Environ(image cri.ImageConfig, env []corev1.EnvVar) []string {
	all := append([]string{}, image.Env...)
	for _, e := range env {
		all = append(all, e.Name+"="+e.Value)
	}
	return all
}

// WorkingDir returns the container's working directory.
func WorkingDir(c *corev1.Container, image cri.ImageConfig) string {
	return cmp.Or(c.WorkingDir, image.WorkingDir, "/")
}

// Hostname returns the pod's host name and its fully qualified form, which is
// empty without a subdomain.
func Hostname(pod *corev1.Pod, clusterDomain string) (name, fqdn string) {
	const most = 63 // characters in a host name: Linux allows 64, DNS 63
	name = cmp.Or(pod.Spec.Hostname, pod.Name)
	if pod.Spec.HostnameOverride != nil {
		return *pod.Spec.HostnameOverride, ""
	}
	if len(name) > most {
		name = name[:most]
		for len(name) > 0 && (name[len(name)-1] == '-' || name[len(name)-1] == '.') {
			name = name[:len(name)-1]
		}
	}
	if pod.Spec.Subdomain != "" {
		fqdn = fmt.Sprintf("%s.%s.%s.svc.%s", name, pod.Spec.Subdomain, pod.Namespace, clusterDomain)
	}
	return name, fqdn
}

// UTSHostname is what the pod's containers see as their host name.
func UTSHostname(pod *corev1.Pod, clusterDomain string) (string, error) {
	const most = 64 // Linux' limit
	name, fqdn := Hostname(pod, clusterDomain)
	if pod.Spec.SetHostnameAsFQDN == nil || !*pod.Spec.SetHostnameAsFQDN || fqdn == "" {
		return name, nil
	}
	if len(fqdn) > most {
		return "", fmt.Errorf("failed to construct FQDN from pod hostname and cluster domain, FQDN %s is too long (%d characters is the max, %d characters requested)", fqdn, most, len(fqdn))
	}
	return fqdn, nil
}
