package release

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/seed38700745/pkg/cluster/object"
)

// planOf plans a first install of objects, written in one line each, and returns its
// ranks: "Kind/name Kind/name <- what has to be ready before".
func planOf(t *testing.T, documents string) ([]string, error) {
	t.Helper()
	items, err := parse(documents)
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range items {
		i.Where.Resource.Resource = strings.ToLower(i.Kind) + "s"
	}
	p, err := plan(planInput{Name: "db", Namespace: "default", New: items})
	var out []string
	for _, rank := range ranks(p.Steps) {
		var names, before []string
		for _, s := range rank {
			names = append(names, s.Item.Ref.String())
			for _, i := range s.After {
				before = append(before, i.Ref.String())
			}
		}
		text := strings.Join(names, " ")
		if len(before) > 0 {
			text += " <- " + strings.Join(before, " ")
		}
		out = append(out, text)
	}
	return out, err
}

// objects makes documents of lines like "{apiVersion: v1, kind: ..., name: a}", whose
// name, namespace and annotations are the metadata's.
func objects(t *testing.T, lines ...string) string {
	t.Helper()
	var b strings.Builder
	for _, line := range lines {
		o := map[string]any{}
		if err := yaml.Unmarshal([]byte(line), &o); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		meta := map[string]any{"namespace": "default"}
		for _, field := range []string{"name", "namespace", "annotations"} {
			if v, ok := o[field]; ok {
				meta[field] = v
				delete(o, field)
			}
		}
		o["metadata"] = meta
		data, err := yaml.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		b.WriteString("---\n" + string(data))
	}
	return b.String()
}

