package kind

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/validation"

	"github.com/seed38700745/pkg/cluster/kind/defaults"
	"github.com/seed38700745/pkg/cluster/kind/table"
	"github.com/seed38700745/pkg/cluster/kind/validate"
)

func service() *Kind {
	k := defineNamespaced[corev1.Service, corev1.ServiceList](corev1.SchemeGroupVersion, "Service", "services", "svc")
	k.Categories = []string{"all"}
	k.Acted = true
	status(k, func(to, from *corev1.Service) { to.Status = from.Status })
	k.More = []Subresource{{"proxy", corev1.SchemeGroupVersion.WithKind("ServiceProxyOptions"), proxyVerbs()}}
	selectable(k, []string{"spec.clusterIP", "spec.type"}, func(s *corev1.Service) []string {
		return []string{s.Spec.ClusterIP, string(s.Spec.Type)}
	})
	k.Default = on(defaults.Service)
	k.PrepareCreate = on(prepareServiceCreate)
	k.PrepareUpdate = onBoth(prepareServiceUpdate)
	k.ValidateName = validation.NameIsDNS1035Label
	k.Columns, k.Row = table.ServiceColumns(), row(table.ServiceRow)
	k.Validate = check(validate.Service)
	k.ValidateUpdate = checkBoth(validate.ServiceUpdate)
	k.Warnings = warn(validate.ServiceWarnings)
	return k
}
