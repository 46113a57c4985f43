package defaults

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	podresources "k8s.io/component-helpers/resource"
)

const (
	terminationGraceSeconds = 30
	terminationMessagePath  = "/dev/termination-log"
)

// Pod defaults what only pods get, not their templates: requests from limits,
// service links and the host ports of pods in the host's network.
func Pod(p *corev1.Pod) {
	spec := &p.Spec
	for _, c := range containers(spec) {
		requestsFromLimits(&c.Resources)
	}
	podRequests(p)
	setPtr(&spec.EnableServiceLinks, true)
	if spec.HostNetwork {
		hostPorts(spec.Containers)
		hostPorts(spec.InitContainers)
	}
	PodSpec(spec)
	podIPs(&p.Status)
	for i := range p.Status.InitContainerStatuses {
		roundUp(p.Status.InitContainerStatuses[i].AllocatedResources)
	}
	for i := range p.Status.ContainerStatuses {
		roundUp(p.Status.ContainerStatuses[i].AllocatedResources)
	}
}

// podIPs makes podIP and podIPs agree; the older field wins if they differ.
func podIPs(s *corev1.PodStatus) {
	switch {
	case s.PodIP != "" && (len(s.PodIPs) == 0 || s.PodIPs[0].IP != s.PodIP):
		s.PodIPs = []corev1.PodIP{{IP: s.PodIP}}
	case len(s.PodIPs) > 0:
		s.PodIP = s.PodIPs[0].IP
	}
}

// containers returns the init and the regular containers.
func containers(spec *corev1.PodSpec) []*corev1.Container {
	var all []*corev1.Container
	for i := range spec.InitContainers {
		all = append(all, &spec.InitContainers[i])
	}
	for i := range spec.Containers {
		all = append(all, &spec.Containers[i])
	}
	return all
}

func requestsFromLimits(r *corev1.ResourceRequirements) {
	for name, limit := range r.Limits {
		if _, ok := r.Requests[name]; ok {
			continue
		}
		if r.Requests == nil {
			r.Requests = corev1.ResourceList{}
		}
		r.Requests[name] = limit.DeepCopy()
	}
}

// podRequests defaults the requests of the pod as a whole where it has limits:
// to what its containers request together, else to the limits.
func podRequests(p *corev1.Pod) {
	r := p.Spec.Resources
	if r == nil || len(r.Limits) == 0 {
		return
	}
	sum := podresources.AggregateContainerRequests(p, podresources.PodResourcesOptions{})
	for name, limit := range r.Limits {
		if _, ok := r.Requests[name]; ok || !podresources.IsSupportedPodLevelResource(name) {
			continue
		}
		if r.Requests == nil {
			r.Requests = corev1.ResourceList{}
		}
		if q, ok := sum[name]; ok && !q.IsZero() {
			r.Requests[name] = q.DeepCopy()
		} else {
			r.Requests[name] = limit.DeepCopy()
		}
	}
}

func hostPorts(containers []corev1.Container) {
	for i := range containers {
		for j := range containers[i].Ports {
			p := &containers[i].Ports[j]
			set(&p.HostPort, p.ContainerPort)
		}
	}
}

// PodTemplateSpec defaults the pods that a workload makes.
func PodTemplateSpec(t *corev1.PodTemplateSpec) { PodSpec(&t.Spec) }

// PodTemplate defaults a PodTemplate.
func PodTemplate(t *corev1.PodTemplate) { PodSpec(&t.Template.Spec) }

// PodSpec defaults what pods and templates have in common.
func PodSpec(s *corev1.PodSpec) {
	set(&s.DNSPolicy, corev1.DNSClusterFirst)
	set(&s.RestartPolicy, corev1.RestartPolicyAlways)
	set(&s.SchedulerName, corev1.DefaultSchedulerName)
	setPtr(&s.SecurityContext, corev1.PodSecurityContext{})
	setPtr(&s.TerminationGracePeriodSeconds, terminationGraceSeconds)
	// The old and the new name of one field.
	set(&s.ServiceAccountName, s.DeprecatedServiceAccount)
	s.DeprecatedServiceAccount = s.ServiceAccountName
	for _, c := range containers(s) {
		container(c)
	}
	for i := range s.EphemeralContainers {
		c := corev1.Container(s.EphemeralContainers[i].EphemeralContainerCommon)
		container(&c)
		s.EphemeralContainers[i].EphemeralContainerCommon = corev1.EphemeralContainerCommon(c)
	}
	for i := range s.Volumes {
		volume(&s.Volumes[i])
	}
	roundUp(s.Overhead)
	if s.Resources != nil {
		roundUp(s.Resources.Limits)
		roundUp(s.Resources.Requests)
	}
}

func container(c *corev1.Container) {
	set(&c.ImagePullPolicy, pullPolicy(c.Image))
	set(&c.TerminationMessagePath, terminationMessagePath)
	set(&c.TerminationMessagePolicy, corev1.TerminationMessageReadFile)
	for i := range c.Ports {
		set(&c.Ports[i].Protocol, corev1.ProtocolTCP)
	}
	for i := range c.Env {
		envSource(c.Env[i].ValueFrom)
	}
	roundUp(c.Resources.Limits)
	roundUp(c.Resources.Requests)
	probe(c.LivenessProbe)
	probe(c.ReadinessProbe)
	probe(c.StartupProbe)
	if c.Lifecycle != nil {
		for _, h := range []*corev1.LifecycleHandler{c.Lifecycle.PostStart, c.Lifecycle.PreStop} {
			if h != nil {
				httpGet(h.HTTPGet)
			}
		}
	}
}

func envSource(s *corev1.EnvVarSource) {
	if s == nil {
		return
	}
	fieldRef(s.FieldRef)
	if s.FileKeyRef != nil {
		setPtr(&s.FileKeyRef.Optional, false)
	}
}

func fieldRef(f *corev1.ObjectFieldSelector) {
	if f != nil {
		set(&f.APIVersion, "v1")
	}
}

func probe(p *corev1.Probe) {
	if p == nil {
		return
	}
	set(&p.TimeoutSeconds, 1)
	set(&p.PeriodSeconds, 10)
	set(&p.SuccessThreshold, 1)
	set(&p.FailureThreshold, 3)
	httpGet(p.HTTPGet)
	if p.GRPC != nil {
		setPtr(&p.GRPC.Service, "")
	}
}

func httpGet(g *corev1.HTTPGetAction) {
	if g == nil {
		return
	}
	set(&g.Path, "/")
	set(&g.Scheme, corev1.URISchemeHTTP)
}

// pullPolicy is Always for images without a tag or digest and for the tag
// "latest", else IfNotPresent.
func pullPolicy(image string) corev1.PullPolicy {
	name, _, digest := strings.Cut(image, "@")
	if i := strings.LastIndex(name, "/"); i >= 0 {
		name = name[i+1:]
	}
	_, tag, tagged := strings.Cut(name, ":")
	if tag == "latest" || !tagged && !digest {
		return corev1.PullAlways
	}
	return corev1.PullIfNotPresent
}

// unset tells whether an int-or-string was left out.
func unset(v intstr.IntOrString) bool {
	return v == intstr.FromInt32(0) || v == intstr.FromString("")
}