func TestOrder(t *testing.T) {
	const (
		config  = `{apiVersion: v1, kind: ConfigMap, name: c}`
		service = `{apiVersion: v1, kind: Service, name: hook, spec: {selector: {app: hook}}}`
		server  = `{apiVersion: apps/v1, kind: Deployment, name: hook, spec: {template: {metadata: {labels: {app: hook}}, spec: {}}}}`
		webhook = `{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingWebhookConfiguration, name: v, namespace: "", webhooks: [
			{clientConfig: {service: {namespace: default, name: hook}}, rules: [{apiGroups: [example.com], resources: [things]}]}]}`
		crd = `{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, name: things.example.com, namespace: "", spec: {
			group: example.com, names: {kind: Thing, plural: things}, versions: [{name: v1}]}}`
		thing = `{apiVersion: example.com/v1, kind: Thing, name: t}`
		cert  = `{apiVersion: cert.example/v1, kind: Certificate, name: hook-tls}`
	)
	for _, x := range []struct {
		name string
		in   []string
		want []string
	}{
		{"kinds alone", []string{
			`{apiVersion: apps/v1, kind: Deployment, name: d}`, `{apiVersion: v1, kind: Secret, name: b}`,
			`{apiVersion: v1, kind: Secret, name: a}`, `{apiVersion: v1, kind: Service, name: s}`, config,
		}, []string{"Secret/b Secret/a", "ConfigMap/c", "Service/s", "Deployment/d"}},
		{"an account's image secret before it, its rights before who uses it", []string{
			`{apiVersion: v1, kind: ServiceAccount, name: a, imagePullSecrets: [{name: s}]}`,
			`{apiVersion: v1, kind: Secret, name: s}`,
			`{apiVersion: v1, kind: Pod, name: p, spec: {serviceAccountName: a}}`,
			`{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, name: b, roleRef: {kind: Role, name: r}, subjects: [{kind: ServiceAccount, name: a}]}`,
			`{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, name: r}`,
		}, []string{"Secret/s", "ServiceAccount/a", "Role/r", "RoleBinding/b", "Pod/p"}},
		{"a DaemonSet that mounts a claim of a class", []string{
			`{apiVersion: apps/v1, kind: DaemonSet, name: d, spec: {template: {spec: {volumes: [{persistentVolumeClaim: {claimName: c}}]}}}}`,
			`{apiVersion: v1, kind: PersistentVolumeClaim, name: c, spec: {storageClassName: fast}}`,
			`{apiVersion: storage.k8s.io/v1, kind: StorageClass, name: fast, namespace: ""}`,
		}, []string{"StorageClass/fast", "PersistentVolumeClaim/c", "DaemonSet/d"}},
		{"a webhook after its server, what it is asked about after it, certificates before", []string{
			webhook, thing, crd, service, server, cert,
		}, []string{
			"CustomResourceDefinition/things.example.com", "Service/hook", "Deployment/hook", "Certificate/hook-tls",
			"ValidatingWebhookConfiguration/v <- Deployment/hook",
			"Thing/t <- CustomResourceDefinition/things.example.com",
		}},
		{"a circle of references", []string{
			`{apiVersion: v1, kind: ServiceAccount, name: a, secrets: [{name: s}]}`,
			`{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, name: b, roleRef: {kind: Role, name: r}, subjects: [{kind: ServiceAccount, name: a}]}`,
			`{apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, name: h1, spec: {scaleTargetRef: {apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, name: h2}}}`,
			`{apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, name: h2, spec: {scaleTargetRef: {apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, name: h1}}}`,
		}, []string{"ServiceAccount/a", "RoleBinding/b", "HorizontalPodAutoscaler/h1 HorizontalPodAutoscaler/h2"}},
		{"weights", []string{
			`{apiVersion: v1, kind: Pod, name: first, annotations: {pkg.internal/weight: "-1"}}`,
			config,
			`{apiVersion: v1, kind: Secret, name: last, annotations: {pkg.internal/weight: "5"}}`,
			`{apiVersion: v1, kind: Pod, name: p, spec: {imagePullSecrets: [{name: last}]}}`,
		}, []string{"Pod/first", "ConfigMap/c", "Pod/p", "Secret/last"}},
		{"depends-on", []string{
			`{apiVersion: apps/v1, kind: Deployment, name: web, annotations: {pkg.internal/depends-on: "Job/migrate, StatefulSet/default/db"}}`,
			`{apiVersion: apps/v1, kind: StatefulSet, name: db, spec: {serviceName: db}}`,
			`{apiVersion: batch/v1, kind: Job, name: migrate, annotations: {pkg.internal/depends-on: StatefulSet/db}}`,
			`{apiVersion: apps/v1, kind: Deployment, name: other}`,
			`{apiVersion: v1, kind: Service, name: db}`,
		}, []string{
			"Service/db", "Deployment/other", "StatefulSet/db", "Job/migrate <- StatefulSet/db",
			"Deployment/web <- Job/migrate StatefulSet/db",
		}},
	} {
		t.Run(x.name, func(t *testing.T) {
			got, err := planOf(t, objects(t, x.in...))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(x.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestOrderRefuses(t *testing.T) {
	for _, x := range []struct {
		in   []string
		want string
	}{
		{[]string{`{apiVersion: v1, kind: Pod, name: a, annotations: {pkg.internal/weight: heavy}}`}, `Pod/a: annotation pkg.internal/weight: "heavy" is not a whole number`},
		{[]string{`{apiVersion: v1, kind: Pod, name: a, annotations: {pkg.internal/depends-on: db}}`}, `"db" is not Kind/name`},
		{[]string{
			`{apiVersion: v1, kind: Pod, name: a, annotations: {pkg.internal/depends-on: Pod/bb}}`, `{apiVersion: v1, kind: Pod, name: b}`,
		}, "the release has no Pod/bb; nearest: Pod/b"},
		{[]string{
			`{apiVersion: v1, kind: Pod, name: a, annotations: {pkg.internal/depends-on: Pod/b}}`,
			`{apiVersion: v1, kind: Pod, name: b, annotations: {pkg.internal/depends-on: Pod/a}}`,
		}, "goes in a circle: Pod/a -> Pod/b -> Pod/a"},
		{[]string{
			`{apiVersion: v1, kind: Pod, name: a, annotations: {pkg.internal/depends-on: Pod/b}}`,
			`{apiVersion: v1, kind: Pod, name: b, annotations: {pkg.internal/weight: "1"}}`,
		}, "Pod/b has a greater pkg.internal/weight"},
	} {
		if got, err := planOf(t, objects(t, x.in...)); err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s: %v, %v", x.in, got, err)
		}
	}
}

// TestReferences: every field in which a pod names another object.
func TestReferences(t *testing.T) {
	pod := `{apiVersion: v1, kind: Pod, name: p, spec: {
		serviceAccount: acc, priorityClassName: prio, runtimeClassName: rt, imagePullSecrets: [{name: pull}],
		volumes: [{configMap: {name: c1}}, {secret: {secretName: s1}}, {persistentVolumeClaim: {claimName: v1}},
			{projected: {sources: [{configMap: {name: c2}}, {secret: {name: s2}}]}}],
		initContainers: [{envFrom: [{configMapRef: {name: c3}}, {secretRef: {name: s3}}]}],
		containers: [{env: [{valueFrom: {configMapKeyRef: {name: c4}}}, {valueFrom: {secretKeyRef: {name: s4}}}, {name: X, value: y}]}]}}`
	items, err := parse(objects(t, pod))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range references(items[0]) {
		got = append(got, r.String())
	}
	want := "Namespace/default ServiceAccount/acc PriorityClass/prio RuntimeClass/rt Secret/pull ConfigMap/c1 Secret/s1 " +
		"PersistentVolumeClaim/v1 ConfigMap/c2 Secret/s2 ConfigMap/c3 Secret/s3 ConfigMap/c4 Secret/s4"
	if diff := cmp.Diff(strings.Split(want, " "), got); diff != "" {
		t.Error(diff)
	}
}

// TestDefinedKinds: a manifest may have objects of the kinds that it defines.
func TestDefinedKinds(t *testing.T) {
	crd := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
		"spec": map[string]any{
			"group": "example.com", "scope": "Cluster", "names": map[string]any{"kind": "Thing", "plural": "things"},
			"versions": []any{map[string]any{"name": "v1"}, map[string]any{"name": "v2"}},
		},
	}}
	got := definedKinds([]*Item{{Body: crd}, item("ConfigMap", "x", nil)})
	want := Kind{Resource: object.Resource{Group: "example.com", Resource: "things"}}
	if len(got) != 2 {
		t.Errorf("%d kinds", len(got))
	}
	for gvk, k := range got {
		if k != want || gvk.Kind != "Thing" {
			t.Errorf("%s: %+v", gvk, k)
		}
	}
}
