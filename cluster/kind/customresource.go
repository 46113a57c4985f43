package kind

import (
	"slices"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	"github.com/seed38700745/pkg/cluster/kind/defaults"
	"github.com/seed38700745/pkg/cluster/kind/validate"
)

func customResourceDefinition() *Kind {
	k := define[apiextensionsv1.CustomResourceDefinition, apiextensionsv1.CustomResourceDefinitionList](
		apiextensionsv1.SchemeGroupVersion, "CustomResourceDefinition", "customresourcedefinitions", "crd", "crds")
	k.Categories = []string{"api-extensions"}
	k.Acted = true
	k.Generation = true
	status(k, func(to, from *apiextensionsv1.CustomResourceDefinition) {
		to.Status = from.Status
		addStoredVersion(to)
	})
	k.Default = on(defaults.CustomResourceDefinition)
	k.Columns, k.Row = createdTable()
	k.Validate = check(validate.CustomResourceDefinition)
	k.ValidateUpdate = checkBoth(validate.CustomResourceDefinitionUpdate)
	return k
}

// addStoredVersion notes that objects may be stored in the version that is the
// storage version now, whatever a status update says.
func addStoredVersion(c *apiextensionsv1.CustomResourceDefinition) {
	for _, v := range c.Spec.Versions {
		if v.Storage && !slices.Contains(c.Status.StoredVersions, v.Name) {
			c.Status.StoredVersions = append(slices.Clone(c.Status.StoredVersions), v.Name)
		}
	}
}
