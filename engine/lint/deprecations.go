package lint

import (
	_ "embed"
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

// checkDeprecated words a kind that a Kubernetes version deprecates or no longer has.
func checkDeprecated(apiVersion, kind string, kube engine.KubeVersion) error {
	if apiVersion == "" || kind == "" {
		return nil
	}
	prefix := "\n" + apiVersion + " " + kind + " "
	table := "\n" + deprecations
	i := strings.Index(table, prefix)
	if i < 0 {
		return nil
	}
	line, _, _ := strings.Cut(table[i+len(prefix):], "\n")
	fields := strings.Fields(line)
	if !reached(kube, fields[0]) {
		return nil
	}
	text := fmt.Sprintf("%s %s is deprecated in v%s+", apiVersion, kind, fields[0])
	if fields[1] != "-" && fields[1] != "0.0" {
		text += fmt.Sprintf(", unavailable in v%s+", fields[1])
	}
	if len(fields) > 3 {
		text += fmt.Sprintf("; use %s %s", fields[2], fields[3])
	}
	return fmt.Errorf("%s", text)
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
