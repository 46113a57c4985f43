// Package chartutil holds the types that templates see by name: `typeOf .Values`
// prints "chartutil.Values" in Helm, charts compare with it, and error messages
// quote it. That is the only reason for this package's name.
package chartutil

// Values is the type of .Values and of a template's dot.
type Values map[string]any

// Capabilities is what a chart can ask about the cluster and about Helm.
type Capabilities struct {
	KubeVersion KubeVersion
	APIVersions VersionSet
	HelmVersion BuildInfo
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
