// Package chartutil holds the types that templates see by name: `typeOf .Values`
// prints "chartutil.Values" in Helm, charts compare with it, and error messages
// quote it. That is the only reason for this package's name.
package chartutil

import (
	"fmt"
	"io"

	"sigs.k8s.io/yaml"

	"github.com/seed38700745/pkg/chart"
)

// Values is the type of .Values and of a template's dot. Its methods are Helm's:
// charts generated from Go call them.
type Values map[string]any

// YAML returns the values as YAML.
func (v Values) YAML() (string, error) {
	data, err := yaml.Marshal(v)
	return string(data), err
}

// Encode writes the values as YAML.
func (v Values) Encode(w io.Writer) error {
	data, err := yaml.Marshal(v)
	if err != nil {
		return err
	}
	_, err = w.Write(data)
	return err
}

// AsMap returns the values as a plain map, never nil.
func (v Values) AsMap() map[string]any {
	if len(v) == 0 {
		return map[string]any{}
	}
	return v
}

// Table returns the table at a dotted path.
func (v Values) Table(path string) (Values, error) {
	table, ok := chart.Table(v, path)
	if !ok {
		return nil, fmt.Errorf("%q is not a table", path)
	}
	return table, nil
}

// PathValue returns the value at a dotted path that is not a table.
func (v Values) PathValue(path string) (any, error) {
	value, ok := chart.PathValue(v, path)
	if !ok {
		return nil, fmt.Errorf("%q is not a value", path)
	}
	return value, nil
}

// Capabilities is what a chart can ask about the cluster and about Helm.
type Capabilities struct {
	KubeVersion KubeVersion
	APIVersions VersionSet
	HelmVersion BuildInfo
}

// Copy returns an independent copy but for the list of API versions.
func (c *Capabilities) Copy() *Capabilities {
	out := *c
	return &out
}

// KubeVersion is the version of Kubernetes, "v1.36.0" with its parts.
type KubeVersion struct {
	Version string
	Major   string
	Minor   string
}

// String returns the whole version.
func (v *KubeVersion) String() string { return v.Version }

// GitVersion returns the whole version, under the name that old charts use.
func (v *KubeVersion) GitVersion() string { return v.Version }

// VersionSet is a list of "group/version" and "group/version/Kind".
type VersionSet []string

// Has reports whether the cluster serves an API version or kind.
func (v VersionSet) Has(apiVersion string) bool {
	for _, have := range v {
		if have == apiVersion {
			return true
		}
	}
	return false
}

// BuildInfo describes the Helm whose rendering rules are followed.
type BuildInfo struct {
	Version      string `json:"version,omitempty"`
	GitCommit    string `json:"git_commit,omitempty"`
	GitTreeState string `json:"git_tree_state,omitempty"`
	GoVersion    string `json:"go_version,omitempty"`
}
