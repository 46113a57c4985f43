package lint

import (
	"errors"
	"fmt"
	"net/mail"
	"net/url"
	"os"
	"path/filepath"

	"sigs.k8s.io/yaml"

	"github.com/seed38700745/pkg/chart"
	"github.com/seed38700745/pkg/chart/semver"
)

// chartfile checks Chart.yaml.
func (l *linter) chartfile() {
	const file = chart.ChartfileName
	data, err := os.ReadFile(filepath.Join(l.in.Dir, file))
	if !l.check(Error, file, err) {
		return
	}
	var md chart.Metadata
	if err := yaml.Unmarshal(data, &md); err != nil {
		l.check(Error, file, fmt.Errorf("unable to parse YAML\n\t%w", err))
		return
	}
	raw := map[string]any{}
	if err := yaml.Unmarshal(data, &raw); err != nil {
		l.check(Error, file, fmt.Errorf("unable to parse YAML\n\t%w", err))
		return
	}
	l.check(Error, file, checkName(md.Name))
	l.check(Error, file, checkAPIVersion(md.APIVersion))
	l.check(Error, file, checkString(raw, "version"))
	l.check(Error, file, checkVersion(md.Version))
	l.check(Error, file, checkString(raw, "appVersion"))
	l.check(Error, file, checkMaintainers(md.Maintainers))
	for _, source := range md.Sources {
		if !isURL(source) {
			l.check(Error, file, fmt.Errorf("invalid source URL '%s'", source))
			break
		}
	}
	if md.Icon == "" {
		l.check(Info, file, errors.New("icon is recommended"))
	} else if !isURL(md.Icon) {
		l.check(Error, file, fmt.Errorf("invalid icon URL '%s'", md.Icon))
	}
	if md.Type != "" && md.APIVersion != "v2" {
		l.check(Error, file, fmt.Errorf("chart type is not valid in apiVersion '%s'. It is valid in apiVersion 'v2'", md.APIVersion))
	}
	if len(md.Dependencies) > 0 && md.APIVersion != "v2" {
		l.check(Error, file, fmt.Errorf("dependencies are not valid in the Chart file with apiVersion '%s'. They are valid in apiVersion 'v2'", md.APIVersion))
	}
}

func checkName(name string) error {
	switch {
	case name == "":
		return errors.New("name is required")
	case filepath.Base(name) != name:
		return fmt.Errorf("chart name %q is invalid", name)
	}
	return nil
}

func checkAPIVersion(version string) error {
	switch version {
	case "v1", "v2":
		return nil
	case "":
		return errors.New(`apiVersion is required. The value must be either "v1" or "v2"`)
	}
	return fmt.Errorf(`apiVersion '%s' is not valid. The value must be either "v1" or "v2"`, version)
}

func checkString(raw map[string]any, key string) error {
	v, ok := raw[key]
	if _, isString := v.(string); !ok || isString {
		return nil
	}
	return fmt.Errorf("%s should be of type string but it's of type %T", key, v)
}

func checkVersion(version string) error {
	if version == "" {
		return errors.New("version is required")
	}
	v, err := semver.NewVersion(version)
	if err != nil {
		return fmt.Errorf("version '%s' is not a valid SemVer", version)
	}
	above, err := semver.NewConstraint(">0.0.0-0")
	if err != nil {
		return err
	}
	if ok, why := above.Validate(v); !ok && len(why) > 0 {
		return fmt.Errorf("version %v", why[0])
	}
	return nil
}

func checkMaintainers(list []*chart.Maintainer) error {
	for _, m := range list {
		switch {
		case m == nil:
			return errors.New("a maintainer entry is empty")
		case m.Name == "":
			return errors.New("each maintainer requires a name")
		case m.Email != "" && !isAddress(m.Email):
			return fmt.Errorf("invalid email '%s' for maintainer '%s'", m.Email, m.Name)
		case m.URL != "" && !isURL(m.URL):
			return fmt.Errorf("invalid url '%s' for maintainer '%s'", m.URL, m.Name)
		}
	}
	return nil
}

func isAddress(s string) bool {
	a, err := mail.ParseAddress(s)
	return err == nil && a.Address == s
}

func isURL(s string) bool {
	u, err := url.ParseRequestURI(s)
	return err == nil && u.Scheme != ""
}
