package lint

import (
	_ "embed"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/seed38700745/pkg/engine"
)

// deprecations lists API kinds with the Kubernetes version that deprecates them, the
// one that removes them or "-", and what replaces them if anything does: taken from
// the prerelease lifecycle of k8s.io/api v0.37.0, which helm lint and the API server
// warn by.
//
//go:embed deprecations.txt
var deprecations string

// deprecation is one line of the table.
type deprecation struct {
	since     string // "1.21"
	removed   string // "1.25", or "" when nothing is planned
	successor string // "policy/v1 PodDisruptionBudget", or ""
}

// findDeprecation looks a kind up.
func findDeprecation(apiVersion, kind string) (deprecation, bool) {
	if apiVersion == "" || kind == "" {
		return deprecation{}, false
	}
	prefix := "\n" + apiVersion + " " + kind + " "
	table := "\n" + deprecations
	i := strings.Index(table, prefix)
	if i < 0 {
		return deprecation{}, false
	}
	line, _, _ := strings.Cut(table[i+len(prefix):], "\n")
	fields := strings.Fields(line)
	d := deprecation{since: fields[0]}
	if fields[1] != "-" && fields[1] != "0.0" {
		d.removed = fields[1]
	}
	if len(fields) > 3 {
		d.successor = fields[2] + " " + fields[3]
	}
	return d, true
}

// removedIn reports whether a Kubernetes version no longer has the kind.
func (d deprecation) removedIn(kube engine.KubeVersion) bool {
	return d.removed != "" && reached(kube, d.removed)
}

// checkDeprecated words a kind that a Kubernetes version deprecates or no longer has.
func checkDeprecated(apiVersion, kind string, kube engine.KubeVersion) error {
	d, ok := findDeprecation(apiVersion, kind)
	if !ok || !reached(kube, d.since) {
		return nil
	}
	text := fmt.Sprintf("%s %s is deprecated in v%s+", apiVersion, kind, d.since)
	if d.removed != "" {
		text += fmt.Sprintf(", unavailable in v%s+", d.removed)
	}
	if d.successor != "" {
		text += "; use " + d.successor
	}
	return errors.New(text)
}

// reached reports whether kube is at or after a "major.minor".
func reached(kube engine.KubeVersion, version string) bool {
	wantMajor, wantMinor, _ := strings.Cut(version, ".")
	have, want := [2]int{}, [2]int{}
	for i, pair := range [][2]string{{kube.Major, wantMajor}, {kube.Minor, wantMinor}} {
		have[i], _ = strconv.Atoi(pair[0]) // digits only, by how both were made
		want[i], _ = strconv.Atoi(pair[1])
	}
	return have[0] > want[0] || have[0] == want[0] && have[1] >= want[1]
}
