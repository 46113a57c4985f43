package depot

import (
	"sigs.k8s.io/yaml"

	"github.com/seed38700745/pkg/chart"
	"github.com/seed38700745/pkg/chart/plain"
)

// unmarshal reads Chart.yaml, the usual kind many times faster than the library. Whatever
// is not as it should be, numbers for texts for example, the library decides.
func unmarshal(data []byte) (*chart.Metadata, error) {
	if values, ok := plain.Values(string(data)); ok {
		if meta, ok := metadataOf(values); ok {
			return meta, nil
		}
	}
	meta := &chart.Metadata{}
	return meta, yaml.Unmarshal(data, meta)
}

// fields takes the values of an object; one of another type than is wanted sets bad.
type fields struct{ bad bool }

func (f *fields) text(v any) string {
	text, ok := v.(string)
	f.bad = f.bad || !ok
	return text
}

func (f *fields) flag(v any) bool {
	flag, ok := v.(bool)
	f.bad = f.bad || !ok
	return flag
}

func (f *fields) list(v any) []any {
	list, ok := v.([]any)
	f.bad = f.bad || !ok
	return list
}

func (f *fields) object(v any) map[string]any {
	object, ok := v.(map[string]any)
	f.bad = f.bad || !ok
	return object
}

func (f *fields) texts(v any) []string {
	list := f.list(v)
	texts := make([]string, len(list))
	for i := range list {
		texts[i] = f.text(list[i])
	}
	return texts
}

// metadataOf takes what is spelled exactly as Helm has it, and nothing else.
func metadataOf(values map[string]any) (*chart.Metadata, bool) {
	m, f := &chart.Metadata{}, &fields{}
	for key, v := range values {
		switch key {
		case "name":
			m.Name = f.text(v)
		case "home":
			m.Home = f.text(v)
		case "sources":
			m.Sources = f.texts(v)
		case "version":
			m.Version = f.text(v)
		case "description":
			m.Description = f.text(v)
		case "keywords":
			m.Keywords = f.texts(v)
		case "maintainers":
			for _, one := range f.list(v) {
				m.Maintainers = append(m.Maintainers, f.maintainer(one))
			}
		case "icon":
			m.Icon = f.text(v)
		case "apiVersion":
			m.APIVersion = f.text(v)
		case "condition":
			m.Condition = f.text(v)
		case "tags":
			m.Tags = f.text(v)
		case "appVersion":
			m.AppVersion = f.text(v)
		case "deprecated":
			m.Deprecated = f.flag(v)
		case "annotations":
			m.Annotations = map[string]string{}
			for name, one := range f.object(v) {
				m.Annotations[name] = f.text(one)
			}
		case "kubeVersion":
			m.KubeVersion = f.text(v)
		case "dependencies":
			for _, one := range f.list(v) {
				m.Dependencies = append(m.Dependencies, f.dependency(one))
			}
		case "type":
			m.Type = f.text(v)
		default:
			return nil, false
		}
	}
	return m, !f.bad
}

func (f *fields) maintainer(v any) *chart.Maintainer {
	m := &chart.Maintainer{}
	for key, v := range f.object(v) {
		switch key {
		case "name":
			m.Name = f.text(v)
		case "email":
			m.Email = f.text(v)
		case "url":
			m.URL = f.text(v)
		default:
			f.bad = true
		}
	}
	return m
}

func (f *fields) dependency(v any) *chart.Dependency {
	d := &chart.Dependency{}
	for key, v := range f.object(v) {
		switch key {
		case "name":
			d.Name = f.text(v)
		case "version":
			d.Version = f.text(v)
		case "repository":
			d.Repository = f.text(v)
		case "condition":
			d.Condition = f.text(v)
		case "tags":
			d.Tags = f.texts(v)
		case "alias":
			d.Alias = f.text(v)
		default:
			f.bad = true // import-values is of any shape
		}
	}
	return d
}
