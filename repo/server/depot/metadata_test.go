package depot

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/seed38700745/pkg/chart"
)

// FuzzUnmarshal wants Chart.yaml read as the library reads it.
func FuzzUnmarshal(f *testing.F) {
	for _, text := range []string{
		"apiVersion: v2\nname: a\nversion: 1.0.0\n",
		"apiVersion: v2\nname: a\nversion: 1.0\nappVersion: 7\n",
		"Name: a\nversion: '1'\n",
		"name: a\nkeywords: []\nsources:\n- a\n- b\nmaintainers:\n- name: x\n  email: y\n  url: z\n",
		"name: a\nkeywords:\nmaintainers: [null]\nannotations: {a: b}\n",
		"name: a\ndependencies:\n- name: b\n  version: 1.x.x\n  repository: https://x\n  condition: b.enabled\n  tags: [x]\n  alias: c\n",
		"name: a\ndependencies:\n- name: b\n  import-values:\n  - child: x\n    parent: 1\n",
		"name: a\ndeprecated: true\ntype: library\nkubeVersion: '>=1'\ntags: a\ncondition: b\nicon: i\nhome: h\ndescription: |\n  long\n",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		want := &chart.Metadata{}
		wantErr := yaml.Unmarshal(data, want)
		got, err := unmarshal(data)
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("%q: %v, want %v", data, err, wantErr)
		}
		if err == nil {
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%q:\n%s", data, diff)
			}
		}
	})
}
