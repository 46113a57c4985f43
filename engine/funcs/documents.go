package funcs

import (
	"bytes"
	"encoding/json"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/seed38700745/pkg/chart/plain"
)

// Helm's conversions swallow errors: to* give an empty text (toToml the error's),
// from* a map with the key Error, or a list of just the error's text.

// ToYAML writes a value as YAML without a newline at the end; what cannot be written is
// empty.
func ToYAML(v any) string {
	if text, ok := plain.Marshal(v); ok {
		return text
	}
	data, err := yaml.Marshal(v)
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(string(data), "\n")
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

// The other functions of JSON are sprig's.

func mustFromJSON(s string) (any, error) {
	var out any
	err := json.Unmarshal([]byte(s), &out)
	return out, err
}

func mustToJSON(v any) (string, error) {
	data, err := json.Marshal(v)
	return string(data), err
}

func toPrettyJSON(v any) string {
	text, _ := mustToPrettyJSON(v)
	return text
}

func mustToPrettyJSON(v any) (string, error) {
	data, err := json.MarshalIndent(v, "", "  ")
	return string(data), err
}

// mustToRawJSON leaves <, > and & as they are.
func mustToRawJSON(v any) (string, error) {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return "", err
	}
	return strings.TrimSuffix(out.String(), "\n"), nil
}
