package validate

import (
	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// webhook is what both kinds of webhooks have in common.
type webhook struct {
	name       string
	client     admissionv1.WebhookClientConfig
	rules      []admissionv1.RuleWithOperations
	failure    *admissionv1.FailurePolicyType
	match      *admissionv1.MatchPolicyType
	namespaces *metav1.LabelSelector
	objects    *metav1.LabelSelector
	effects    *admissionv1.SideEffectClass
	timeout    *int32
	versions   []string
}

// MutatingWebhookConfiguration checks a webhook configuration.
func MutatingWebhookConfiguration(c *admissionv1.MutatingWebhookConfiguration) field.ErrorList {
	var list []webhook
	var errs errors
	for i, w := range c.Webhooks {
		list = append(list, webhook{w.Name, w.ClientConfig, w.Rules, w.FailurePolicy, w.MatchPolicy,
			w.NamespaceSelector, w.ObjectSelector, w.SideEffects, w.TimeoutSeconds, w.AdmissionReviewVersions})
		errs = append(errs, oneOfPtr(field.NewPath("webhooks").Index(i).Child("reinvocationPolicy"), w.ReinvocationPolicy,
			admissionv1.IfNeededReinvocationPolicy, admissionv1.NeverReinvocationPolicy)...)
	}
	return append(webhooks(list), errs...)
}

// ValidatingWebhookConfiguration checks a webhook configuration.
func ValidatingWebhookConfiguration(c *admissionv1.ValidatingWebhookConfiguration) field.ErrorList {
	var list []webhook
	for _, w := range c.Webhooks {
		list = append(list, webhook{w.Name, w.ClientConfig, w.Rules, w.FailurePolicy, w.MatchPolicy,
			w.NamespaceSelector, w.ObjectSelector, w.SideEffects, w.TimeoutSeconds, w.AdmissionReviewVersions})
	}
	return webhooks(list)
}

func webhooks(list []webhook) errors {
	var errs errors
	names := map[string]bool{}
	for i, w := range list {
		at := field.NewPath("webhooks").Index(i)
		errs = append(errs, validation.IsFullyQualifiedName(at.Child("name"), w.name)...)
		if names[w.name] {
			errs = append(errs, field.Duplicate(at.Child("name"), w.name))
		}
		names[w.name] = true
		if len(w.versions) == 0 {
			errs = append(errs, field.Required(at.Child("admissionReviewVersions"), "must specify one of v1, v1beta1"))
		}
		for j, r := range w.rules {
			errs = append(errs, rule(at.Child("rules").Index(j), r)...)
		}
		errs = append(errs, oneOfPtr(at.Child("failurePolicy"), w.failure, admissionv1.Fail, admissionv1.Ignore)...)
		errs = append(errs, oneOfPtr(at.Child("matchPolicy"), w.match, admissionv1.Equivalent, admissionv1.Exact)...)
		if w.effects == nil {
			errs = append(errs, field.Required(at.Child("sideEffects"), "must specify one of None, NoneOnDryRun"))
		} else {
			errs = append(errs, oneOfPtr(at.Child("sideEffects"), w.effects,
				admissionv1.SideEffectClassNone, admissionv1.SideEffectClassNoneOnDryRun)...)
		}
		if w.timeout != nil && (*w.timeout < 1 || *w.timeout > 30) {
			errs = append(errs, field.Invalid(at.Child("timeoutSeconds"), *w.timeout, "the timeout value must be between 1 and 30 seconds"))
		}
		errs = append(errs, labelSelector(at.Child("namespaceSelector"), w.namespaces)...)
		errs = append(errs, labelSelector(at.Child("objectSelector"), w.objects)...)
		errs = append(errs, client(at.Child("clientConfig"), w.client)...)
	}
	return errs
}

func client(p *field.Path, c admissionv1.WebhookClientConfig) errors {
	if (c.URL == nil) == (c.Service == nil) {
		return errors{field.Required(p, "exactly one of url or service is required")}
	}
	if c.Service == nil {
		return required(p.Child("url"), *c.URL)
	}
	errs := required(p.Child("service", "name"), c.Service.Name)
	errs = append(errs, required(p.Child("service", "namespace"), c.Service.Namespace)...)
	if c.Service.Port != nil {
		if msgs := validation.IsValidPortNum(int(*c.Service.Port)); len(msgs) > 0 {
			errs = append(errs, field.Invalid(p.Child("service", "port"), *c.Service.Port, "port is not valid: "+msgs[0]))
		}
	}
	return errs
}

func rule(p *field.Path, r admissionv1.RuleWithOperations) errors {
	var errs errors
	if len(r.Operations) == 0 {
		errs = append(errs, field.Required(p.Child("operations"), ""))
	}
	for i, o := range r.Operations {
		errs = append(errs, oneOf(p.Child("operations").Index(i), o, admissionv1.OperationAll, admissionv1.Connect,
			admissionv1.Create, admissionv1.Delete, admissionv1.Update)...)
		if o == admissionv1.OperationAll && len(r.Operations) > 1 {
			errs = append(errs, field.Invalid(p.Child("operations"), r.Operations, "if '*' is present, must not specify other operations"))
		}
	}
	if len(r.APIGroups) == 0 {
		errs = append(errs, field.Required(p.Child("apiGroups"), ""))
	}
	if len(r.APIVersions) == 0 {
		errs = append(errs, field.Required(p.Child("apiVersions"), ""))
	}
	if len(r.Resources) == 0 {
		errs = append(errs, field.Required(p.Child("resources"), ""))
	}
	return append(errs, oneOfPtr(p.Child("scope"), r.Scope, admissionv1.AllScopes, admissionv1.ClusterScope, admissionv1.NamespacedScope)...)
}

// ValidatingAdmissionPolicy checks a policy; its expressions are not compiled.
func ValidatingAdmissionPolicy(v *admissionv1.ValidatingAdmissionPolicy) field.ErrorList {
	s, p := &v.Spec, spec()
	errs := matchConstraints(p.Child("matchConstraints"), s.MatchConstraints)
	if len(s.Validations) == 0 && len(s.AuditAnnotations) == 0 {
		errs = append(errs, field.Required(p.Child("validations"), "validations or auditAnnotations must be non-empty"),
			field.Required(p.Child("auditAnnotations"), "validations or auditAnnotations must be non-empty"))
	}
	for i, rule := range s.Validations {
		errs = append(errs, required(p.Child("validations").Index(i).Child("expression"), rule.Expression)...)
	}
	return append(errs, oneOfPtr(p.Child("failurePolicy"), s.FailurePolicy, admissionv1.Fail, admissionv1.Ignore)...)
}

// MutatingAdmissionPolicy checks a policy; its expressions are not compiled.
func MutatingAdmissionPolicy(m *admissionv1.MutatingAdmissionPolicy) field.ErrorList {
	s, p := &m.Spec, spec()
	errs := matchConstraints(p.Child("matchConstraints"), s.MatchConstraints)
	if len(s.Mutations) == 0 {
		errs = append(errs, field.Required(p.Child("mutations"), "mutations must contain at least one item"))
	}
	return append(errs, oneOfPtr(p.Child("failurePolicy"), s.FailurePolicy, admissionv1.Fail, admissionv1.Ignore)...)
}

func matchConstraints(p *field.Path, m *admissionv1.MatchResources) errors {
	if m == nil {
		return errors{field.Required(p, "")}
	}
	var errs errors
	if len(m.ResourceRules) == 0 {
		errs = append(errs, field.Required(p.Child("resourceRules"), ""))
	}
	for i, r := range m.ResourceRules {
		errs = append(errs, rule(p.Child("resourceRules").Index(i), r.RuleWithOperations)...)
	}
	errs = append(errs, labelSelector(p.Child("namespaceSelector"), m.NamespaceSelector)...)
	return append(errs, labelSelector(p.Child("objectSelector"), m.ObjectSelector)...)
}

// ValidatingAdmissionPolicyBinding checks a policy binding.
func ValidatingAdmissionPolicyBinding(b *admissionv1.ValidatingAdmissionPolicyBinding) field.ErrorList {
	p := spec()
	errs := required(p.Child("policyName"), b.Spec.PolicyName)
	if len(b.Spec.ValidationActions) == 0 {
		errs = append(errs, field.Required(p.Child("validationActions"), ""))
	}
	for i, a := range b.Spec.ValidationActions {
		errs = append(errs, oneOf(p.Child("validationActions").Index(i), a, admissionv1.Audit, admissionv1.Deny, admissionv1.Warn)...)
	}
	return errs
}

// MutatingAdmissionPolicyBinding checks a policy binding.
func MutatingAdmissionPolicyBinding(b *admissionv1.MutatingAdmissionPolicyBinding) field.ErrorList {
	return required(spec().Child("policyName"), b.Spec.PolicyName)
}
