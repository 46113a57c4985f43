package kind

import (
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/seed38700745/pkg/cluster/kind/table"
)

func serviceAccount() *Kind {
	k := defineNamespaced[corev1.ServiceAccount, corev1.ServiceAccountList](
		corev1.SchemeGroupVersion, "ServiceAccount", "serviceaccounts", "sa")
	k.Acted = true
	k.More = []Subresource{{"token", authenticationv1.SchemeGroupVersion.WithKind("TokenRequest"), []string{"create"}}}
	k.Columns, k.Row = table.ServiceAccountColumns(), row(table.ServiceAccountRow)
	return k
}
