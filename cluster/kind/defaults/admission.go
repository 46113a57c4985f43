package defaults

import (
	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	webhookTimeoutSeconds = 10
	webhookPort           = 443
)

// MutatingWebhookConfiguration defaults each of its webhooks.
func MutatingWebhookConfiguration(c *admissionv1.MutatingWebhookConfiguration) {
	for i := range c.Webhooks {
		w := &c.Webhooks[i]
		setPtr(&w.FailurePolicy, admissionv1.Fail)
		setPtr(&w.MatchPolicy, admissionv1.Equivalent)
		setPtr(&w.NamespaceSelector, metav1.LabelSelector{})
		setPtr(&w.ObjectSelector, metav1.LabelSelector{})
		setPtr(&w.TimeoutSeconds, webhookTimeoutSeconds)
		setPtr(&w.ReinvocationPolicy, admissionv1.NeverReinvocationPolicy)
		webhookClient(&w.ClientConfig)
		for j := range w.Rules {
			setPtr(&w.Rules[j].Scope, admissionv1.AllScopes)
		}
	}
}

// ValidatingWebhookConfiguration defaults each of its webhooks.
func ValidatingWebhookConfiguration(c *admissionv1.ValidatingWebhookConfiguration) {
	for i := range c.Webhooks {
		w := &c.Webhooks[i]
		setPtr(&w.FailurePolicy, admissionv1.Fail)
		setPtr(&w.MatchPolicy, admissionv1.Equivalent)
		setPtr(&w.NamespaceSelector, metav1.LabelSelector{})
		setPtr(&w.ObjectSelector, metav1.LabelSelector{})
		setPtr(&w.TimeoutSeconds, webhookTimeoutSeconds)
		webhookClient(&w.ClientConfig)
		for j := range w.Rules {
			setPtr(&w.Rules[j].Scope, admissionv1.AllScopes)
		}
	}
}

func webhookClient(c *admissionv1.WebhookClientConfig) {
	if c.Service != nil {
		setPtr(&c.Service.Port, webhookPort)
	}
}

// ValidatingAdmissionPolicy defaults what a policy does on errors and what it
// matches.
func ValidatingAdmissionPolicy(p *admissionv1.ValidatingAdmissionPolicy) {
	setPtr(&p.Spec.FailurePolicy, admissionv1.Fail)
	matchResources(p.Spec.MatchConstraints)
}

// ValidatingAdmissionPolicyBinding defaults what a binding matches.
func ValidatingAdmissionPolicyBinding(b *admissionv1.ValidatingAdmissionPolicyBinding) {
	matchResources(b.Spec.MatchResources)
}

// MutatingAdmissionPolicy defaults what a policy does on errors and what it
// matches.
func MutatingAdmissionPolicy(p *admissionv1.MutatingAdmissionPolicy) {
	setPtr(&p.Spec.FailurePolicy, admissionv1.Fail)
	matchResources(p.Spec.MatchConstraints)
}

// MutatingAdmissionPolicyBinding defaults what a binding matches.
func MutatingAdmissionPolicyBinding(b *admissionv1.MutatingAdmissionPolicyBinding) {
	matchResources(b.Spec.MatchResources)
}

func matchResources(m *admissionv1.MatchResources) {
	if m == nil {
		return
	}
	setPtr(&m.MatchPolicy, admissionv1.Equivalent)
	setPtr(&m.NamespaceSelector, metav1.LabelSelector{})
	setPtr(&m.ObjectSelector, metav1.LabelSelector{})
	for i := range m.ResourceRules {
		setPtr(&m.ResourceRules[i].Scope, admissionv1.AllScopes)
	}
	for i := range m.ExcludeResourceRules {
		setPtr(&m.ExcludeResourceRules[i].Scope, admissionv1.AllScopes)
	}
}
