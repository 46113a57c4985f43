package validate

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// containers checks all containers of a pod. volumes are those that they can
// mount.
func containers(p *field.Path, s *corev1.PodSpec, volumes map[string]*corev1.Volume) errors {
	var errs errors
	if len(s.Containers) == 0 {
		return errors{field.Required(p.Child("containers"), "")}
	}
	names := map[string]bool{}
	ports := map[string]bool{}
	for i := range s.Containers {
		c, at := &s.Containers[i], p.Child("containers").Index(i)
		errs = append(errs, container(at, c, s, volumes)...)
		errs = append(errs, uniqueName(at, c.Name, names)...)
		errs = append(errs, lifecycle(at.Child("lifecycle"), c.Lifecycle)...)
		errs = append(errs, probes(at, c)...)
		errs = append(errs, hostPortConflicts(at.Child("ports"), c.Ports, ports)...)
	}
	for i := range s.InitContainers {
		c, at := &s.InitContainers[i], p.Child("initContainers").Index(i)
		errs = append(errs, container(at, c, s, volumes)...)
		errs = append(errs, uniqueName(at, c.Name, names)...)
		errs = append(errs, initContainer(at, c)...)
		// Init containers run one after another: they share no ports.
		errs = append(errs, hostPortConflicts(at.Child("ports"), c.Ports, map[string]bool{})...)
	}
	for i := range s.EphemeralContainers {
		at := p.Child("ephemeralContainers").Index(i)
		e := &s.EphemeralContainers[i]
		c := corev1.Container(e.EphemeralContainerCommon)
		errs = append(errs, container(at, &c, s, volumes)...)
		errs = append(errs, uniqueName(at, c.Name, names)...)
		errs = append(errs, ephemeralContainer(at, e)...)
		if target := e.TargetContainerName; target != "" && !hasContainer(s, target) {
			errs = append(errs, field.NotFound(at.Child("targetContainerName"), target))
		}
	}
	return errs
}

// hasContainer tells whether name is one of the containers that a pod is for.
func hasContainer(s *corev1.PodSpec, name string) bool {
	is := func(c corev1.Container) bool { return c.Name == name }
	return slices.ContainsFunc(s.Containers, is) || slices.ContainsFunc(s.InitContainers, is)
}

func uniqueName(at *field.Path, name string, seen map[string]bool) errors {
	if name != "" && seen[name] {
		return errors{field.Duplicate(at.Child("name"), name)}
	}
	seen[name] = true
	return nil
}

// container checks what all sorts of containers have in common.
func container(p *field.Path, c *corev1.Container, s *corev1.PodSpec, volumes map[string]*corev1.Volume) errors {
	var errs errors
	if c.Name == "" {
		errs = append(errs, field.Required(p.Child("name"), ""))
	} else {
		errs = append(errs, dnsLabel(p.Child("name"), c.Name)...)
	}
	if c.Image == "" {
		errs = append(errs, field.Required(p.Child("image"), ""))
	} else if strings.TrimSpace(c.Image) != c.Image {
		errs = append(errs, field.Invalid(p.Child("image"), c.Image, "must not have leading or trailing whitespace"))
	}
	errs = append(errs, oneOf(p.Child("terminationMessagePolicy"), c.TerminationMessagePolicy,
		corev1.TerminationMessageReadFile, corev1.TerminationMessageFallbackToLogsOnError)...)
	errs = append(errs, containerPorts(p.Child("ports"), c.Ports, s.HostNetwork)...)
	errs = append(errs, env(p.Child("env"), c.Env)...)
	errs = append(errs, envFrom(p.Child("envFrom"), c.EnvFrom)...)
	errs = append(errs, mounts(p, c, volumes)...)
	errs = append(errs, oneOf(p.Child("imagePullPolicy"), c.ImagePullPolicy,
		corev1.PullAlways, corev1.PullIfNotPresent, corev1.PullNever)...)
	errs = append(errs, resources(p.Child("resources"), &c.Resources)...)
	errs = append(errs, containerSecurity(p.Child("securityContext"), c.SecurityContext, s)...)
	errs = append(errs, oneOfPtr(p.Child("restartPolicy"), c.RestartPolicy, corev1.ContainerRestartPolicyAlways,
		corev1.ContainerRestartPolicyNever, corev1.ContainerRestartPolicyOnFailure)...)
	return errs
}

// initContainer checks what only sidecars may have.
func initContainer(p *field.Path, c *corev1.Container) errors {
	if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
		return append(lifecycle(p.Child("lifecycle"), c.Lifecycle), probes(p, c)...)
	}
	var errs errors
	const only = "may not be set for init containers without restartPolicy=Always"
	if c.Lifecycle != nil {
		errs = append(errs, field.Forbidden(p.Child("lifecycle"), only))
	}
	if c.LivenessProbe != nil {
		errs = append(errs, field.Forbidden(p.Child("livenessProbe"), only))
	}
	if c.ReadinessProbe != nil {
		errs = append(errs, field.Forbidden(p.Child("readinessProbe"), only))
	}
	if c.StartupProbe != nil {
		errs = append(errs, field.Forbidden(p.Child("startupProbe"), only))
	}
	return errs
}

