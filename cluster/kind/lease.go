package kind

import (
	coordinationv1 "k8s.io/api/coordination/v1"
)

func lease() *Kind {
	k := defineNamespaced[coordinationv1.Lease, coordinationv1.LeaseList](coordinationv1.SchemeGroupVersion, "Lease", "leases")
	k.Acted = true
	k.Volatile = true
	return k
}
