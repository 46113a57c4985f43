package registries

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const example = `
mirrors:
  docker.io:
    endpoint: [https://mirror.example.com/hub, "http://10.0.0.2:5000/v2"]
    rewrite: {"^library/(.*)": "proxy/$1"}
  "plain.example.com:5000": {endpoint: ["http://plain.example.com:5000"]}
  "*": {endpoint: [https://all.example.com]}
configs:
  registry-1.docker.io:
    auth: {auth: bWU6c2VjcmV0}
`

func load(t *testing.T, text string) (*Config, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), File)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return Load(path)
}

func TestSources(t *testing.T) {
	c, err := load(t, example)
	if err != nil {
		t.Fatal(err)
	}
	digest := "@sha256:" + strings.Repeat("a", 64)
	for reference, want := range map[string][]Source{
		"docker.io/library/nginx:1.22": {{"mirror.example.com/hub/proxy/nginx:1.22", false}, {"10.0.0.2:5000/proxy/nginx:1.22", true}, {"docker.io/library/nginx:1.22", false}},
		"docker.io/grafana/g" + digest: {{"mirror.example.com/hub/grafana/g" + digest, false}, {"10.0.0.2:5000/grafana/g" + digest, true}, {"docker.io/grafana/g" + digest, false}},
		"plain.example.com:5000/x:1":   {{"plain.example.com:5000/x:1", true}},
		"ghcr.io/a/b:1":                {{"all.example.com/a/b:1", false}, {"ghcr.io/a/b:1", false}},
	} {
		if diff := cmp.Diff(want, c.Sources(reference)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", reference, diff)
		}
	}
	if a, ok := c.AuthOf("index.docker.io"); !ok || a.Username != "me" || a.Password != "secret" {
		t.Errorf("credentials of Docker Hub: %+v, %v", a, ok)
	}
	if _, ok := c.AuthOf("ghcr.io"); ok {
		t.Error("credentials for a host that has none")
	}
	if got := c.String(); got != "mirrors of *, docker.io, plain.example.com:5000; credentials for docker.io" {
		t.Errorf("in words: %s", got)
	}
}

func TestNoFile(t *testing.T) {
	c, err := Load(filepath.Join(t.TempDir(), File))
	if err != nil || len(c.Sources("docker.io/library/x:1")) != 1 || c.String() != "nothing" || c.Passwords() {
		t.Errorf("%v, %v", c, err)
	}
	if tls, err := c.TLSOf("docker.io"); tls != nil || err != nil {
		t.Errorf("TLS %v, %v", tls, err)
	}
}

func TestMistakesAreNamed(t *testing.T) {
	for text, want := range map[string]string{
		"mirror: {}": `"mirror"`,
		"mirrors: {docker.io: {endpoint: [mirror.example.com]}}":        `mirrors: docker.io: endpoint "mirror.example.com": want https://`,
		"mirrors: {docker.io: {endpoint: ['https://me:pw@m.example']}}": "https://me:xxxxx@m.example: credentials belong into configs",
		`mirrors: {docker.io: {rewrite: {"(": x}}}`:                     "rewrite",
		"configs: {a.example: {auth: {auth: '%'}}}":                     "configs: a.example: auth",
		"configs: {a.example: {tls: {ca_file: ca.pem}}}":                "ca.pem is not an absolute path",
		"configs: {a.example: {tls: {cert_file: /c.pem}}}":              "cert_file and key_file go together",
		"configs: {a.example: {tls: {insecure_skip_verify: perhaps}}}":  "insecure_skip_verify",
	} {
		if _, err := load(t, text); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), File) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	c, err := load(t, "configs: {a.example: {tls: {ca_file: /does/not/exist}}}")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.TLSOf("a.example"); err == nil || !strings.Contains(err.Error(), "a.example: ca_file") {
		t.Errorf("a CA that is not there: %v", err)
	}
}

func FuzzLoad(f *testing.F) {
	f.Add([]byte(example), "docker.io/library/nginx:1.22")
	f.Fuzz(func(t *testing.T, text []byte, reference string) {
		c, err := parse(text)
		if err != nil {
			return
		}
		if all := c.Sources(reference); len(all) == 0 {
			t.Errorf("%s: no source", reference)
		}
		_ = c.String()
	})
}
