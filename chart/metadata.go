package chart

import (
	"fmt"
	"path"
	"strings"
	"time"
	"unicode"

	"github.com/seed38700745/pkg/chart/semver"
)

// Metadata is Chart.yaml. The fields, their order and their JSON are Helm's.
type Metadata struct {
	Name         string            `json:"name,omitempty"`
	Home         string            `json:"home,omitempty"` // URL
	Sources      []string          `json:"sources,omitempty"`
	Version      string            `json:"version,omitempty"` // semantic version
	Description  string            `json:"description,omitempty"`
	Keywords     []string          `json:"keywords,omitempty"`
	Maintainers  []*Maintainer     `json:"maintainers,omitempty"`
	Icon         string            `json:"icon,omitempty"` // URL
	APIVersion   string            `json:"apiVersion,omitempty"`
	Condition    string            `json:"condition,omitempty"` // not used by Helm 3
	Tags         string            `json:"tags,omitempty"`      // not used by Helm 3
	AppVersion   string            `json:"appVersion,omitempty"`
	Deprecated   bool              `json:"deprecated,omitempty"`
	Annotations  map[string]string `json:"annotations,omitempty"`
	KubeVersion  string            `json:"kubeVersion,omitempty"` // constraint
	Dependencies []*Dependency     `json:"dependencies,omitempty"`
	Type         string            `json:"type,omitempty"` // application (also when empty) or library
}

// Maintainer is one who looks after a chart.
type Maintainer struct {
	Name  string `json:"name,omitempty"`
	Email string `json:"email,omitempty"`
	URL   string `json:"url,omitempty"`
}

// Dependency is a chart that another one requires, or a lock file has found.
type Dependency struct {
	Name         string   `json:"name"`
	Version      string   `json:"version,omitempty"` // constraint; in a lock file a version
	Repository   string   `json:"repository"`        // URL, @NAME or file://FOLDER
	Condition    string   `json:"condition,omitempty"`
	Tags         []string `json:"tags,omitempty"`
	Enabled      bool     `json:"enabled,omitempty"` // what condition and tags say; set by [ProcessDependencies]
	ImportValues []any    `json:"import-values,omitempty"`
	Alias        string   `json:"alias,omitempty"`
}

// Lock is Chart.lock: the versions that were found for the dependencies.
type Lock struct {
	Generated    time.Time     `json:"generated"`
	Digest       string        `json:"digest"` // of what Chart.yaml requires
	Dependencies []*Dependency `json:"dependencies"`
}

// Validate refuses what Helm refuses, in the same order and words (Metadata.Validate of
// Helm 3.22's pkg/chart). As there, white space in texts that are shown becomes plain
// spaces, and what cannot be printed goes: md changes.
func (md *Metadata) Validate() error {
	if md == nil {
		return invalid("chart.metadata is required")
	}
	clean(&md.Name, &md.Description, &md.Home, &md.Icon, &md.Condition, &md.Tags, &md.AppVersion, &md.KubeVersion)
	cleanAll(md.Sources)
	cleanAll(md.Keywords)
	switch {
	case md.APIVersion == "":
		return invalid("chart.metadata.apiVersion is required")
	case md.Name == "":
		return invalid("chart.metadata.name is required")
	case md.Name == "." || md.Name == "..":
		return invalid("chart.metadata.name %q is not allowed", md.Name)
	case md.Name != path.Base(md.Name):
		return invalid("chart.metadata.name %q is invalid", md.Name)
	case md.Version == "":
		return invalid("chart.metadata.version is required")
	case !isVersion(md.Version):
		return invalid("chart.metadata.version %q is invalid", md.Version)
	case md.Type != "" && md.Type != "application" && md.Type != "library":
		return invalid("chart.metadata.type must be application or library")
	}
	for _, m := range md.Maintainers {
		if m == nil {
			return invalid("maintainers must not contain empty or null nodes")
		}
		clean(&m.Name, &m.Email, &m.URL)
	}
	seen := make(map[string]bool, len(md.Dependencies))
	for _, d := range md.Dependencies {
		if err := d.validate(); err != nil {
			return err
		}
		key := d.Name
		if d.Alias != "" {
			key = d.Alias
		}
		if seen[key] {
			return invalid("more than one dependency with name or alias %q", key)
		}
		seen[key] = true
	}
	return nil
}

// validate is [Metadata.Validate] for one dependency. An alias becomes a folder's name
// and a key of values.
func (d *Dependency) validate() error {
	if d == nil {
		return invalid("dependencies must not contain empty or null nodes")
	}
	clean(&d.Name, &d.Version, &d.Repository, &d.Condition)
	cleanAll(d.Tags)
	for i := 0; i < len(d.Alias); i++ {
		c := d.Alias[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-') {
			return invalid("dependency %q has disallowed characters in the alias", d.Name)
		}
	}
	return nil
}

func invalid(format string, args ...any) error {
	return fmt.Errorf("validation: "+format, args...)
}

func isVersion(s string) bool {
	if isRelease(s) {
		return true
	}
	_, err := semver.NewVersion(s)
	return err == nil
}

func cleanAll(texts []string) {
	for i := range texts {
		clean(&texts[i])
	}
}

// clean makes all white space plain spaces and drops what cannot be printed.
func clean(texts ...*string) {
	for _, text := range texts {
		if isPrintableASCII(*text) {
			continue
		}
		*text = strings.Map(func(r rune) rune {
			switch {
			case unicode.IsSpace(r):
				return ' '
			case unicode.IsPrint(r):
				return r
			}
			return -1
		}, *text)
	}
}

func isPrintableASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
