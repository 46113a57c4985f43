package kind

import (
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/seed38700745/pkg/cluster/kind/defaults"
	"github.com/seed38700745/pkg/cluster/kind/table"
	"github.com/seed38700745/pkg/cluster/kind/validate"
)

func ingress() *Kind {
	k := defineNamespaced[networkingv1.Ingress, networkingv1.IngressList](networkingv1.SchemeGroupVersion, "Ingress", "ingresses", "ing")
	k.Generation = true
	status(k, func(to, from *networkingv1.Ingress) { to.Status = from.Status })
	k.Columns, k.Row = table.IngressColumns(), row(table.IngressRow)
	k.Validate = check(validate.Ingress)
	k.Warnings = warn(validate.IngressWarnings)
	return k
}

func ingressClass() *Kind {
	k := define[networkingv1.IngressClass, networkingv1.IngressClassList](
		networkingv1.SchemeGroupVersion, "IngressClass", "ingressclasses")
	k.Generation = true
	k.Default = on(defaults.IngressClass)
	k.Columns, k.Row = table.IngressClassColumns(), row(table.IngressClassRow)
	k.Validate = check(validate.IngressClass)
	k.ValidateUpdate = checkBoth(validate.IngressClassUpdate)
	return k
}
