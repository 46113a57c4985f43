package kind

import (
	coordinationv1 "k8s.io/api/coordination/v1"

	"github.com/seed38700745/pkg/cluster/kind/table"
	"github.com/seed38700745/pkg/cluster/kind/validate"
)

func lease() *Kind {
	k := defineNamespaced[coordinationv1.Lease, coordinationv1.LeaseList](coordinationv1.SchemeGroupVersion, "Lease", "leases")
	k.Acted = true
	k.Volatile = true
	k.Columns, k.Row = table.LeaseColumns(), row(table.LeaseRow)
	k.Validate = check(validate.Lease)
	return k
}
