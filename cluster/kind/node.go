package kind

import (
	"strconv"

	corev1 "k8s.io/api/core/v1"

	"github.com/seed38700745/pkg/cluster/kind/defaults"
	"github.com/seed38700745/pkg/cluster/kind/table"
	"github.com/seed38700745/pkg/cluster/kind/validate"
)

func node() *Kind {
	k := define[corev1.Node, corev1.NodeList](corev1.SchemeGroupVersion, "Node", "nodes", "no")
	k.Acted = true
	status(k, func(to, from *corev1.Node) { to.Status = from.Status })
	// Nodes register with the status that they have.
	k.PrepareCreate = nil
	k.More = []Subresource{{"proxy", corev1.SchemeGroupVersion.WithKind("NodeProxyOptions"), proxyVerbs()}}
	selectable(k, []string{"spec.unschedulable"}, func(n *corev1.Node) []string {
		return []string{strconv.FormatBool(n.Spec.Unschedulable)}
	})
	k.Default = on(defaults.Node)
	k.Columns, k.Row = table.NodeColumns(), row(table.NodeRow)
	k.Validate = check(validate.Node)
	k.ValidateUpdate = checkBoth(validate.NodeUpdate)
	return k
}
