package charts_test

import (
	"context"
	"encoding/base64"
	"errors"
	"io/fs"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/seed38700745/pkg/charts"
	"github.com/seed38700745/pkg/engine"
	"github.com/seed38700745/pkg/repo"
)

func render(t *testing.T, name, release, values string, lookup engine.Lookup) (*engine.Output, error) {
	t.Helper()
	resolver := &repo.Resolver{Bundled: charts.FS}
	found, err := resolver.Resolve(context.Background(), repo.Request{Ref: repo.BundledName + "/" + name})
	if err != nil {
		t.Fatal(err)
	}
	vals := map[string]any{}
	if err := yaml.Unmarshal([]byte(values), &vals); err != nil {
		t.Fatal(err)
	}
	return engine.Render(context.Background(), engine.Input{
		Chart: found.Chart, Values: vals, Lookup: lookup,
		Release: engine.Release{Name: release, Namespace: "default", Revision: 1, IsInstall: true},
	})
}

func objects(t *testing.T, out *engine.Output) map[string]map[string]any {
	t.Helper()
	all := map[string]map[string]any{}
	for _, m := range out.Manifests {
		o := map[string]any{}
		if err := yaml.UnmarshalStrict([]byte(m.Content), &o); err != nil {
			t.Fatalf("%s: %v", m.Name, err)
		}
		all[m.Kind+"/"+o["metadata"].(map[string]any)["name"].(string)] = o
	}
	return all
}

// at follows keys and list indexes.
func at(v any, path ...any) any {
	for _, step := range path {
		switch step := step.(type) {
		case string:
			v = v.(map[string]any)[step]
		case int:
			v = v.([]any)[step]
		}
	}
	return v
}

func TestNames(t *testing.T) {
	names, err := charts.Names()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"httpd", "memcached", "mysql", "nginx", "postgresql", "prometheus", "rabbitmq", "redis", "wordpress"}, names); diff != "" {
		t.Error(diff)
	}
	for _, bad := range []string{"nope", "../x", "substitutes.yaml", ""} {
		if _, err := charts.Open(bad); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

var imageLine = regexp.MustCompile(`(?m)^\s*image: "?([^"\n]+)"?$`)

// TestEveryImageHasASubstitute keeps the charts installable where no registry is.
func TestEveryImageHasASubstitute(t *testing.T) {
	substitutes, err := charts.Substitutes()
	if err != nil {
		t.Fatal(err)
	}
	names, err := charts.Names()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		out, err := render(t, name, name, "", nil)
		if err != nil {
			t.Fatal(err)
		}
		text := out.Manifest()
		for _, h := range out.Hooks {
			text += h.Manifest + "\n"
		}
		images := imageLine.FindAllStringSubmatch(text, -1)
		if len(images) == 0 {
			t.Errorf("%s: no images", name)
		}
		for _, m := range images {
			s, ok := substitutes[m[1]]
			if !ok || !strings.HasPrefix(s.Image, "deb.internal/") || s.Reason == "" {
				t.Errorf("%s: image %s has no substitute: %+v", name, m[1], s)
			}
		}
	}
}

func TestNamesFollowTheRelease(t *testing.T) {
	for release, want := range map[string]string{"mysql": "mysql", "mysql-2": "mysql-2", "shop": "shop-mysql"} {
		out, err := render(t, "mysql", release, "", nil)
		if err != nil {
			t.Fatal(err)
		}
		all := objects(t, out)
		for _, key := range []string{"Service/" + want, "Service/" + want + "-headless", "StatefulSet/" + want, "Secret/" + want, "ConfigMap/" + want} {
			if all[key] == nil {
				t.Errorf("release %s: no %s", release, key)
			}
		}
		if got := at(all["StatefulSet/"+want], "spec", "serviceName"); got != want+"-headless" {
			t.Errorf("release %s: serviceName %v", release, got)
		}
	}
}

func TestPasswordIsKept(t *testing.T) {
	old := base64.StdEncoding.EncodeToString([]byte("old"))
	lookup := func(_, kind, namespace, name string) (map[string]any, error) {
		if kind != "Secret" || namespace != "default" || name != "mysql" {
			return map[string]any{}, nil
		}
		return map[string]any{"data": map[string]any{"mysql-root-password": old}}, nil
	}
	out, err := render(t, "mysql", "mysql", "auth: {password: given}", lookup)
	if err != nil {
		t.Fatal(err)
	}
	data := at(objects(t, out)["Secret/mysql"], "data").(map[string]any)
	if data["mysql-root-password"] != old {
		t.Errorf("root password was replaced: %v", data)
	}
	if data["mysql-password"] != base64.StdEncoding.EncodeToString([]byte("given")) {
		t.Errorf("given password: %v", data)
	}

	fresh := map[any]bool{}
	for range 2 {
		out, err := render(t, "mysql", "mysql", "", nil)
		if err != nil {
			t.Fatal(err)
		}
		pw := at(objects(t, out)["Secret/mysql"], "data", "mysql-root-password")
		raw, err := base64.StdEncoding.DecodeString(pw.(string))
		if err != nil || len(raw) != 20 {
			t.Errorf("generated password %q: %v", raw, err)
		}
		fresh[pw] = true
	}
	if len(fresh) != 2 {
		t.Error("two installs got the same password")
	}
}

