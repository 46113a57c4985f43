package repo

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

// TestPlainConfig: repositories.yaml is read as the full parser reads it, or by that.
func TestPlainConfig(t *testing.T) {
	for text, plain := range map[string]bool{
		"": false,
		"apiVersion: \"\"\ngenerated: \"2026-01-02T03:04:05.678Z\"\nrepositories:\n- caFile: \"\"\n  insecure_skip_tls_verify: true\n  name: a\n  pass_credentials_all: false\n  url: http://a.test\n": true,
		"apiVersion: v1\nrepositories:\n- {name: a, url: \"http://a.test\", username: u, password: p, certFile: c, keyFile: k, caFile: f}\n- name: b\n  token: t\n  plain_http: true\n":                true,
		"generated: 2026-01-02\n":            false,
		"generated: yesterday\n":             false,
		"Repositories: [{Name: a}]\n":        false,
		"repositories: null\n":               false,
		"repositories: [null]\n":             false,
		"repositories: {}\n":                 false,
		"repositories: [{name: 1}]\n":        false,
		"repositories: [{name: a, x: y}]\n":  false,
		"repositories: [{plain_http: \"\"}]": false,
		"a: [":                               false,
	} {
		got, ok := plainConfig(text)
		if ok != plain {
			t.Errorf("%q: plain is %v", text, ok)
			continue
		}
		var want Config
		if err := yaml.Unmarshal([]byte(text), &want); ok && err != nil {
			t.Errorf("%q: %v", text, err)
		} else if diff := cmp.Diff(&want, got); ok && diff != "" {
			t.Errorf("%q (-full parser +here):\n%s", text, diff)
		}
	}
}
