package chart

import (
	"math"
	"strconv"
	"strings"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/seed38700745/pkg/chart/plain"
)

// ParseMetadata reads a Chart.yaml. Results and errors are those of sigs.k8s.io/yaml,
// which reads what is unusual; the rest takes an eighth of its time. Nothing is validated.
func ParseMetadata(data []byte) (*Metadata, error) {
	if values, ok := plain.Values(string(data)); ok {
		c := converter{scalars: true}
		if md := c.metadata(values); !c.failed {
			return md, nil
		}
	}
	md := &Metadata{}
	if err := yaml.Unmarshal(data, md); err != nil {
		return nil, err
	}
	return md, nil
}

// MetadataOf converts what package plain read as decoding its JSON would; null leaves a
// field empty, and keys of others are passed over. It is false when a value is of another
// type than its field, and when a key differs from a field's only in case.
func MetadataOf(values map[string]any) (*Metadata, bool) {
	c := converter{}
	md := c.metadata(values)
	return md, !c.failed
}

// parseLock reads a Chart.lock; nil when it says null.
func parseLock(data []byte) (*Lock, error) {
	if values, ok := plain.Values(string(data)); ok {
		c := converter{scalars: true}
		if lock := c.lock(values); !c.failed {
			return lock, nil
		}
	}
	lock := &Lock{}
	err := yaml.Unmarshal(data, &lock)
	return lock, err
}

// addRequired reads a requirements.yaml into the metadata of its chart: usually the
// dependencies, but everything else that it has wins over Chart.yaml, too.
func addRequired(md *Metadata, data []byte) error {
	if values, ok := plain.Values(string(data)); ok && md.Dependencies == nil && len(values) == 1 && values["dependencies"] != nil {
		c := converter{scalars: true}
		if deps := c.dependencies(values["dependencies"]); !c.failed {
			md.Dependencies = deps
			return nil
		}
	}
	return yaml.Unmarshal(data, md)
}

// converter makes our types of values as JSON has them; null leaves a field empty. What
// it is not sure of sets failed.
type converter struct {
	scalars bool // numbers and booleans become texts where those are wanted, as when sigs.k8s.io/yaml knows the type
	failed  bool
}

// Keys that encoding/json would find fields for, were they written in other case.
const (
	metadataKeys   = "name home sources version description keywords maintainers icon apiVersion condition tags appVersion deprecated annotations kubeVersion dependencies type"
	maintainerKeys = "name email url"
	dependencyKeys = "name version repository condition tags enabled import-values alias"
	lockKeys       = "generated digest dependencies"
)

// other checks a key that is none of the known ones: it is ignored, unless JSON's
// decoder would take it for one of them.
func (c *converter) other(key, known string) {
	for name := range strings.FieldsSeq(known) {
		c.failed = c.failed || strings.EqualFold(key, name)
	}
}

func (c *converter) metadata(values map[string]any) *Metadata {
	md := &Metadata{}
	for key, v := range values {
		switch key {
		case "name":
			md.Name = c.text(v)
		case "home":
			md.Home = c.text(v)
		case "sources":
			md.Sources = c.texts(v)
		case "version":
			md.Version = c.text(v)
		case "description":
			md.Description = c.text(v)
		case "keywords":
			md.Keywords = c.texts(v)
		case "maintainers":
			md.Maintainers = each(c, v, c.maintainer)
		case "icon":
			md.Icon = c.text(v)
		case "apiVersion":
			md.APIVersion = c.text(v)
		case "condition":
			md.Condition = c.text(v)
		case "tags":
			md.Tags = c.text(v)
		case "appVersion":
			md.AppVersion = c.text(v)
		case "deprecated":
			md.Deprecated = c.flag(v)
		case "annotations":
			md.Annotations = c.textTable(v)
		case "kubeVersion":
			md.KubeVersion = c.text(v)
		case "dependencies":
			md.Dependencies = c.dependencies(v)
		case "type":
			md.Type = c.text(v)
		default:
			c.other(key, metadataKeys)
		}
	}
	return md
}

func (c *converter) maintainer(v any) *Maintainer {
	if v == nil {
		return nil
	}
	m := &Maintainer{}
	for key, v := range c.table(v) {
		switch key {
		case "name":
			m.Name = c.text(v)
		case "email":
			m.Email = c.text(v)
		case "url":
			m.URL = c.text(v)
		default:
			c.other(key, maintainerKeys)
		}
	}
	return m
}

func (c *converter) dependencies(v any) []*Dependency { return each(c, v, c.dependency) }

func (c *converter) dependency(v any) *Dependency {
	if v == nil {
		return nil
	}
	d := &Dependency{}
	for key, v := range c.table(v) {
		switch key {
		case "name":
			d.Name = c.text(v)
		case "version":
			d.Version = c.text(v)
		case "repository":
			d.Repository = c.text(v)
		case "condition":
			d.Condition = c.text(v)
		case "tags":
			d.Tags = c.texts(v)
		case "enabled":
			d.Enabled = c.flag(v)
		case "import-values":
			d.ImportValues = c.list(v)
		case "alias":
			d.Alias = c.text(v)
		default:
			c.other(key, dependencyKeys)
		}
	}
	return d
}

func (c *converter) lock(values map[string]any) *Lock {
	lock := &Lock{}
	for key, v := range values {
		switch key {
		case "generated":
			lock.Generated = c.time(v)
		case "digest":
			lock.Digest = c.text(v)
		case "dependencies":
			lock.Dependencies = c.dependencies(v)
		default:
			c.other(key, lockKeys)
		}
	}
	return lock
}

// roundNumber is where the way a number is written begins to matter for its text.
const roundNumber = 1e6

func (c *converter) text(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case bool:
		if c.scalars {
			return strconv.FormatBool(v)
		}
	case float64:
		if c.scalars && math.Abs(v) < roundNumber && (v != 0 || !math.Signbit(v)) {
			return strconv.FormatFloat(v, 'g', -1, 32) // sic: 32 bits
		}
	}
	c.failed = true
	return ""
}

func (c *converter) flag(v any) bool {
	flag, ok := v.(bool)
	c.failed = c.failed || !ok && v != nil
	return flag
}

func (c *converter) time(v any) time.Time {
	var t time.Time
	if v == nil {
		return t
	}
	text, ok := v.(string)
	c.failed = c.failed || !ok || t.UnmarshalText([]byte(text)) != nil
	return t
}

func (c *converter) list(v any) []any {
	list, ok := v.([]any)
	c.failed = c.failed || !ok && v != nil
	return list
}

func (c *converter) table(v any) map[string]any {
	table, ok := v.(map[string]any)
	c.failed = c.failed || !ok && v != nil
	return table
}

func (c *converter) texts(v any) []string { return each(c, v, c.text) }

func (c *converter) textTable(v any) map[string]string {
	if v == nil {
		return nil
	}
	table := c.table(v)
	texts := make(map[string]string, len(table))
	for key, v := range table {
		texts[key] = c.text(v)
	}
	return texts
}

// each converts a list's elements.
func each[T any](c *converter, v any, convert func(any) T) []T {
	if v == nil {
		return nil
	}
	list := c.list(v)
	out := make([]T, len(list))
	for i, v := range list {
		out[i] = convert(v)
	}
	return out
}
