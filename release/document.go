package release

import (
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/seed38700745/pkg/chart/plain"
	"github.com/seed38700745/pkg/engine"
)

var sourceComment = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^# Source: (\S+)`) })

// parse reads a stored manifest. Lists are taken apart; documents without content
// are skipped.
func parse(manifest string) ([]*Item, error) {
	var out []*Item
	for _, doc := range engine.SplitManifests(manifest) {
		source := ""
		if m := sourceComment().FindStringSubmatch(doc); m != nil {
			source = m[1]
		}
		items, err := parseDocument(doc)
		if err != nil {
			if source == "" {
				return nil, fmt.Errorf("manifest: %w", err)
			}
			return nil, fmt.Errorf("manifest of %s: %w", source, err)
		}
		for _, u := range items {
			out = append(out, &Item{Ref: refOf(u), Source: source, Body: u})
		}
	}
	return out, nil
}

// parseDocument reads the objects of one document: one, or those of a list.
func parseDocument(doc string) ([]*unstructured.Unstructured, error) {
	if u, ok := plainObject(doc); ok {
		return []*unstructured.Unstructured{u}, cleanMetadata(u)
	}
	data, err := yaml.YAMLToJSON([]byte(doc))
	if err != nil {
		return nil, err
	}
	if s := strings.TrimSpace(string(data)); s == "null" || s == "{}" {
		return nil, nil
	}
	var head struct {
		Kind  string            `json:"kind"`
		Items []json.RawMessage `json:"items"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return nil, err
	}
	bodies := []json.RawMessage{data}
	if strings.HasSuffix(head.Kind, "List") && head.Items != nil {
		bodies = head.Items
	}
	var out []*unstructured.Unstructured
	for _, b := range bodies {
		u := &unstructured.Unstructured{}
		if err := u.UnmarshalJSON(b); err != nil {
			return nil, err
		}
		if u.GetAPIVersion() == "" {
			return nil, fmt.Errorf("%s %q has no apiVersion", u.GetKind(), u.GetName())
		}
		if u.GetName() == "" {
			return nil, fmt.Errorf("%s has no metadata.name", u.GetKind())
		}
		if err := cleanMetadata(u); err != nil {
			return nil, err
		}
		out = append(out, u)
	}
	return out, nil
}

// plainObject reads a document of one complete object in plain YAML, which nearly all
// are, without the way through JSON; the result is the same.
func plainObject(doc string) (*unstructured.Unstructured, bool) {
	body, ok := plain.Values(doc)
	if !ok {
		return nil, false
	}
	meta, _ := body["metadata"].(map[string]any)
	version, _ := body["apiVersion"].(string)
	kind, _ := body["kind"].(string)
	name, _ := meta["name"].(string)
	if version == "" || kind == "" || name == "" || strings.HasSuffix(kind, "List") || !integers(body) {
		return nil, false
	}
	return &unstructured.Unstructured{Object: body}, true
}

// maxExact is the bound below which every whole number is exact as a float.
const maxExact = 1 << 53

// integers makes whole numbers of a table int64, as decoding from JSON does; false for
// those that may have lost digits.
func integers(table map[string]any) bool {
	for k, v := range table {
		whole, ok := integer(v)
		if !ok {
			return false
		}
		if _, number := v.(float64); number {
			table[k] = whole
		}
	}
	return true
}

func integer(v any) (any, bool) {
	switch v := v.(type) {
	case float64:
		switch {
		case math.Abs(v) >= maxExact:
			return nil, false
		case v == math.Trunc(v):
			return int64(v), true
		}
	case map[string]any:
		return v, integers(v)
	case []any:
		for n, item := range v {
			whole, ok := integer(item)
			if !ok {
				return nil, false
			}
			v[n] = whole
		}
	}
	return v, true
}

// cleanMetadata checks the tables of texts in an object's metadata.
func cleanMetadata(u *unstructured.Unstructured) error {
	for _, field := range []string{"labels", "annotations"} {
		if err := cleanStrings(u, field); err != nil {
			return err
		}
	}
	return nil
}

// cleanStrings checks metadata.labels or .annotations, whose values must be strings.
// Empty ones, which templates leave behind easily, are removed.
func cleanStrings(u *unstructured.Unstructured, field string) error {
	meta, _ := u.Object["metadata"].(map[string]any)
	table, ok := meta[field].(map[string]any)
	if !ok {
		if meta[field] != nil {
			return fmt.Errorf("%s %q: metadata.%s is not a table", u.GetKind(), u.GetName(), field)
		}
		delete(meta, field)
		return nil
	}
	for k, v := range table {
		switch v.(type) {
		case string:
		case nil:
			delete(table, k)
		default:
			return fmt.Errorf("%s %q: metadata.%s[%q] is %v, not a string: quote it", u.GetKind(), u.GetName(), field, k, v)
		}
	}
	return nil
}
