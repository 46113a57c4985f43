package engine

import (
	"bytes"
	"fmt"
	"strings"
	"text/template"

	"github.com/seed38700745/pkg/engine/funcs"
)

// maxReleaseName leaves room in 63 characters for what charts append (Helm's rule).
const maxReleaseName = 53

// releaseName is the pattern of release names, for messages; isReleaseName knows it.
const releaseName = `^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`

// isReleaseName reports whether a name is made of labels with dots between: of letters,
// digits and, inside, hyphens.
func isReleaseName(name string) bool {
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := range len(label) {
			if c := label[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
				return false
			}
		}
	}
	return true
}

// CheckReleaseName reports why a release cannot have this name, in Helm's words.
func CheckReleaseName(name string) error {
	if name == "" {
		return fmt.Errorf("release name %q: no name provided", name)
	}
	if len(name) > maxReleaseName || !isReleaseName(name) {
		return fmt.Errorf("release name %q: invalid release name, must match regex %s and the length must not be longer than %d", name, releaseName, maxReleaseName)
	}
	return nil
}

// ReleaseName renders a --name-template, which has sprig's functions and no data.
func ReleaseName(text string) (string, error) {
	t, err := template.New("name-template").Funcs(funcMap(funcs.Lookup, "")).Parse(text)
	if err != nil {
		return "", err
	}
	var out bytes.Buffer
	if err := t.Execute(&out, nil); err != nil {
		return "", err
	}
	return out.String(), nil
}
