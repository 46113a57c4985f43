package engine

import (
	"bytes"
	"encoding/json"
	"strings"
	"sync"
	"text/template"

	"github.com/BurntSushi/toml"
	"github.com/Masterminds/sprig/v3"
	"sigs.k8s.io/yaml"
	goyaml "sigs.k8s.io/yaml/goyaml.v3"

	"github.com/seed38700745/pkg/chart/plain"
)

// sharedFuncs are the functions that depend on nothing: sprig's, without those that
// would read the environment, and Helm's conversions. Callers must not change it.
var sharedFuncs = sync.OnceValue(func() template.FuncMap {
	m := sprig.TxtFuncMap()
	delete(m, "env")
	delete(m, "expandenv")
	m["indent"] = func(spaces int, s string) string { return indent("", spaces, s) }
	m["nindent"] = func(spaces int, s string) string { return indent("\n", spaces, s) }
	m["toToml"] = toTOML
	m["fromToml"] = fromTOML
	m["toYaml"] = toYAML
	m["toYamlPretty"] = toYAMLPretty
	m["fromYaml"] = fromYAML
	m["fromYamlArray"] = fromYAMLArray
	m["toJson"] = toJSON
	m["fromJson"] = fromJSON
	m["fromJsonArray"] = fromJSONArray
	return m
})

// indent puts spaces before each line of s, empty ones too, and first before them all.
// Sprig's way copies the text once or twice more, and charts do little else.
func indent(first string, spaces int, s string) string {
	pad := strings.Repeat(" ", spaces)
	var b strings.Builder
	b.Grow(len(first) + len(s) + len(pad)*(strings.Count(s, "\n")+1))
	b.WriteString(first)
	b.WriteString(pad)
	for {
		i := strings.IndexByte(s, '\n') + 1
		if i == 0 {
			b.WriteString(s)
			return b.String()
		}
		b.WriteString(s[:i])
		b.WriteString(pad)
		s = s[i:]
	}
}

// The conversions swallow errors, as in Helm: to* give an empty text (toToml the
// error's), from* a map with the key Error, or a list of just the error's text.

func toYAML(v any) string {
	if text, ok := plain.Marshal(v); ok {
		return text
	}
	data, err := yaml.Marshal(v)
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(string(data), "\n")
}

func toYAMLPretty(v any) string {
	var out bytes.Buffer
	enc := goyaml.NewEncoder(&out)
	enc.SetIndent(2)
	if err := enc.Encode(v); err != nil {
		return ""
	}
	return strings.TrimSuffix(out.String(), "\n")
}

func fromYAML(s string) map[string]any {
	if m, ok := plain.Values(s); ok {
		return m
	}
	m := map[string]any{}
	if err := yaml.Unmarshal([]byte(s), &m); err != nil {
		m["Error"] = err.Error()
	}
	return m
}

func fromYAMLArray(s string) []any {
	list := []any{}
	if err := yaml.Unmarshal([]byte(s), &list); err != nil {
		list = []any{err.Error()}
	}
	return list
}

func toTOML(v any) string {
	var out bytes.Buffer
	if err := toml.NewEncoder(&out).Encode(v); err != nil {
		return err.Error()
	}
	return out.String()
}

func fromTOML(s string) map[string]any {
	m := map[string]any{}
	if err := toml.Unmarshal([]byte(s), &m); err != nil {
		m["Error"] = err.Error()
	}
	return m
}

func toJSON(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	return string(data)
}

func fromJSON(s string) map[string]any {
	m := map[string]any{}
	if err := json.Unmarshal([]byte(s), &m); err != nil {
		m["Error"] = err.Error()
	}
	return m
}

func fromJSONArray(s string) []any {
	list := []any{}
	if err := json.Unmarshal([]byte(s), &list); err != nil {
		list = []any{err.Error()}
	}
	return list
}
