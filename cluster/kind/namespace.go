package kind

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/seed38700745/pkg/cluster/kind/defaults"
)

func namespace() *Kind {
	k := define[corev1.Namespace, corev1.NamespaceList](corev1.SchemeGroupVersion, "Namespace", "namespaces", "ns")
	k.Acted = true
	status(k, func(to, from *corev1.Namespace) { to.Status = from.Status })
	k.More = []Subresource{{"finalize", k.GVK, []string{"update"}}}
	selectable(k, []string{"status.phase"}, func(n *corev1.Namespace) []string { return []string{string(n.Status.Phase)} })
	k.Default = on(defaults.Namespace)
	return k
}
