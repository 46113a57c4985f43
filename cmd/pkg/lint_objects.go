//go:build !front

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/seed38700745/pkg/cmd/internal/objectlint"
	"github.com/seed38700745/pkg/engine"
	"github.com/seed38700745/pkg/engine/lint"
)

// objectLinter checks rendered objects with pkgd, which knows the kinds. It is nil
// when only Helm's rules count; where pkgd is missing, one line says so.
func (a *app) objectLinter(helmOnly bool) func(context.Context, []engine.Manifest, []string) ([]lint.ObjectFinding, error) {
	if helmOnly || a.asHelm {
		return nil
	}
	path, err := program("pkgd")
	if err != nil {
		fmt.Fprintf(a.Err, "only Helm's rules are checked: %v\n", err)
		return nil
	}
	return func(ctx context.Context, documents []engine.Manifest, definitions []string) ([]lint.ObjectFinding, error) {
		return lintObjects(ctx, path, a.namespace(), documents, definitions)
	}
}

// lintObjects asks the program at path, as package objectlint says.
func lintObjects(ctx context.Context, path, namespace string, documents []engine.Manifest, definitions []string) ([]lint.ObjectFinding, error) {
	request := objectlint.Request{Namespace: namespace}
	var index []int // of the documents that are in the request
	for i, m := range documents {
		data, err := yaml.YAMLToJSON([]byte(m.Content))
		if err != nil || string(data) == "null" { // the former is Helm's to report
			continue
		}
		request.Documents = append(request.Documents, data)
		index = append(index, i)
	}
	if len(index) == 0 {
		return nil, nil
	}
	for _, text := range definitions {
		if data, err := yaml.YAMLToJSON([]byte(text)); err == nil {
			request.Definitions = append(request.Definitions, data)
		}
	}
	in, err := json.Marshal(request)
	if err != nil {
		return nil, err
	}
	var talk bytes.Buffer
	c := exec.CommandContext(ctx, path, objectlint.Command)
	c.Stdin, c.Stderr = bytes.NewReader(in), &talk
	out, err := c.Output()
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w: %s", path, objectlint.Command, err, strings.TrimSpace(talk.String()))
	}
	var response objectlint.Response
	if err := json.Unmarshal(out, &response); err != nil {
		return nil, fmt.Errorf("%s %s: %w", path, objectlint.Command, err)
	}
	var findings []lint.ObjectFinding
	for _, f := range response.Findings {
		severity, err := lint.ParseSeverity(f.Severity)
		if err != nil || f.Document < 0 || f.Document >= len(index) {
			return nil, fmt.Errorf("%s %s: strange answer %+v", path, objectlint.Command, f)
		}
		findings = append(findings, lint.ObjectFinding{
			Document: index[f.Document], Field: f.Field, Severity: severity, Message: f.Message,
		})
	}
	return findings, nil
}
