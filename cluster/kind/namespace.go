package kind

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/validation"

	"github.com/seed38700745/pkg/cluster/kind/defaults"
	"github.com/seed38700745/pkg/cluster/kind/table"
	"github.com/seed38700745/pkg/cluster/kind/validate"
)

func namespace() *Kind {
	k := define[corev1.Namespace, corev1.NamespaceList](corev1.SchemeGroupVersion, "Namespace", "namespaces", "ns")
	k.Acted = true
	status(k, func(to, from *corev1.Namespace) { to.Status = from.Status })
	k.More = []Subresource{{"finalize", k.GVK, []string{"update"}}}
	selectable(k, []string{"status.phase"}, func(n *corev1.Namespace) []string { return []string{string(n.Status.Phase)} })
	k.Default = on(defaults.Namespace)
	k.PrepareCreate = on(prepareNamespace)
	k.PrepareUpdate = onBoth(func(n, old *corev1.Namespace) { n.Spec.Finalizers = slices.Clone(old.Spec.Finalizers) })
	k.ValidateName = validation.NameIsDNSLabel
	k.Columns, k.Row = table.NamespaceColumns(), row(table.NamespaceRow)
	k.Validate = check(validate.Namespace)
	return k
}

// prepareNamespace makes a new namespace wait, when it is deleted, for what is
// in it. Its labels are defaulted once more because a generated name is known
// only now.
func prepareNamespace(n *corev1.Namespace) {
	n.Status = corev1.NamespaceStatus{Phase: corev1.NamespaceActive}
	if !slices.Contains(n.Spec.Finalizers, corev1.FinalizerKubernetes) {
		n.Spec.Finalizers = append(n.Spec.Finalizers, corev1.FinalizerKubernetes)
	}
	defaults.Namespace(n)
}
