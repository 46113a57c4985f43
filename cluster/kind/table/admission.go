package table

import (
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
)

// WebhookColumns are the columns of both kinds of webhook configurations.
func WebhookColumns() Columns {
	return Columns{
		nameColumn(),
		integer("Webhooks", "Webhooks indicates the number of webhooks registered in this configuration"),
		ageColumn(),
	}
}

// MutatingWebhookConfigurationRow shows a webhook configuration.
func MutatingWebhookConfigurationRow(c *admissionv1.MutatingWebhookConfiguration, now time.Time) []any {
	return []any{c.Name, int64(len(c.Webhooks)), age(c.CreationTimestamp, now)}
}

// ValidatingWebhookConfigurationRow shows a webhook configuration.
func ValidatingWebhookConfigurationRow(c *admissionv1.ValidatingWebhookConfiguration, now time.Time) []any {
	return []any{c.Name, int64(len(c.Webhooks)), age(c.CreationTimestamp, now)}
}

func paramKindColumn() column {
	return text("ParamKind", "ParamKind specifies the kind of resources used to parameterize this policy")
}

// ValidatingAdmissionPolicyColumns are the columns of validating policies.
func ValidatingAdmissionPolicyColumns() Columns {
	return Columns{
		nameColumn(),
		integer("Validations", "Validations indicates the number of validation rules defined in this configuration"),
		paramKindColumn(),
		ageColumn(),
	}
}

// ValidatingAdmissionPolicyRow shows a validating policy.
func ValidatingAdmissionPolicyRow(p *admissionv1.ValidatingAdmissionPolicy, now time.Time) []any {
	return []any{p.Name, int64(len(p.Spec.Validations)), paramKind(p.Spec.ParamKind), age(p.CreationTimestamp, now)}
}

// MutatingAdmissionPolicyColumns are the columns of mutating policies.
func MutatingAdmissionPolicyColumns() Columns {
	return Columns{
		nameColumn(),
		integer("Mutations", "Mutation indicates the number of mutations rules defined in this configuration"),
		paramKindColumn(),
		ageColumn(),
	}
}

// MutatingAdmissionPolicyRow shows a mutating policy.
func MutatingAdmissionPolicyRow(p *admissionv1.MutatingAdmissionPolicy, now time.Time) []any {
	return []any{p.Name, int64(len(p.Spec.Mutations)), paramKind(p.Spec.ParamKind), age(p.CreationTimestamp, now)}
}

func paramKind(k *admissionv1.ParamKind) string {
	if k == nil {
		return unset
	}
	return k.APIVersion + "/" + k.Kind
}

// PolicyBindingColumns are the columns of both kinds of policy bindings.
func PolicyBindingColumns() Columns {
	return Columns{
		nameColumn(),
		text("PolicyName", "PolicyName indicates the policy definition which the policy binding binded to"),
		text("ParamRef", "ParamRef indicates the param resource which sets the configuration param"),
		ageColumn(),
	}
}

// ValidatingAdmissionPolicyBindingRow shows a policy binding.
func ValidatingAdmissionPolicyBindingRow(b *admissionv1.ValidatingAdmissionPolicyBinding, now time.Time) []any {
	return []any{b.Name, b.Spec.PolicyName, paramRef(b.Spec.ParamRef), age(b.CreationTimestamp, now)}
}

// MutatingAdmissionPolicyBindingRow shows a policy binding.
func MutatingAdmissionPolicyBindingRow(b *admissionv1.MutatingAdmissionPolicyBinding, now time.Time) []any {
	return []any{b.Name, b.Spec.PolicyName, paramRef(b.Spec.ParamRef), age(b.CreationTimestamp, now)}
}

func paramRef(r *admissionv1.ParamRef) string {
	if r == nil {
		return unset
	}
	name := or(r.Name, "*")
	if r.Namespace != "" {
		return r.Namespace + "/" + name
	}
	return name
}
