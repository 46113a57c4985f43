package release

import (
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// TestAsDeclared applies an object and asks whether that has to be done again.
func TestAsDeclared(t *testing.T) {
	const manifest = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: main, image: "app:1", ports: [{containerPort: 80}]}]}
`
	items := func(text string) []*Item {
		out, err := load(t.Context(), newCluster(t), "default", text, nil)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	for name, c := range map[string]struct {
		old, new string // "" is manifest
		live     string // a merge into the live object
		managers string // instead of pkg's
		want     bool
	}{
		"nothing changed":      {want: true},
		"status changed":       {live: `{"status":{"replicas":2}}`, want: true},
		"scaled by hand":       {live: `{"spec":{"replicas":5}}`},
		"another container":    {live: `{"spec":{"template":{"spec":{"containers":[{"name":"main"},{"name":"side"}]}}}}`},
		"a field was dropped":  {old: manifest + "  paused: false\n"},
		"a new label":          {new: `{metadata: {labels: {app: web, tier: front}}}`},
		"helm deployed it":     {managers: "helm"},
		"never applied by us":  {managers: "stranger"},
		"it is being deleted":  {live: `{"metadata":{"deletionTimestamp":"2026-01-01T00:00:00Z"}}`},
		"removed by the value": {old: manifest + "  revisionHistoryLimit: null\n", new: `{spec: {revisionHistoryLimit: null}}`},
	} {
		old := manifest
		if c.old != "" {
			old = c.old
		}
		before, after := items(old)[0], items(manifest)[0]
		merge(t, after.Body.Object, c.new)
		live := after.Body.DeepCopy()
		if c.new != "" {
			live = before.Body.DeepCopy()
		}
		mark([]*Item{after}, "web", "default")
		live.SetLabels(after.Body.GetLabels())
		live.SetAnnotations(after.Body.GetAnnotations())
		if c.new != "" {
			live.SetLabels(map[string]string{"app": "web", managedByLabel: managedBy})
		}
		manager := c.managers
		if manager == "" {
			manager = fieldManager
		}
		merge(t, live.Object, `{"metadata":{"managedFields":[{"manager":"`+manager+`","operation":"Apply"}]}}`)
		merge(t, live.Object, c.live)
		if got := asDeclared(before, after, live); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

// merge lays the tables of a YAML text over a table.
func merge(t *testing.T, into map[string]any, text string) {
	t.Helper()
	over := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(text), &over.Object); err != nil {
		t.Fatal(err)
	}
	var lay func(into, over map[string]any)
	lay = func(into, over map[string]any) {
		for k, v := range over {
			a, okA := into[k].(map[string]any)
			b, okB := v.(map[string]any)
			if okA && okB {
				lay(a, b)
				continue
			}
			into[k] = v
		}
	}
	lay(into, over.Object)
}
