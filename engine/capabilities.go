package engine

import (
	_ "embed"
	"strings"

	"github.com/seed38700745/pkg/engine/internal/chartutil"
)

// What a chart sees as .Capabilities.
type (
	Capabilities = chartutil.Capabilities
	KubeVersion  = chartutil.KubeVersion
	VersionSet   = chartutil.VersionSet
	BuildInfo    = chartutil.BuildInfo
)

// The Helm release whose rendering this package reproduces, as a helm built from
// its module describes itself to templates.
const (
	HelmVersion   = "v3.22"
	helmGoVersion = "go1.26.8"
)

// defaultKubeVersion is the Kubernetes of HelmVersion's client libraries, which is
// what helm assumes when it renders without a cluster.
const defaultKubeVersion = "v1.37.0"

// apiVersions lists the group versions that Helm v3.22.0 knows without a cluster:
// those registered in k8s.io/client-go/kubernetes/scheme v0.37.0, with
// apiextensions.k8s.io, in the order of the scheme.
//
//go:embed apiversions.txt
var apiVersions string

// DefaultCapabilities are those of `helm template` without a cluster.
func DefaultCapabilities() *Capabilities {
	kube, err := ParseKubeVersion(defaultKubeVersion)
	if err != nil {
		panic("engine: " + defaultKubeVersion + ": " + err.Error()) // a constant that does not parse
	}
	return &Capabilities{
		KubeVersion: kube,
		APIVersions: strings.Fields(apiVersions),
		HelmVersion: BuildInfo{Version: HelmVersion, GoVersion: helmGoVersion},
	}
}
