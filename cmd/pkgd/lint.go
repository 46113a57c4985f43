package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	"github.com/seed38700745/pkg/cluster/api/crd"
	"github.com/seed38700745/pkg/cluster/kind/manifest"
	"github.com/seed38700745/pkg/cmd/internal/objectlint"
)

// lintObjects checks objects as the cluster would, for `pkg lint`, which is too
// light to know the kinds itself.
func lintObjects(in io.Reader, out io.Writer) error {
	var request objectlint.Request
	if err := json.NewDecoder(in).Decode(&request); err != nil {
		return fmt.Errorf("request on stdin: %w", err)
	}
	response := objectlint.Response{Findings: []objectlint.Finding{}}
	for _, f := range manifest.Check(request.Documents, request.Namespace, chartDefinitions(request)) {
		response.Findings = append(response.Findings, objectlint.Finding{
			Document: f.Document, Field: f.Path, Severity: string(f.Severity), Message: f.Message,
		})
	}
	return json.NewEncoder(out).Encode(response)
}

// chartDefinitions reads the definitions of custom resources that a request has anywhere.
// What is none is left to the check of objects.
func chartDefinitions(r objectlint.Request) *crd.Definitions {
	var all []*apiextensionsv1.CustomResourceDefinition
	for _, doc := range slices.Concat(r.Definitions, r.Documents) {
		d := &apiextensionsv1.CustomResourceDefinition{}
		if json.Unmarshal(doc, d) == nil && d.Kind == "CustomResourceDefinition" && d.APIVersion == apiextensionsv1.SchemeGroupVersion.String() {
			all = append(all, d)
		}
	}
	return crd.NewDefinitions(all)
}
