package lint

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/yaml"

	"github.com/seed38700745/pkg/chart"
	"github.com/seed38700745/pkg/engine"
)

// values checks values.yaml with the given values on top against the schema.
func (l *linter) values() {
	const file = chart.ValuesfileName
	data, err := os.ReadFile(filepath.Join(l.in.Dir, file))
	if errors.Is(err, fs.ErrNotExist) {
		l.check(Info, file, errors.New("file does not exist"))
		return
	}
	if !l.check(Error, file, err) {
		return
	}
	defaults := map[string]any{}
	if err := yaml.Unmarshal(data, &defaults); err != nil {
		l.check(Error, file, fmt.Errorf("unable to parse YAML: %w", err))
		return
	}
	schema, err := os.ReadFile(filepath.Join(l.in.Dir, chart.SchemafileName))
	if err != nil || len(schema) == 0 || l.in.SkipSchemaValidation {
		return
	}
	vals := chart.CoalesceTables(chart.CopyValues(l.in.Values), defaults, l.in.Warn)
	l.check(Error, file, chart.ValidateSchema(vals, schema, l.in.SchemaLibrary, l.in.Warn))
}

// templates renders the chart in lint mode and checks what comes out.
func (l *linter) templates(ctx context.Context, c *chart.Chart, err error) {
	const folder = "templates/"
	if info, err := os.Stat(filepath.Join(l.in.Dir, folder)); err == nil && !info.IsDir() {
		l.check(Warning, folder, errors.New("not a directory"))
		return
	}
	if !l.check(Error, folder, err) {
		return
	}
	caps := engine.DefaultCapabilities()
	caps.KubeVersion = l.kubeVersion()
	out, err := engine.Render(ctx, engine.Input{
		Chart:                c,
		Values:               l.in.Values,
		Release:              engine.Release{Name: "test-release", Namespace: l.in.Namespace},
		Capabilities:         caps,
		SkipSchemaValidation: l.in.SkipSchemaValidation, SchemaLibrary: l.in.SchemaLibrary,
		Lint:   true,
		Limits: l.in.Limits,
		Warn:   l.in.Warn,
	})
	if out == nil {
		l.renderError(folder, err)
		return
	}
	for _, t := range c.Templates {
		l.source(t)
		if filepath.Ext(t.Name) == ".yaml" {
			if !l.rendered(t.Name, out.Files[path.Join(c.Name(), t.Name)]) {
				return
			}
		}
	}
	if l.in.Objects != nil && err == nil {
		l.objects(ctx, c, out)
	}
}

// kubeVersion is the version that the chart is checked for.
func (l *linter) kubeVersion() engine.KubeVersion {
	if l.in.KubeVersion != nil {
		return *l.in.KubeVersion
	}
	return engine.DefaultCapabilities().KubeVersion
}

func (l *linter) renderError(folder string, err error) {
	f := Finding{Severity: Error, Path: folder, Message: err.Error()}
	var tmpl *engine.TemplateError
	if errors.As(err, &tmpl) && !tmpl.Rendered {
		f.Line = tmpl.Line
	}
	l.findings = append(l.findings, f)
}

var (
	crdHook     = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`"?helm\.sh/hook"?:\s+crd-install`) })
	releaseTime = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`\.Release\.Time`) })
)

// source checks a template's own text.
func (l *linter) source(t *chart.File) {
	if ext := filepath.Ext(t.Name); !slices.Contains([]string{".yaml", ".yml", ".tpl", ".txt"}, ext) {
		l.check(Error, t.Name, fmt.Errorf("file extension '%s' not valid. Valid extensions are .yaml, .yml, .tpl, or .txt", ext))
	}
	if crdHook().Match(t.Data) {
		l.check(Warning, t.Name, errors.New("manifest is a crd-install hook. This hook is no longer supported in v3 and all CRDs should also exist the crds/ directory at the top level of the chart"))
	}
	if releaseTime().Match(t.Data) {
		l.check(Error, t.Name, errors.New(".Release.Time has been removed in v3, please replace with the `now` function in your templates"))
	}
}

// object is the part of a document that the rules look at.
type object struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   struct {
		Name string `json:"name"`
	} `json:"metadata"`
	Items []struct {
		Metadata struct {
			Annotations map[string]string `json:"annotations"`
		} `json:"metadata"`
	} `json:"items"`
}

// rendered checks a rendered file; false when it is not YAML.
func (l *linter) rendered(name, text string) bool {
	if strings.TrimSpace(text) == "" {
		return true
	}
	first := strings.TrimLeft(text, "\n\r")
	if line, _, _ := strings.Cut(first, "\n"); strings.TrimSpace(line) != "" && (line[0] == ' ' || line[0] == '\t') {
		l.check(Warning, name, fmt.Errorf("document starts with an illegal indent: %q, which may cause parsing problems", line))
	}
	for _, doc := range engine.SplitManifests(text) {
		var any map[string]any
		if err := yaml.Unmarshal([]byte(doc), &any); err != nil {
			l.check(Error, name, fmt.Errorf("unable to parse YAML: %w", err))
			return false
		}
		if len(any) == 0 {
			continue
		}
		var o object
		if err := yaml.Unmarshal([]byte(doc), &o); err != nil {
			l.check(Error, name, fmt.Errorf("unable to parse YAML: %w", err))
			return false
		}
		l.object(name, doc, o)
	}
	return true
}

func (l *linter) object(name, doc string, o object) {
	if o.Kind != "List" {
		if why := nameRule(o.Kind)(o.Metadata.Name); len(why) > 0 {
			l.check(Warning, name, fmt.Errorf("object name does not conform to Kubernetes naming requirements: %q: metadata.name: Invalid value: %q: %s",
				o.Metadata.Name, o.Metadata.Name, strings.Join(why, ", ")))
		}
	}
	l.check(Warning, name, checkDeprecated(o.APIVersion, o.Kind, l.kubeVersion()))
	switch o.Kind {
	case "Deployment", "ReplicaSet", "DaemonSet", "StatefulSet":
		if !strings.Contains(doc, "matchLabels") && !strings.Contains(doc, "matchExpressions") {
			l.check(Error, name, fmt.Errorf("a %s must contain matchLabels or matchExpressions, and %q does not", o.Kind, o.Metadata.Name))
		}
	case "List":
		for _, item := range o.Items {
			if _, ok := item.Metadata.Annotations["helm.sh/resource-policy"]; ok {
				l.check(Error, name, errors.New("Annotation 'helm.sh/resource-policy' within List objects are ignored"))
				break
			}
		}
	}
}

// nameRule is Kubernetes' rule for the names of a kind.
func nameRule(kind string) func(string) []string {
	switch kind {
	case "Service":
		return validation.IsDNS1035Label
	case "Namespace":
		return validation.IsDNS1123Label
	case "CertificateSigningRequest":
		return func(string) []string { return nil }
	case "Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding":
		return func(name string) []string {
			if name == "." || name == ".." || strings.ContainsAny(name, "/%") {
				return []string{"may not be '.' or '..' nor contain '/' or '%'"}
			}
			return nil
		}
	}
	return validation.IsDNS1123Subdomain
}
