package kind

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/seed38700745/pkg/cluster/kind/defaults"
	"github.com/seed38700745/pkg/cluster/kind/table"
	"github.com/seed38700745/pkg/cluster/kind/validate"
)

func limitRange() *Kind {
	k := defineNamespaced[corev1.LimitRange, corev1.LimitRangeList](corev1.SchemeGroupVersion, "LimitRange", "limitranges", "limits")
	k.Default = on(defaults.LimitRange)
	k.Acted = true
	k.Columns, k.Row = createdTable()
	k.Validate = check(validate.LimitRange)
	return k
}

func resourceQuota() *Kind {
	k := defineNamespaced[corev1.ResourceQuota, corev1.ResourceQuotaList](
		corev1.SchemeGroupVersion, "ResourceQuota", "resourcequotas", "quota")
	status(k, func(to, from *corev1.ResourceQuota) { to.Status = from.Status })
	k.Default = on(defaults.ResourceQuota)
	k.Acted = true
	k.Columns, k.Row = table.ResourceQuotaColumns(), row(table.ResourceQuotaRow)
	k.Validate = check(validate.ResourceQuota)
	k.ValidateUpdate = checkBoth(validate.ResourceQuotaUpdate)
	return k
}
