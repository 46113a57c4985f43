package validate

import (
	"fmt"
	"math"

	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Pod checks a pod.
func Pod(p *corev1.Pod) field.ErrorList { return podSpec(spec(), &p.Spec) }

// PodTemplate checks a pod template.
func PodTemplate(t *corev1.PodTemplate) field.ErrorList {
	return podTemplate(field.NewPath("template"), &t.Template)
}

// podTemplate checks the template of a workload's pods.
func podTemplate(p *field.Path, t *corev1.PodTemplateSpec) errors {
	errs := metavalidation.ValidateLabels(t.Labels, p.Child("labels"))
	errs = append(errs, annotations(p.Child("annotations"), t.Annotations)...)
	errs = append(errs, podSpec(p.Child("spec"), &t.Spec)...)
	if len(t.Spec.EphemeralContainers) > 0 {
		errs = append(errs, field.Forbidden(p.Child("spec", "ephemeralContainers"), "ephemeral containers not allowed in pod template"))
	}
	return errs
}

// alwaysRestarts checks the template of a workload whose pods run for ever.
func alwaysRestarts(p *field.Path, t *corev1.PodTemplateSpec, what string) errors {
	var errs errors
	if t.Spec.RestartPolicy != corev1.RestartPolicyAlways {
		errs = append(errs, field.NotSupported(p.Child("spec", "restartPolicy"), t.Spec.RestartPolicy,
			[]corev1.RestartPolicy{corev1.RestartPolicyAlways}))
	}
	if t.Spec.ActiveDeadlineSeconds != nil {
		errs = append(errs, field.Forbidden(p.Child("spec", "activeDeadlineSeconds"),
			"activeDeadlineSeconds in "+what+" is not Supported"))
	}
	return errs
}

// podSpec checks what pods and templates have in common.
func podSpec(p *field.Path, s *corev1.PodSpec) errors {
	volumes, errs := volumes(p.Child("volumes"), s.Volumes)
	errs = append(errs, containers(p, s, volumes)...)
	errs = append(errs, oneOf(p.Child("restartPolicy"), s.RestartPolicy,
		corev1.RestartPolicyAlways, corev1.RestartPolicyOnFailure, corev1.RestartPolicyNever)...)
	errs = append(errs, oneOf(p.Child("dnsPolicy"), s.DNSPolicy,
		corev1.DNSClusterFirstWithHostNet, corev1.DNSClusterFirst, corev1.DNSDefault, corev1.DNSNone)...)
	errs = append(errs, dnsConfig(p.Child("dnsConfig"), s)...)
	errs = append(errs, metavalidation.ValidateLabels(s.NodeSelector, p.Child("nodeSelector"))...)
	errs = append(errs, podSecurity(p, s)...)
	for i, ref := range s.ImagePullSecrets {
		errs = append(errs, required(p.Child("imagePullSecrets").Index(i).Child("name"), ref.Name)...)
	}
	errs = append(errs, affinity(p.Child("affinity"), s.Affinity)...)
	errs = append(errs, tolerations(p.Child("tolerations"), s.Tolerations)...)
	errs = append(errs, spread(p.Child("topologySpreadConstraints"), s.TopologySpreadConstraints)...)
	errs = append(errs, hostAliases(p.Child("hostAliases"), s.HostAliases)...)
	errs = append(errs, gates(p, s)...)
	errs = append(errs, optionalName(p.Child("serviceAccountName"), s.ServiceAccountName)...)
	errs = append(errs, optionalName(p.Child("nodeName"), s.NodeName)...)
	errs = append(errs, optionalName(p.Child("priorityClassName"), s.PriorityClassName)...)
	if s.RuntimeClassName != nil {
		errs = append(errs, dnsSubdomain(p.Child("runtimeClassName"), *s.RuntimeClassName)...)
	}
	if s.Hostname != "" {
		errs = append(errs, dnsLabel(p.Child("hostname"), s.Hostname)...)
	}
	if s.Subdomain != "" {
		errs = append(errs, dnsLabel(p.Child("subdomain"), s.Subdomain)...)
	}
	if d := s.ActiveDeadlineSeconds; d != nil && (*d < 1 || *d > math.MaxInt32) {
		errs = append(errs, field.Invalid(p.Child("activeDeadlineSeconds"), *d, validation.InclusiveRangeError(1, math.MaxInt32)))
	}
	errs = append(errs, oneOfPtr(p.Child("preemptionPolicy"), s.PreemptionPolicy,
		corev1.PreemptLowerPriority, corev1.PreemptNever)...)
	if s.Resources != nil {
		errs = append(errs, resources(p.Child("resources"), s.Resources)...)
	}
	for name, q := range s.Overhead {
		errs = append(errs, amount(p.Child("overhead").Key(string(name)), string(name), q)...)
	}
	return errs
}

const (
	maxNameservers   = 3
	maxSearchDomains = 32
)

func dnsConfig(p *field.Path, s *corev1.PodSpec) errors {
	var errs errors
	c := s.DNSConfig
	if s.DNSPolicy == corev1.DNSNone {
		if c == nil {
			return errors{field.Required(p, fmt.Sprintf("must provide `dnsConfig` when `dnsPolicy` is %s", corev1.DNSNone))}
		}
		if len(c.Nameservers) == 0 {
			errs = append(errs, field.Required(p.Child("nameservers"),
				fmt.Sprintf("must provide at least one DNS nameserver when `dnsPolicy` is %s", corev1.DNSNone)))
		}
	}
	if c == nil {
		return errs
	}
	if len(c.Nameservers) > maxNameservers {
		errs = append(errs, field.Invalid(p.Child("nameservers"), c.Nameservers,
			fmt.Sprintf("must not have more than %v nameservers", maxNameservers)))
	}
	for i, ns := range c.Nameservers {
		errs = append(errs, ipAddress(p.Child("nameservers").Index(i), ns)...)
	}
	if len(c.Searches) > maxSearchDomains {
		errs = append(errs, field.Invalid(p.Child("searches"), c.Searches,
			fmt.Sprintf("must not have more than %v search paths", maxSearchDomains)))
	}
	for i, o := range c.Options {
		if o.Name == "" {
			errs = append(errs, field.Required(p.Child("options").Index(i), "must not be empty"))
		}
	}
	return errs
}

func hostAliases(p *field.Path, list []corev1.HostAlias) errors {
	var errs errors
	for i, a := range list {
		errs = append(errs, ipAddress(p.Index(i).Child("ip"), a.IP)...)
		for j, name := range a.Hostnames {
			errs = append(errs, dnsSubdomain(p.Index(i).Child("hostnames").Index(j), name)...)
		}
	}
	return errs
}

// gates checks readiness and scheduling gates.
func gates(p *field.Path, s *corev1.PodSpec) errors {
	var errs errors
	for i, g := range s.ReadinessGates {
		errs = append(errs, each(p.Child("readinessGates").Index(i).Child("conditionType"), string(g.ConditionType),
			validation.IsQualifiedName(string(g.ConditionType)))...)
	}
	seen := map[string]bool{}
	for i, g := range s.SchedulingGates {
		at := p.Child("schedulingGates").Index(i)
		errs = append(errs, each(at, g.Name, validation.IsQualifiedName(g.Name))...)
		if seen[g.Name] {
			errs = append(errs, field.Duplicate(at, g.Name))
		}
		seen[g.Name] = true
	}
	if len(s.SchedulingGates) > 0 && s.NodeName != "" {
		errs = append(errs, field.Forbidden(p.Child("nodeName"), "cannot be set until all schedulingGates have been cleared"))
	}
	return errs
}

// PodWarnings tells about fields that have no effect or are deprecated.
func PodWarnings(p *corev1.Pod) []string { return podWarnings(spec(), &p.Spec, &p.ObjectMeta) }

// TemplateWarnings is PodWarnings for a workload's template.
func TemplateWarnings(t *corev1.PodTemplateSpec) []string {
	return podWarnings(field.NewPath("spec", "template", "spec"), &t.Spec, &t.ObjectMeta)
}

func podWarnings(p *field.Path, s *corev1.PodSpec, meta *metav1.ObjectMeta) []string {
	var out []string
	for _, old := range []struct{ key, instead string }{
		{"beta.kubernetes.io/arch", corev1.LabelArchStable},
		{"beta.kubernetes.io/os", corev1.LabelOSStable},
		{corev1.LabelFailureDomainBetaZone, corev1.LabelTopologyZone},
		{corev1.LabelFailureDomainBetaRegion, corev1.LabelTopologyRegion},
		{corev1.LabelInstanceType, corev1.LabelInstanceTypeStable},
	} {
		if _, ok := s.NodeSelector[old.key]; ok {
			out = append(out, fmt.Sprintf("%s: deprecated since v1.14; use %q instead", p.Child("nodeSelector").Key(old.key), old.instead))
		}
	}
	if _, ok := meta.Annotations["scheduler.alpha.kubernetes.io/critical-pod"]; ok {
		out = append(out, `metadata.annotations[scheduler.alpha.kubernetes.io/critical-pod]: non-functional in v1.16+; use the "priorityClassName" field instead`)
	}
	for i, c := range s.Containers {
		out = append(out, portWarnings(p.Child("containers").Index(i), c.Ports)...)
		out = append(out, envWarnings(p.Child("containers").Index(i), c.Env)...)
	}
	return out
}

func portWarnings(p *field.Path, ports []corev1.ContainerPort) []string {
	type key struct {
		protocol corev1.Protocol
		port     int32
	}
	var out []string
	first := map[key]int{}
	for i, port := range ports {
		k := key{port.Protocol, port.ContainerPort}
		if j, ok := first[k]; ok {
			out = append(out, fmt.Sprintf("%s: duplicate port definition with %s", p.Child("ports").Index(i), p.Child("ports").Index(j)))
		} else {
			first[k] = i
		}
	}
	return out
}

func envWarnings(p *field.Path, env []corev1.EnvVar) []string {
	var out []string
	first := map[string]int{}
	for i, e := range env {
		if j, ok := first[e.Name]; ok {
			out = append(out, fmt.Sprintf("%s: hides previous definition of %q, which may be unexpected", p.Child("env").Index(i), env[j].Name))
		} else {
			first[e.Name] = i
		}
	}
	return out
}

func annotations(p *field.Path, set map[string]string) errors {
	return apivalidation.ValidateAnnotations(set, p)
}

// matches tells whether a plain selector selects labels.
func matches(selector, set map[string]string) bool {
	return labels.SelectorFromSet(selector).Matches(labels.Set(set))
}
