package kind

import (
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	"github.com/seed38700745/pkg/cluster/kind/defaults"
)

func customResourceDefinition() *Kind {
	k := define[apiextensionsv1.CustomResourceDefinition, apiextensionsv1.CustomResourceDefinitionList](
		apiextensionsv1.SchemeGroupVersion, "CustomResourceDefinition", "customresourcedefinitions", "crd", "crds")
	k.Categories = []string{"api-extensions"}
	k.Acted = true
	k.Generation = true
	status(k, func(to, from *apiextensionsv1.CustomResourceDefinition) { to.Status = from.Status })
	k.Default = on(defaults.CustomResourceDefinition)
	return k
}
