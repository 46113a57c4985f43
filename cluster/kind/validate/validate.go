// Package validate checks objects of the built-in kinds, in the wording of
// Kubernetes 1.36 (k8s.io/kubernetes/pkg/apis/*/validation is the source of the
// rules). For each kind there is a function X that checks an object without its
// ObjectMeta, and where something may not change, XUpdate, which checks the
// change alone. Objects are defaulted before.
//
// Rules about features that the cluster does not have (device plugins, Windows
// nodes, cloud volumes) are left out: such fields are stored as they are.
package validate

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/resource"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

type errors = field.ErrorList

const (
	notNegative = apivalidation.IsNegativeErrorMsg
	notPositive = "must be greater than zero"
	immutable   = apivalidation.FieldImmutableErrorMsg
	octalMode   = "must be a number between 0 and 0777 (octal), both inclusive"
)

func spec() *field.Path { return field.NewPath("spec") }

// each wraps the messages of a validation function about one value.
func each(p *field.Path, value any, messages []string) errors {
	var errs errors
	for _, m := range messages {
		errs = append(errs, field.Invalid(p, value, m))
	}
	return errs
}

// required checks that a string is there.
func required(p *field.Path, value string) errors {
	if value == "" {
		return errors{field.Required(p, "")}
	}
	return nil
}

// oneOf checks a value against the allowed ones; an empty value is missing.
func oneOf[T ~string](p *field.Path, value T, allowed ...T) errors {
	if value == "" {
		return errors{field.Required(p, "")}
	}
	return oneOfOrEmpty(p, value, allowed...)
}

// oneOfOrEmpty is oneOf for optional values.
func oneOfOrEmpty[T ~string](p *field.Path, value T, allowed ...T) errors {
	if value == "" || slices.Contains(allowed, value) {
		return nil
	}
	return errors{field.NotSupported(p, value, allowed)}
}

// oneOfPtr is oneOf for pointers; nil is fine.
func oneOfPtr[T ~string](p *field.Path, value *T, allowed ...T) errors {
	if value == nil || slices.Contains(allowed, *value) {
		return nil
	}
	return errors{field.NotSupported(p, *value, allowed)}
}

func nonNegative[T int32 | int64](p *field.Path, value T) errors {
	return apivalidation.ValidateNonnegativeField(int64(value), p)
}

func nonNegativePtr[T int32 | int64](p *field.Path, value *T) errors {
	if value == nil {
		return nil
	}
	return nonNegative(p, *value)
}

// unchanged forbids changes of a field.
func unchanged(p *field.Path, value, old any) errors {
	return apivalidation.ValidateImmutableField(value, old, p)
}

func equal(a, b any) bool { return apiequality.Semantic.DeepEqual(a, b) }

func dnsLabel(p *field.Path, value string) errors {
	return each(p, value, validation.IsDNS1123Label(value))
}

func dnsSubdomain(p *field.Path, value string) errors {
	return each(p, value, validation.IsDNS1123Subdomain(value))
}

// optionalName checks the name of another object where one is given.
func optionalName(p *field.Path, value string) errors {
	if value == "" {
		return nil
	}
	return dnsSubdomain(p, value)
}

func labelSelector(p *field.Path, s *metav1.LabelSelector) errors {
	return metavalidation.ValidateLabelSelector(s, metavalidation.LabelSelectorValidationOptions{}, p)
}

func ipAddress(p *field.Path, value string) errors {
	return validation.IsValidIPForLegacyField(p, value, false, nil)
}

func portNumber(p *field.Path, port int32) errors {
	return each(p, port, validation.IsValidPortNum(int(port)))
}

func portOrName(p *field.Path, port intstr.IntOrString) errors {
	if port.Type == intstr.String {
		return each(p, port.StrVal, validation.IsValidPortName(port.StrVal))
	}
	return portNumber(p, port.IntVal)
}

func protocol(p *field.Path, value corev1.Protocol) errors {
	return oneOf(p, value, corev1.ProtocolSCTP, corev1.ProtocolTCP, corev1.ProtocolUDP)
}

// podSelector checks the selector of a workload and that it selects the pods
// of its template.
func podSelector(p *field.Path, s *metav1.LabelSelector, template map[string]string, what string) errors {
	if s == nil {
		return errors{field.Required(p.Child("selector"), "")}
	}
	errs := labelSelector(p.Child("selector"), s)
	if len(s.MatchLabels)+len(s.MatchExpressions) == 0 {
		errs = append(errs, field.Invalid(p.Child("selector"), s, "empty selector is invalid for "+what))
	}
	sel, err := metav1.LabelSelectorAsSelector(s)
	if err != nil {
		return append(errs, field.Invalid(p.Child("selector"), s, "invalid label selector"))
	}
	if !sel.Empty() && !sel.Matches(labels.Set(template)) {
		errs = append(errs, field.Invalid(p.Child("template", "metadata", "labels"), template,
			"`selector` does not match template `labels`"))
	}
	return errs
}

// intOrPercent checks that v is a number of at least 0, or a percentage.
func intOrPercent(p *field.Path, v intstr.IntOrString) errors {
	if v.Type == intstr.String {
		return each(p, v, validation.IsValidPercent(v.StrVal))
	}
	return nonNegative(p, v.IntVal)
}

// atMostAll checks that a percentage is not above 100 %.
func atMostAll(p *field.Path, v intstr.IntOrString) errors {
	if n, ok := percent(v); ok && n > 100 {
		return errors{field.Invalid(p, v, "must not be greater than 100%")}
	}
	return nil
}

func percent(v intstr.IntOrString) (int, bool) {
	digits, ok := strings.CutSuffix(v.StrVal, "%")
	if v.Type != intstr.String || !ok {
		return 0, false
	}
	n := 0
	_, err := fmt.Sscanf(digits, "%d", &n)
	return n, err == nil
}

// isZero tells whether v is 0 or 0 %.
func isZero(v *intstr.IntOrString) bool {
	if v == nil {
		return true
	}
	if n, ok := percent(*v); ok {
		return n == 0
	}
	return v.Type == intstr.Int && v.IntVal == 0
}

// amount checks a quantity of the resource name.
func amount(p *field.Path, name string, q resource.Quantity) errors {
	var errs errors
	if q.Sign() < 0 {
		errs = append(errs, field.Invalid(p, q.String(), notNegative))
	}
	if integral(name) && q.MilliValue()%1000 != 0 {
		errs = append(errs, field.Invalid(p, q, "must be an integer"))
	}
	return errs
}

// integral tells whether a resource comes in whole units only: objects that
// are counted and extended resources.
func integral(name string) bool {
	if strings.Contains(name, "/") {
		return !strings.Contains(name, "kubernetes.io/") && !strings.HasPrefix(name, corev1.DefaultResourceRequestsPrefix)
	}
	switch corev1.ResourceName(name) {
	case corev1.ResourcePods, corev1.ResourceQuotas, corev1.ResourceServices, corev1.ResourceReplicationControllers,
		corev1.ResourceSecrets, corev1.ResourceConfigMaps, corev1.ResourcePersistentVolumeClaims,
		corev1.ResourceServicesNodePorts, corev1.ResourceServicesLoadBalancers:
		return true
	}
	return false
}