func ephemeralContainer(p *field.Path, c *corev1.EphemeralContainer) errors {
	var errs errors
	const cannot = "cannot be set for an Ephemeral Container"
	for _, f := range []struct {
		name string
		set  bool
	}{
		{"ports", len(c.Ports) > 0}, {"lifecycle", c.Lifecycle != nil}, {"livenessProbe", c.LivenessProbe != nil},
		{"readinessProbe", c.ReadinessProbe != nil}, {"startupProbe", c.StartupProbe != nil},
		{"resources", len(c.Resources.Limits)+len(c.Resources.Requests) > 0},
	} {
		if f.set {
			errs = append(errs, field.Forbidden(p.Child(f.name), cannot))
		}
	}
	return errs
}

func containerPorts(p *field.Path, ports []corev1.ContainerPort, hostNetwork bool) errors {
	var errs errors
	names := map[string]bool{}
	for i, port := range ports {
		at := p.Index(i)
		if port.Name != "" {
			if msgs := validation.IsValidPortName(port.Name); len(msgs) > 0 {
				errs = append(errs, each(at.Child("name"), port.Name, msgs)...)
			} else if names[port.Name] {
				errs = append(errs, field.Duplicate(at.Child("name"), port.Name))
			}
			names[port.Name] = true
		}
		if port.ContainerPort == 0 {
			errs = append(errs, field.Required(at.Child("containerPort"), ""))
		} else {
			errs = append(errs, portNumber(at.Child("containerPort"), port.ContainerPort)...)
		}
		if port.HostPort != 0 {
			errs = append(errs, portNumber(at.Child("hostPort"), port.HostPort)...)
			if hostNetwork && port.HostPort != port.ContainerPort {
				errs = append(errs, field.Invalid(at.Child("containerPort"), port.ContainerPort,
					"must match `hostPort` when `hostNetwork` is true"))
			}
		}
		errs = append(errs, protocol(at.Child("protocol"), port.Protocol)...)
		if port.HostIP != "" {
			errs = append(errs, ipAddress(at.Child("hostIP"), port.HostIP)...)
		}
	}
	return errs
}

// hostPortConflicts finds ports of the host that two containers claim.
func hostPortConflicts(p *field.Path, ports []corev1.ContainerPort, seen map[string]bool) errors {
	var errs errors
	for i, port := range ports {
		if port.HostPort == 0 {
			continue
		}
		key := fmt.Sprintf("%s/%s/%d", port.Protocol, port.HostIP, port.HostPort)
		if seen[key] {
			errs = append(errs, field.Duplicate(p.Index(i).Child("hostPort"), key))
		}
		seen[key] = true
	}
	return errs
}

// resources checks requests and limits, sorted by name so that errors have a
// fixed order.
func resources(p *field.Path, r *corev1.ResourceRequirements) errors {
	var errs errors
	for _, name := range sortedNames(r.Limits) {
		at := p.Child("limits").Key(string(name))
		errs = append(errs, resourceName(at, string(name))...)
		errs = append(errs, amount(at, string(name), r.Limits[name])...)
	}
	for _, name := range sortedNames(r.Requests) {
		at, q := p.Child("requests").Key(string(name)), r.Requests[name]
		errs = append(errs, resourceName(at, string(name))...)
		errs = append(errs, amount(at, string(name), q)...)
		limit, limited := r.Limits[name]
		switch {
		case !limited && !overcommits(name):
			errs = append(errs, field.Required(p.Child("limits"), "Limit must be set for non overcommitable resources"))
		case limited && !overcommits(name) && q.Cmp(limit) != 0:
			errs = append(errs, field.Invalid(p.Child("requests"), q.String(),
				fmt.Sprintf("must be equal to %s limit of %s", name, limit.String())))
		case limited && q.Cmp(limit) > 0:
			errs = append(errs, field.Invalid(p.Child("requests"), q.String(),
				fmt.Sprintf("must be less than or equal to %s limit of %s", name, limit.String())))
		}
	}
	return errs
}

func sortedNames(list corev1.ResourceList) []corev1.ResourceName {
	names := make([]corev1.ResourceName, 0, len(list))
	for name := range list {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// resourceName: a standard resource of containers, or one with a domain.
func resourceName(p *field.Path, name string) errors {
	if errs := each(p, name, validation.IsQualifiedName(name)); len(errs) > 0 {
		return errs
	}
	switch {
	case strings.Contains(name, "/"), strings.HasPrefix(name, corev1.ResourceHugePagesPrefix),
		name == string(corev1.ResourceCPU), name == string(corev1.ResourceMemory),
		name == string(corev1.ResourceEphemeralStorage):
		return nil
	}
	errs := errors{field.Invalid(p, name, "must be a standard resource for containers")}
	if !standard(name) {
		errs = append(errs, field.Invalid(p, name, "must be a standard resource type or fully qualified"))
	}
	return errs
}

// standard tells whether a name without a domain is one that quotas know.
func standard(name string) bool {
	name = strings.TrimPrefix(strings.TrimPrefix(name, "requests."), "limits.")
	switch corev1.ResourceName(name) {
	case corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourceEphemeralStorage, corev1.ResourceStorage:
		return true
	}
	return integral(name)
}

// overcommits tells whether limits of a resource may exceed its requests.
func overcommits(name corev1.ResourceName) bool {
	native := !strings.Contains(string(name), "/") || strings.Contains(string(name), "kubernetes.io/")
	return native && !strings.HasPrefix(string(name), corev1.ResourceHugePagesPrefix)
}
