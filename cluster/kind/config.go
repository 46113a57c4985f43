package kind

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/seed38700745/pkg/cluster/kind/defaults"
	"github.com/seed38700745/pkg/cluster/kind/table"
	"github.com/seed38700745/pkg/cluster/kind/validate"
)

func configMap() *Kind {
	k := defineNamespaced[corev1.ConfigMap, corev1.ConfigMapList](corev1.SchemeGroupVersion, "ConfigMap", "configmaps", "cm")
	k.Acted = true
	k.Columns, k.Row = table.ConfigMapColumns(), row(table.ConfigMapRow)
	k.Validate = check(validate.ConfigMap)
	k.ValidateUpdate = checkBoth(validate.ConfigMapUpdate)
	return k
}

func secret() *Kind {
	k := defineNamespaced[corev1.Secret, corev1.SecretList](corev1.SchemeGroupVersion, "Secret", "secrets")
	k.Acted = true
	selectable(k, []string{"type"}, func(s *corev1.Secret) []string { return []string{string(s.Type)} })
	k.Default = on(defaults.Secret)
	k.Columns, k.Row = table.SecretColumns(), row(table.SecretRow)
	k.Validate = check(validate.Secret)
	k.ValidateUpdate = checkBoth(validate.SecretUpdate)
	return k
}
