package kind

import (
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/seed38700745/pkg/cluster/kind/defaults"
	"github.com/seed38700745/pkg/cluster/kind/table"
	"github.com/seed38700745/pkg/cluster/kind/validate"
)

func networkPolicy() *Kind {
	k := defineNamespaced[networkingv1.NetworkPolicy, networkingv1.NetworkPolicyList](
		networkingv1.SchemeGroupVersion, "NetworkPolicy", "networkpolicies", "netpol")
	k.Generation = true
	k.Default = on(defaults.NetworkPolicy)
	k.Columns, k.Row = table.NetworkPolicyColumns(), row(table.NetworkPolicyRow)
	k.Validate = check(validate.NetworkPolicy)
	return k
}
