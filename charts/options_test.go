package charts_test

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

// placed are the charts that take the options every pod may want, and where in
// the values.
var placed = map[string]struct{ workload, section string }{
	"httpd":      {"Deployment", ""},
	"memcached":  {"StatefulSet", ""},
	"postgresql": {"StatefulSet", "primary"},
	"prometheus": {"StatefulSet", ""},
	"rabbitmq":   {"StatefulSet", ""},
	"redis":      {"StatefulSet", "master"},
}

// under puts lines of YAML below a key, "" for the top.
func under(section, lines string) string {
	if section == "" {
		return lines
	}
	return section + ":\n  " + strings.ReplaceAll(strings.TrimSpace(lines), "\n", "\n  ") + "\n"
}

func TestOptionsOfPods(t *testing.T) {
	for name, where := range placed {
		t.Run(name, func(t *testing.T) {
			out, err := render(t, name, name, "image: {pullSecrets: [hub]}\nserviceAccount: {name: other}\n"+under(where.section, `
extraArgs: [--more]
extraEnv: [{name: EXTRA, value: "1"}]
extraVolumes: [{name: extra, emptyDir: {}}]
extraVolumeMounts: [{name: extra, mountPath: /extra}]
resources: {limits: {memory: 99Mi}}
podAnnotations: {note: a}
podLabels: {team: b}
priorityClassName: high
nodeSelector: {disk: ssd}
tolerations: [{key: only, operator: Exists}]
affinity: {nodeAffinity: {}}
terminationGracePeriodSeconds: 7`), nil)
			if err != nil {
				t.Fatal(err)
			}
			all := objects(t, out)
			if all["ServiceAccount/other"] == nil {
				t.Error("no ServiceAccount")
			}
			template := at(all[where.workload+"/"+name], "spec", "template")
			spec := at(template, "spec").(map[string]any)
			container := at(spec, "containers", 0).(map[string]any)
			got := map[string]any{
				"annotation": at(template, "metadata", "annotations", "note"), "label": at(template, "metadata", "labels", "team"),
				"priority": spec["priorityClassName"], "selector": spec["nodeSelector"], "tolerations": spec["tolerations"],
				"affinity": spec["affinity"], "secrets": spec["imagePullSecrets"], "account": spec["serviceAccountName"],
				"grace": spec["terminationGracePeriodSeconds"], "resources": container["resources"].(map[string]any)["limits"], "args": container["args"],
				"env": last(container["env"]), "mount": last(container["volumeMounts"]), "volume": volume(spec, "extra"),
			}
			want := map[string]any{
				"annotation": "a", "label": "b", "priority": "high", "selector": map[string]any{"disk": "ssd"},
				"tolerations": []any{map[string]any{"key": "only", "operator": "Exists"}}, "affinity": map[string]any{"nodeAffinity": map[string]any{}},
				"secrets": []any{map[string]any{"name": "hub"}}, "account": "other", "grace": 7.0,
				"resources": map[string]any{"memory": "99Mi"}, "args": []any{"--more"},
				"env": map[string]any{"name": "EXTRA", "value": "1"}, "mount": map[string]any{"name": "extra", "mountPath": "/extra"},
				"volume": map[string]any{"name": "extra", "emptyDir": map[string]any{}},
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			if len(out.Hooks) != 1 || !out.Hooks[0].IsTest() || !strings.Contains(out.Hooks[0].Manifest, "- name: hub") {
				t.Errorf("hooks %+v", out.Hooks)
			}
		})
	}
}

func last(list any) any {
	l := list.([]any)
	return l[len(l)-1]
}

func volume(spec map[string]any, name string) any {
	for _, v := range spec["volumes"].([]any) {
		if v.(map[string]any)["name"] == name {
			return v
		}
	}
	return nil
}

// TestVolumes wants a claim with its class by default, and none without
// persistence.
func TestVolumes(t *testing.T) {
	for name, where := range placed {
		if name == "httpd" || name == "memcached" {
			continue
		}
		for values, want := range map[string]any{
			"persistence: {size: 3Gi, storageClass: fast}": map[string]any{"accessModes": []any{"ReadWriteOnce"},
				"storageClassName": "fast", "resources": map[string]any{"requests": map[string]any{"storage": "3Gi"}}},
			`persistence: {size: 3Gi, storageClass: "-"}`: map[string]any{"accessModes": []any{"ReadWriteOnce"},
				"storageClassName": "", "resources": map[string]any{"requests": map[string]any{"storage": "3Gi"}}},
			"persistence: {enabled: false}": nil,
		} {
			out, err := render(t, name, name, under(where.section, values), nil)
			if err != nil {
				t.Fatal(err)
			}
			set := objects(t, out)["StatefulSet/"+name]
			claims := at(set, "spec", "volumeClaimTemplates")
			var got any
			if claims != nil {
				got = at(claims, 0, "spec")
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s: %s: %s", name, values, diff)
			}
			data := volume(at(set, "spec", "template", "spec").(map[string]any), "data")
			if (claims == nil) == (data == nil) {
				t.Errorf("%s: %s: volume data %v", name, values, data)
			}
		}
	}
}

func TestServicesOnNodePorts(t *testing.T) {
	for name := range placed {
		out, err := render(t, name, name, "service: {type: NodePort, nodePort: 30999, annotations: {a: b}}", nil)
		if err != nil {
			t.Fatal(err)
		}
		service := objects(t, out)["Service/"+name]
		if got := at(service, "spec", "ports", 0, "nodePort"); got != 30999.0 {
			t.Errorf("%s: node port %v", name, got)
		}
		if got := at(service, "metadata", "annotations", "a"); got != "b" {
			t.Errorf("%s: annotation %v", name, got)
		}
		if !strings.Contains(out.Notes, "Port of every node:") || !strings.Contains(out.Notes, "pkg test "+name) {
			t.Errorf("%s: notes:\n%s", name, out.Notes)
		}
	}
}

// TestSecretsAreKept wants generated passwords to outlive upgrades, and none to
// be made beside an existing Secret.
func TestSecretsAreKept(t *testing.T) {
	for name, keys := range map[string][]string{
		"redis":      {"redis-password"},
		"postgresql": {"postgres-password", "password"},
		"rabbitmq":   {"rabbitmq-password", "rabbitmq-erlang-cookie"},
	} {
		fresh, err := render(t, name, name, "", nil)
		if err != nil {
			t.Fatal(err)
		}
		secret := objects(t, fresh)["Secret/"+name]
		for _, key := range keys {
			if raw, err := base64.StdEncoding.DecodeString(at(secret, "data", key).(string)); err != nil || len(raw) != 20 {
				t.Errorf("%s: %s %q: %v", name, key, raw, err)
			}
		}
		lookup := func(_, kind, namespace, object string) (map[string]any, error) {
			if kind != "Secret" || namespace != "default" || object != name {
				return map[string]any{}, nil
			}
			return secret, nil
		}
		again, err := render(t, name, name, "", lookup)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(secret, objects(t, again)["Secret/"+name]); diff != "" {
			t.Errorf("%s: the upgrade changes the Secret: %s", name, diff)
		}
		mine, err := render(t, name, name, "auth: {existingSecret: mine}", lookup)
		if err != nil {
			t.Fatal(err)
		}
		if objects(t, mine)["Secret/"+name] != nil || !strings.Contains(mine.Manifest(), "name: mine") {
			t.Errorf("%s: a Secret beside the existing one", name)
		}
	}
}

func TestRedisWithoutPassword(t *testing.T) {
	out, err := render(t, "redis", "redis", "auth: {enabled: false}", nil)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out.Manifest(), "secretKeyRef") || strings.Contains(out.Manifest(), "kind: Secret") {
		t.Error("a password without auth.enabled")
	}
}

