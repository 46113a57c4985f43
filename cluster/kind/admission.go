package kind

import (
	admissionv1 "k8s.io/api/admissionregistration/v1"

	"github.com/seed38700745/pkg/cluster/kind/defaults"
	"github.com/seed38700745/pkg/cluster/kind/table"
	"github.com/seed38700745/pkg/cluster/kind/validate"
)

func mutatingWebhookConfiguration() *Kind {
	k := define[admissionv1.MutatingWebhookConfiguration, admissionv1.MutatingWebhookConfigurationList](
		admissionv1.SchemeGroupVersion, "MutatingWebhookConfiguration", "mutatingwebhookconfigurations")
	k.Categories = []string{"api-extensions"}
	k.Generation = true
	k.Default = on(defaults.MutatingWebhookConfiguration)
	k.Columns, k.Row = table.WebhookColumns(), row(table.MutatingWebhookConfigurationRow)
	k.Validate = check(validate.MutatingWebhookConfiguration)
	return k
}

func validatingWebhookConfiguration() *Kind {
	k := define[admissionv1.ValidatingWebhookConfiguration, admissionv1.ValidatingWebhookConfigurationList](
		admissionv1.SchemeGroupVersion, "ValidatingWebhookConfiguration", "validatingwebhookconfigurations")
	k.Categories = []string{"api-extensions"}
	k.Generation = true
	k.Default = on(defaults.ValidatingWebhookConfiguration)
	k.Columns, k.Row = table.WebhookColumns(), row(table.ValidatingWebhookConfigurationRow)
	k.Validate = check(validate.ValidatingWebhookConfiguration)
	return k
}

func validatingAdmissionPolicy() *Kind {
	k := define[admissionv1.ValidatingAdmissionPolicy, admissionv1.ValidatingAdmissionPolicyList](
		admissionv1.SchemeGroupVersion, "ValidatingAdmissionPolicy", "validatingadmissionpolicies")
	k.Categories = []string{"api-extensions"}
	k.Generation = true
	status(k, func(to, from *admissionv1.ValidatingAdmissionPolicy) { to.Status = from.Status })
	k.Default = on(defaults.ValidatingAdmissionPolicy)
	k.Columns, k.Row = table.ValidatingAdmissionPolicyColumns(), row(table.ValidatingAdmissionPolicyRow)
	k.Validate = check(validate.ValidatingAdmissionPolicy)
	return k
}

func validatingAdmissionPolicyBinding() *Kind {
	k := define[admissionv1.ValidatingAdmissionPolicyBinding, admissionv1.ValidatingAdmissionPolicyBindingList](
		admissionv1.SchemeGroupVersion, "ValidatingAdmissionPolicyBinding", "validatingadmissionpolicybindings")
	k.Categories = []string{"api-extensions"}
	k.Generation = true
	k.Default = on(defaults.ValidatingAdmissionPolicyBinding)
	k.Columns, k.Row = table.PolicyBindingColumns(), row(table.ValidatingAdmissionPolicyBindingRow)
	k.Validate = check(validate.ValidatingAdmissionPolicyBinding)
	return k
}

func mutatingAdmissionPolicy() *Kind {
	k := define[admissionv1.MutatingAdmissionPolicy, admissionv1.MutatingAdmissionPolicyList](
		admissionv1.SchemeGroupVersion, "MutatingAdmissionPolicy", "mutatingadmissionpolicies")
	k.Categories = []string{"api-extensions"}
	k.Generation = true
	k.Default = on(defaults.MutatingAdmissionPolicy)
	k.Columns, k.Row = table.MutatingAdmissionPolicyColumns(), row(table.MutatingAdmissionPolicyRow)
	k.Validate = check(validate.MutatingAdmissionPolicy)
	return k
}

func mutatingAdmissionPolicyBinding() *Kind {
	k := define[admissionv1.MutatingAdmissionPolicyBinding, admissionv1.MutatingAdmissionPolicyBindingList](
		admissionv1.SchemeGroupVersion, "MutatingAdmissionPolicyBinding", "mutatingadmissionpolicybindings")
	k.Categories = []string{"api-extensions"}
	k.Generation = true
	k.Default = on(defaults.MutatingAdmissionPolicyBinding)
	k.Columns, k.Row = table.PolicyBindingColumns(), row(table.MutatingAdmissionPolicyBindingRow)
	k.Validate = check(validate.MutatingAdmissionPolicyBinding)
	return k
}
