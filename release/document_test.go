package release

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// TestPlainObject compares the short way with the one through JSON.
func TestPlainObject(t *testing.T) {
	head := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n"
	for _, c := range []struct {
		rest  string
		plain bool
	}{
		{"data: {a: \"1\"}\n", true},
		{"spec:\n  num: 1\n  f: 1.5\n  e: 1e3\n  z: 0\n  minus: -7\n  list: [1, 2.0]\n  deep:\n  - a: 3\n", true},
		{"spec: {big: 9007199254740993}\n", false},
		{"spec: {huge: 1e300}\n", false},
		{"spec: &anchor {a: 1}\nother: *anchor\n", false},
	} {
		doc := head + c.rest
		data, err := yaml.YAMLToJSON([]byte(doc))
		if err != nil {
			t.Fatal(err)
		}
		want := &unstructured.Unstructured{}
		if err := want.UnmarshalJSON(data); err != nil {
			t.Fatal(err)
		}
		got, ok := plainObject(doc)
		if ok != c.plain {
			t.Errorf("%q: plain is %t", c.rest, ok)
		}
		if ok {
			if diff := cmp.Diff(want.Object, got.Object); diff != "" {
				t.Errorf("%q:\n%s", c.rest, diff)
			}
		}
	}
	for _, doc := range []string{"kind: ConfigMap\nmetadata: {name: x}\n", "apiVersion: v1\nkind: List\nmetadata: {name: x}\nitems: []\n", strings.Replace(head, "name: x", "name: 5", 1)} {
		if _, ok := plainObject(doc); ok {
			t.Errorf("accepted %q", doc)
		}
	}
}
