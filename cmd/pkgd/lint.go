package main

import (
	"encoding/json"
	"fmt"
	"io"

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
	for _, f := range manifest.Check(request.Documents, request.Namespace) {
		response.Findings = append(response.Findings, objectlint.Finding{
			Document: f.Document, Field: f.Path, Severity: string(f.Severity), Message: f.Message,
		})
	}
	return json.NewEncoder(out).Encode(response)
}
