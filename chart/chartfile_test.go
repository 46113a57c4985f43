package chart

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/seed38700745/pkg/chart/plain"
)

// chartfiles are metadata as people write it, and worse.
var chartfiles = []string{
	"apiVersion: v2\nname: a\nversion: 1.0.0\n",
	"apiVersion: v2\nname: a\nversion: 1.0\nappVersion: 7\n",
	"name: yes\nhome: 1e3\nicon: 0x10\ntags: -0\ncondition: 1.21\nappVersion: 1234567\nkubeVersion: 0.1\ndescription: 1234567.5\n",
	"appVersion: 16777217\nversion: 999999\nkeywords: [1, true, 0.30000001, null]\nannotations: {a: 1, b: off, c: ~}\n",
	"Name: a\nversion: '1'\n",
	"unknown: {a: [1]}\nName\u017f: x\n\u212aeywords: [x]\n",
	"name: a\nkeywords: []\nsources:\n- a\n- b\nmaintainers:\n- name: x\n  email: y\n  url: z\n",
	"name: a\nkeywords:\nmaintainers: [null]\nannotations: {a: b}\n",
	"name: a\nannotations: {}\ndependencies: [null]\nmaintainers: [{}]\ndeprecated: null\n",
	"name: a\ndependencies:\n- name: b\n  version: 1.x.x\n  repository: https://x\n  condition: b.enabled\n  tags: [x]\n  alias: c\n  enabled: true\n",
	"name: a\ndependencies:\n- name: b\n  version: 2\n  import-values:\n  - child: x\n    parent: 1\n  - data\n  - null\n",
	"name: a\ndeprecated: true\ntype: library\nkubeVersion: '>=1'\ntags: a\ncondition: b\nicon: i\nhome: h\ndescription: |\n  long\n",
	"name: [a]\n", "name: {a: b}\n", "keywords: a\n", "maintainers: {a: b}\n", "dependencies: [a]\n", "deprecated: \"true\"\n", "annotations: [a]\n", "deprecated: 1\n",
	"name: a\nname: b\n", "name: &x a\nhome: *x\n", "", "null", "[]", "a", "{", "1: 2\n",
	"dependencies:\n- name: db\n  version: 1.x\n", "dependencies: null\n", "dependencies: []\nname: b\n",
	"generated: \"2026-01-02T03:04:05.678+02:00\"\ndigest: sha256:abc\ndependencies:\n- name: a\n  repository: https://x\n  version: 1.2\n",
	"generated: 2026-01-02T03:04:05Z\ndigest: 12\n", "generated: \"2026-01-02 03:04:05\"\n", "generated: 1\n", "generated: null\ndependencies: null\n", "Digest: x\n",
}

// FuzzChartfile wants Chart.yaml, Chart.lock and requirements.yaml read as the library
// reads them, with the same errors.
func FuzzChartfile(f *testing.F) {
	for _, text := range chartfiles {
		f.Add(text, 0)
		f.Add(text, 1)
	}
	f.Fuzz(func(t *testing.T, text string, declared int) {
		want := &Metadata{}
		got, err := ParseMetadata([]byte(text))
		same(t, text, want, yaml.Unmarshal([]byte(text), want), got, err)

		wantLock := &Lock{}
		wantErr := yaml.Unmarshal([]byte(text), &wantLock)
		gotLock, err := parseLock([]byte(text))
		same(t, text, wantLock, wantErr, gotLock, err)

		into := func() *Metadata {
			md := &Metadata{Name: "web", Keywords: []string{"x"}}
			for range declared & 3 {
				md.Dependencies = append(md.Dependencies, &Dependency{Name: "old", Alias: "x"})
			}
			return md
		}
		want, got = into(), into()
		wantErr = yaml.Unmarshal([]byte(text), want)
		same(t, text, want, wantErr, got, addRequired(got, []byte(text)))

		if values, ok := plain.Values(text); ok {
			want = &Metadata{}
			wantErr := remarshal(values, want)
			if got, ok := MetadataOf(values); ok {
				same(t, text, want, wantErr, got, nil)
			}
		}
	})
}

// remarshal decodes the JSON of values.
func remarshal(values map[string]any, into any) error {
	text, err := json.Marshal(values)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, into)
}

func same[T any](t *testing.T, text string, want T, wantErr error, got T, err error) {
	t.Helper()
	if fmt.Sprint(err) != fmt.Sprint(wantErr) {
		t.Fatalf("%q: error %v, want %v", text, err, wantErr)
	}
	if err != nil {
		return
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%q (-library +ours):\n%s", text, diff)
	}
}

// TestKeys: the converter knows every key of the types that it makes.
func TestKeys(t *testing.T) {
	for keys, of := range map[string]any{metadataKeys: Metadata{}, maintainerKeys: Maintainer{}, dependencyKeys: Dependency{}, lockKeys: Lock{}} {
		var want []string
		for field := range reflect.TypeOf(of).Fields() {
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			want = append(want, name)
		}
		if diff := cmp.Diff(want, strings.Fields(keys)); diff != "" {
			t.Errorf("%T: %s", of, diff)
		}
	}
}

// TestPlainChartfiles: what charts have does not need the library.
func TestPlainChartfiles(t *testing.T) {
	for _, text := range []string{
		chartfiles[0], chartfiles[1], chartfiles[6],
		"annotations:\n  category: Database\n  images: |\n    - a\n    - b\napiVersion: v2\nappVersion: 16.1\ndependencies:\n- name: common\n  repository: oci://registry.example.com/charts\n  tags:\n  - x\n  version: 2.x.x\n  import-values: [data]\ndeprecated: false\ntillerVersion: '>=2'\n",
	} {
		values, ok := plain.Values(text)
		c := converter{scalars: true}
		if c.metadata(values); !ok || c.failed {
			t.Errorf("%q is left to the library", text)
		}
	}
}

// BenchmarkChartfile reads a usual Chart.yaml, beside the library.
func BenchmarkChartfile(b *testing.B) {
	text := []byte("annotations:\n  category: Database\n  images: |\n    - name: mysql\n      image: docker.io/library/mysql:8.4\napiVersion: v2\nappVersion: 8.4.0\ndependencies:\n- name: common\n  repository: oci://registry.example.com/charts\n  tags:\n  - common\n  version: 2.x.x\ndescription: MySQL is a fast, reliable, scalable, and easy to use open source relational database system.\nhome: https://example.com\nicon: https://example.com/icon.svg\nkeywords:\n- mysql\n- database\n- sql\n- cluster\nmaintainers:\n- name: The team\n  url: https://example.com/charts\nname: mysql\nsources:\n- https://example.com/charts/mysql\nversion: 11.1.2\n")
	b.Run("ours", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := ParseMetadata(text); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("library", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := yaml.Unmarshal(text, &Metadata{}); err != nil {
				b.Fatal(err)
			}
		}
	})
}