func TestRabbitMQPlugins(t *testing.T) {
	out, err := render(t, "rabbitmq", "rabbitmq", "plugins: []\ndefinitions: {queues: [{name: q}]}", nil)
	if err != nil {
		t.Fatal(err)
	}
	all := objects(t, out)
	if ports := at(all["Service/rabbitmq"], "spec", "ports").([]any); len(ports) != 1 {
		t.Errorf("ports of plugins that are off: %v", ports)
	}
	if got := at(all["ConfigMap/rabbitmq"], "data", "definitions.json"); got != "{\"queues\":[{\"name\":\"q\"}]}\n" {
		t.Errorf("definitions %q", got)
	}
	if !strings.Contains(out.Hooks[0].Manifest, "AMQP") {
		t.Error("the test asks for the management plugin, which is off")
	}
}

// TestPrometheusConfigurations wants both configurations to have the same jobs.
func TestPrometheusConfigurations(t *testing.T) {
	out, err := render(t, "prometheus", "prometheus", "extraScrapeConfigs: [{job_name: mine}]\nrbac: {create: false}", nil)
	if err != nil {
		t.Fatal(err)
	}
	all := objects(t, out)
	if all["ClusterRole/default-prometheus"] != nil {
		t.Error("a ClusterRole without rbac.create")
	}
	jobs := map[string][]string{}
	for file, discovery := range map[string]string{"prometheus.yml": "kubernetes_sd_configs", "prometheus-files.yml": "file_sd_configs"} {
		text := at(all["ConfigMap/prometheus"], "data", file).(string)
		var config struct {
			Scrape []map[string]any `json:"scrape_configs"`
		}
		if err := yaml.Unmarshal([]byte(text), &config); err != nil {
			t.Fatal(err)
		}
		for _, job := range config.Scrape {
			name := job["job_name"].(string)
			jobs[file] = append(jobs[file], name)
			if (job[discovery] != nil) != strings.HasPrefix(name, "kubernetes-") {
				t.Errorf("%s: job %s: %s is %v", file, name, discovery, job[discovery])
			}
		}
	}
	if diff := cmp.Diff(jobs["prometheus.yml"], jobs["prometheus-files.yml"]); diff != "" || len(jobs["prometheus.yml"]) != 7 {
		t.Errorf("jobs %v: %s", jobs, diff)
	}
}