func TestMySQLOptions(t *testing.T) {
	out, err := render(t, "mysql", "mysql", `
auth: {existingSecret: mine, username: ""}
primary:
  persistence: {enabled: false}
  resources: {limits: {memory: 768Mi}}
  configuration: max_connections = 10
service: {type: NodePort, nodePort: 30306}`, nil)
	if err != nil {
		t.Fatal(err)
	}
	all := objects(t, out)
	if all["Secret/mysql"] != nil {
		t.Error("a Secret beside the existing one")
	}
	set := all["StatefulSet/mysql"]
	if at(set, "spec", "volumeClaimTemplates") != nil {
		t.Error("a claim without persistence")
	}
	if got := at(set, "spec", "template", "spec", "containers", 0, "resources", "limits", "memory"); got != "768Mi" {
		t.Errorf("memory %v", got)
	}
	if got := at(set, "spec", "template", "spec", "containers", 0, "env", 0, "valueFrom", "secretKeyRef", "name"); got != "mine" {
		t.Errorf("secret %v", got)
	}
	if got := at(all["Service/mysql"], "spec", "ports", 0, "nodePort"); got != 30306.0 {
		t.Errorf("node port %v", got)
	}
	if !strings.Contains(at(all["ConfigMap/mysql"], "data", "my.cnf").(string), "\nmax_connections = 10") {
		t.Error("configuration is missing")
	}
	if !strings.Contains(out.Notes, "mysql.default.svc.cluster.local:3306") || !strings.Contains(out.Notes, "get secret -n default mine") || !strings.Contains(out.Notes, "MariaDB") {
		t.Errorf("notes:\n%s", out.Notes)
	}
	if len(out.Hooks) != 1 || !out.Hooks[0].IsTest() || !strings.Contains(out.Hooks[0].Manifest, "SELECT VERSION()") {
		t.Errorf("hooks %+v", out.Hooks)
	}
}

func TestChangedConfigurationRollsPods(t *testing.T) {
	sum := func(values string) any {
		out, err := render(t, "mysql", "mysql", values, nil)
		if err != nil {
			t.Fatal(err)
		}
		return at(objects(t, out)["StatefulSet/mysql"], "spec", "template", "metadata", "annotations", "checksum/config")
	}
	if sum("") != sum("") {
		t.Error("the same values roll pods")
	}
	if sum("") == sum("primary: {configuration: x = 1}") {
		t.Error("new configuration does not roll pods")
	}
}

func TestNginxOptions(t *testing.T) {
	out, err := render(t, "nginx", "web", "replicaCount: 3\ncontent: {a.txt: \"one\\ntwo\"}\nservice: {type: NodePort}", nil)
	if err != nil {
		t.Fatal(err)
	}
	all := objects(t, out)
	if got := at(all["Deployment/web-nginx"], "spec", "replicas"); got != 3.0 {
		t.Errorf("replicas %v", got)
	}
	if got := at(all["ConfigMap/web-nginx-content"], "data", "a.txt"); got != "one\ntwo\n" {
		t.Errorf("content %q", got)
	}
	if got := at(all["Service/web-nginx"], "spec", "type"); got != "NodePort" {
		t.Errorf("type %v", got)
	}
}

func TestSchemasRefuseMistakes(t *testing.T) {
	for values, chartName := range map[string]string{
		"auth: {user: x}":                       "mysql",
		"auth: {username: root}":                "mysql",
		"auth: {username: \"a'b\"}":             "mysql",
		"primary: {persistence: {size: large}}": "mysql",
		"service: {type: Nodeport}":             "mysql",
		"architecture: cluster":                 "mysql",
		"secondary: {replicaCount: -1}":         "mysql",
		"replication: {semiSync: off}":          "mysql",
		"replicas: 3":                           "nginx",
		"replicaCount: many":                    "nginx",
		"mysql: {auth: {database: \"\"}}":       "wordpress",
		"wordpressUrl: www.example.com":         "wordpress",
		"master: {persistance: {}}":             "redis",
		"auth: {username: postgres}":            "postgresql",
		"cacheMegabytes: 64Mi":                  "memcached",
		"content: {a/b: x}":                     "httpd",
		"plugins: [rabbitmq-management]":        "rabbitmq",
		"scrapeInterval: 15":                    "prometheus",
	} {
		_, err := render(t, chartName, "x", values, nil)
		if err == nil || !strings.Contains(err.Error(), "values don't meet the specifications") {
			t.Errorf("%s: %s: %v", chartName, values, err)
		}
	}
}
