package kind

import (
	policyv1 "k8s.io/api/policy/v1"
)

func podDisruptionBudget() *Kind {
	k := defineNamespaced[policyv1.PodDisruptionBudget, policyv1.PodDisruptionBudgetList](
		policyv1.SchemeGroupVersion, "PodDisruptionBudget", "poddisruptionbudgets", "pdb")
	k.Generation = true
	status(k, func(to, from *policyv1.PodDisruptionBudget) { to.Status = from.Status })
	return k
}
