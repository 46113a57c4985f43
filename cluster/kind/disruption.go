package kind

import (
	policyv1 "k8s.io/api/policy/v1"

	"github.com/seed38700745/pkg/cluster/kind/table"
	"github.com/seed38700745/pkg/cluster/kind/validate"
)

func podDisruptionBudget() *Kind {
	k := defineNamespaced[policyv1.PodDisruptionBudget, policyv1.PodDisruptionBudgetList](
		policyv1.SchemeGroupVersion, "PodDisruptionBudget", "poddisruptionbudgets", "pdb")
	k.Acted = true
	k.Generation = true
	status(k, func(to, from *policyv1.PodDisruptionBudget) { to.Status = from.Status })
	k.Columns, k.Row = table.PodDisruptionBudgetColumns(), row(table.PodDisruptionBudgetRow)
	k.Validate = check(validate.PodDisruptionBudget)
	return k
}
