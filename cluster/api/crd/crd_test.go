package crd_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"github.com/seed38700745/pkg/cluster/api"
	"github.com/seed38700745/pkg/cluster/api/auth"
	"github.com/seed38700745/pkg/cluster/api/crd"
	"github.com/seed38700745/pkg/cluster/api/openapi"
	"github.com/seed38700745/pkg/cluster/kind"
	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/pki"
	"github.com/seed38700745/pkg/cluster/store"
)

const patience = 15 * time.Second

func crds() object.Resource {
	return object.Resource{Group: "apiextensions.k8s.io", Resource: "customresourcedefinitions"}
}

func crontabs() object.Resource {
	return object.Resource{Group: "stable.example.com", Resource: "crontabs"}
}

// world is an API over a real store with a Loop.
type world struct {
	*api.Server
	t    *testing.T
	loop *crd.Loop
	docs http.Handler
	stop func() // ends the loop and closes the store
}

// start opens the store at path and runs all above it. It ends with the test.
func start(t *testing.T, path string) *world {
	t.Helper()
	all := kind.All()
	crd.Complete(all)
	kinds := kind.NewRegistry(all)
	db, err := store.Open(path, store.Options{Codec: api.NewCodec(kinds)})
	if err != nil {
		t.Fatal(err)
	}
	documents, err := openapi.Load()
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, docs: documents}
	w.Server, err = api.New(api.Config{
		Store: db, Kinds: kinds, OpenAPI: documents,
		Authenticate: func(*http.Request) (auth.User, error) {
			return auth.User{Name: "admin", Groups: []string{"system:masters"}}, nil
		},
		Authorize: func(context.Context, auth.Attributes) (bool, string, error) { return true, "", nil },
		Prune: func(gvk schema.GroupVersionKind, o *unstructured.Unstructured) []string {
			return w.loop.Prune(gvk, o)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	w.loop = crd.New(crd.Config{Verbs: w.Server, Kinds: kinds, Documents: documents, Report: func(err error) { t.Logf("loop: %v", err) }})
	if err := w.loop.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.loop.Run(ctx) }() // ends with stop
	ended := false
	w.stop = func() {
		if ended {
			return
		}
		ended = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("loop: %v", err)
		}
		if err := db.Close(); err != nil {
			t.Errorf("store: %v", err)
		}
	}
	t.Cleanup(w.stop)
	ns := decode(t, "{apiVersion: v1, kind: Namespace, metadata: {name: default}}", nil)
	if _, err := w.Patch(t.Context(), object.Resource{Resource: "namespaces"}, object.Key{Name: "default"}, types.ApplyYAMLPatchType, ns, object.WriteOptions{FieldManager: "test"}); err != nil {
		t.Fatal(err)
	}
	return w
}

// decode turns YAML into JSON and, if into is not nil, into an object.
func decode(t *testing.T, text string, into any) []byte {
	t.Helper()
	data, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if into != nil {
		if err := yaml.Unmarshal(data, into); err != nil {
			t.Fatal(err)
		}
	}
	return data
}

const crontabDefinition = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: crontabs.stable.example.com}
spec:
  group: stable.example.com
  scope: Namespaced
  names: {plural: crontabs, singular: crontab, kind: CronTab, shortNames: [ct], categories: [all]}
  versions:
  - name: v1
    served: true
    storage: true
    subresources:
      status: {}
      scale: {specReplicasPath: .spec.replicas, statusReplicasPath: .status.replicas, labelSelectorPath: .status.labelSelector}
    selectableFields: [{jsonPath: .spec.image}]
    additionalPrinterColumns:
    - {name: Spec, type: string, jsonPath: .spec.cronSpec, description: The schedule}
    - {name: Replicas, type: integer, jsonPath: .spec.replicas}
    - {name: Age, type: date, jsonPath: .metadata.creationTimestamp}
    schema:
      openAPIV3Schema:
        type: object
        description: A job by the clock.
        required: [spec]
        properties:
          spec:
            type: object
            description: What to run.
            required: [cronSpec]
            properties:
              cronSpec: {type: string, pattern: '^\S+ \S+$', description: When to run.}
              image: {type: string, default: busybox}
              replicas: {type: integer, minimum: 1, maximum: 10, default: 2}
              mode: {type: string, enum: [Fast, Slow]}
              port: {x-kubernetes-int-or-string: true}
              extra: {type: object, x-kubernetes-preserve-unknown-fields: true}
              labels: {type: object, additionalProperties: {type: string}}
              steps:
                type: array
                x-kubernetes-list-type: map
                x-kubernetes-list-map-keys: [name]
                items:
                  type: object
                  required: [name]
                  properties: {name: {type: string}, tries: {type: integer, default: 3}}
          status:
            type: object
            properties: {replicas: {type: integer}, labelSelector: {type: string}, phase: {type: string}}
  - name: v1beta1
    served: true
    storage: false
    schema:
      openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}
`

// write creates a definition or replaces the spec of the one there is.
func (w *world) write(d *apiextensionsv1.CustomResourceDefinition) {
	w.t.Helper()
	_, err := w.Create(w.t.Context(), crds(), d.DeepCopy(), object.WriteOptions{})
	if apierrors.IsAlreadyExists(err) {
		o, gerr := w.Get(w.t.Context(), crds(), object.KeyOf(d))
		if gerr != nil {
			w.t.Fatal(gerr)
		}
		next := o.(*apiextensionsv1.CustomResourceDefinition).DeepCopy()
		next.Spec, next.ResourceVersion = d.Spec, ""
		_, err = w.Update(w.t.Context(), crds(), next, object.WriteOptions{})
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// define applies a definition and waits until it is established.
func (w *world) define(text string) *apiextensionsv1.CustomResourceDefinition {
	w.t.Helper()
	var d apiextensionsv1.CustomResourceDefinition
	decode(w.t, text, &d)
	w.write(&d)
	return w.await(d.Name, "Established")
}

func condition(d *apiextensionsv1.CustomResourceDefinition, name string) (status, reason string) {
	for _, c := range d.Status.Conditions {
		if string(c.Type) == name {
			return string(c.Status), c.Reason
		}
	}
	return "", ""
}

// await waits for a condition to be True.
func (w *world) await(name, wanted string) *apiextensionsv1.CustomResourceDefinition {
	w.t.Helper()
	var d *apiextensionsv1.CustomResourceDefinition
	w.eventually(name+" is "+wanted, func() bool {
		o, err := w.Get(w.t.Context(), crds(), object.Key{Name: name})
		if err != nil {
			return false
		}
		d = o.(*apiextensionsv1.CustomResourceDefinition)
		status, _ := condition(d, wanted)
		return status == "True"
	})
	return d
}

func (w *world) eventually(what string, ok func() bool) {
	w.t.Helper()
	deadline := time.Now().Add(patience)
	for !ok() {
		if time.Now().After(deadline) {
			w.t.Fatalf("not so after %v: %s", patience, what)
		}
		time.Sleep(5 * time.Millisecond) // polls the state of the world
	}
}

// documents tells whether an OpenAPI v3 document is there.
func (w *world) documents(path string) bool {
	r := httptest.NewRecorder()
	w.docs.ServeHTTP(r, httptest.NewRequest(http.MethodGet, "/openapi/v3/"+path, nil))
	return r.Code == http.StatusOK
}

// create makes a custom resource of stable.example.com from YAML fields.
func (w *world) create(version, name, rest string) (*unstructured.Unstructured, error) {
	w.t.Helper()
	u := &unstructured.Unstructured{}
	decode(w.t, fmt.Sprintf("apiVersion: stable.example.com/%s\nkind: CronTab\nmetadata: {namespace: default, name: %s}\n%s", version, name, rest), &u.Object)
	u.SetUnstructuredContent(normal(u.Object))
	w.loop.Prune(u.GroupVersionKind(), u)
	o, err := w.Create(w.t.Context(), crontabs(), u, object.WriteOptions{})
	if err != nil {
		return nil, err
	}
	return o.(*unstructured.Unstructured), nil
}

// normal turns the whole floats that a YAML decoder makes into int64, as the
// API's decoder does.
func normal(m map[string]any) map[string]any {
	for k, v := range m {
		m[k] = normalValue(v)
	}
	return m
}

func normalValue(v any) any {
	switch v := v.(type) {
	case float64:
		if v == float64(int64(v)) {
			return int64(v)
		}
	case map[string]any:
		return normal(v)
	case []any:
		for i := range v {
			v[i] = normalValue(v[i])
		}
	}
	return v
}

func TestDefinitionIsServed(t *testing.T) {
	w := start(t, filepath.Join(t.TempDir(), "db"))
	d := w.define(crontabDefinition)
	if status, reason := condition(d, "NamesAccepted"); status != "True" || reason != "NoConflicts" {
		t.Errorf("NamesAccepted %s %s", status, reason)
	}
	n := d.Status.AcceptedNames
	if n.Plural != "crontabs" || n.Kind != "CronTab" || n.ListKind != "CronTabList" || !slices.Equal(n.ShortNames, []string{"ct"}) {
		t.Errorf("accepted %+v", n)
	}
	if !slices.Equal(d.Status.StoredVersions, []string{"v1"}) {
		t.Errorf("stored versions %v", d.Status.StoredVersions)
	}
	u, err := w.create("v1", "a", "spec: {cronSpec: '* *', unknown: 1, extra: {anything: {goes: true}}, image: null, steps: [{name: x}]}\nstatus: {phase: mine}")
	if err != nil {
		t.Fatal(err)
	}
	spec, _, _ := unstructured.NestedMap(u.Object, "spec")
	if spec["unknown"] != nil || spec["image"] != "busybox" || spec["replicas"] != int64(2) {
		t.Errorf("spec %v", spec)
	}
	if goes, _, _ := unstructured.NestedBool(spec, "extra", "anything", "goes"); !goes {
		t.Errorf("extra was pruned: %v", spec["extra"])
	}
	if steps := spec["steps"].([]any); steps[0].(map[string]any)["tries"] != int64(3) {
		t.Errorf("steps %v", steps)
	}
	if u.Object["status"] != nil {
		t.Error("the status of a new object stayed")
	}
	if u.GetGeneration() != 1 || u.GetUID() == "" {
		t.Errorf("metadata %v", u.Object["metadata"])
	}
}

func TestInvalidCustomResources(t *testing.T) {
	w := start(t, filepath.Join(t.TempDir(), "db"))
	w.define(crontabDefinition)
	tests := []struct{ name, rest, want string }{
		{"required", "spec: {}", "spec.cronSpec: Required value"},
		{"no spec", "{}", "spec: Required value"},
		{"pattern", "spec: {cronSpec: x}", `spec.cronSpec: Invalid value: "x": spec.cronSpec in body should match`},
		{"type", "spec: {cronSpec: '* *', replicas: many}", `spec.replicas: Invalid value: "string": spec.replicas in body must be of type integer: "string"`},
		{"maximum", "spec: {cronSpec: '* *', replicas: 11}", "spec.replicas: Invalid value: 11: spec.replicas in body should be less than or equal to 10"},
		{"enum", "spec: {cronSpec: '* *', mode: Medium}", `spec.mode: Unsupported value: "Medium": supported values: "Fast", "Slow"`},
		{"int or string", "spec: {cronSpec: '* *', port: true}", `spec.port: Invalid value: "boolean"`},
		{"map values", "spec: {cronSpec: '* *', labels: {a: 1}}", "spec.labels.a: Invalid value"},
		{"duplicate keys", "spec: {cronSpec: '* *', steps: [{name: x}, {name: x}]}", `spec.steps[1]: Duplicate value: {"name":"x"}`},
	}
	for _, test := range tests {
		rest := strings.TrimPrefix(test.rest, "{}")
		_, err := w.create("v1", "bad", rest)
		if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v\nwant %s", test.name, err, test.want)
		}
	}
	for _, port := range []string{"80", "http"} {
		if _, err := w.create("v1", "good-"+port, "spec: {cronSpec: '* *', port: "+port+"}"); err != nil {
			t.Errorf("port %s: %v", port, err)
		}
	}
}

func TestSubresources(t *testing.T) {
	w := start(t, filepath.Join(t.TempDir(), "db"))
	w.define(crontabDefinition)
	u, err := w.create("v1", "a", "spec: {cronSpec: '* *'}")
	if err != nil {
		t.Fatal(err)
	}
	next := u.DeepCopy()
	next.Object["status"] = map[string]any{"phase": "Running", "replicas": int64(1), "labelSelector": "app=a"}
	next.Object["spec"].(map[string]any)["replicas"] = int64(9)
	o, err := w.Update(t.Context(), crontabs(), next, object.WriteOptions{Subresource: "status"})
	if err != nil {
		t.Fatal(err)
	}
	got := o.(*unstructured.Unstructured)
	if phase, _, _ := unstructured.NestedString(got.Object, "status", "phase"); phase != "Running" {
		t.Errorf("status %v", got.Object["status"])
	}
	if n, _, _ := unstructured.NestedInt64(got.Object, "spec", "replicas"); n != 2 || got.GetGeneration() != 1 {
		t.Errorf("the status write changed the spec: %v", got.Object)
	}
	bad := got.DeepCopy()
	bad.Object["status"] = map[string]any{"replicas": "x"}
	if _, err := w.Update(t.Context(), crontabs(), bad, object.WriteOptions{Subresource: "status"}); !apierrors.IsInvalid(err) {
		t.Errorf("invalid status: %v", err)
	}
	if _, err := w.Patch(t.Context(), crontabs(), object.KeyOf(u), types.MergePatchType, []byte(`{"spec":{"replicas":5}}`), object.WriteOptions{Subresource: "scale"}); err != nil {
		t.Fatal(err)
	}
	now, err := w.Get(t.Context(), crontabs(), object.KeyOf(u))
	if err != nil {
		t.Fatal(err)
	}
	if n, _, _ := unstructured.NestedInt64(now.(*unstructured.Unstructured).Object, "spec", "replicas"); n != 5 || now.GetGeneration() != 2 {
		t.Errorf("scaled to %d, generation %d", n, now.GetGeneration())
	}
	for selector, want := range map[string]int{"spec.image=busybox": 1, "spec.image=other": 0} {
		s, err := fields.ParseSelector(selector)
		if err != nil {
			t.Fatal(err)
		}
		l, err := w.List(t.Context(), crontabs(), object.ListOptions{Fields: s})
		if err != nil || len(l.Items) != want {
			t.Errorf("%s: %v, %v", selector, l, err)
		}
	}
}

func TestNameConflicts(t *testing.T) {
	w := start(t, filepath.Join(t.TempDir(), "db"))
	w.define(crontabDefinition)
	rival := strings.NewReplacer("name: crontabs.", "name: tables.", "plural: crontabs, singular: crontab", "plural: tables, singular: table").Replace(crontabDefinition)
	var d apiextensionsv1.CustomResourceDefinition
	decode(t, rival, &d)
	w.write(&d)
	get := func(condition string) (status, reason string) {
		o, err := w.Get(t.Context(), crds(), object.Key{Name: d.Name})
		if err != nil {
			return "", ""
		}
		for _, c := range o.(*apiextensionsv1.CustomResourceDefinition).Status.Conditions {
			if string(c.Type) == condition {
				return string(c.Status), c.Reason
			}
		}
		return "", ""
	}
	w.eventually("the rival's names are refused", func() bool {
		status, reason := get("NamesAccepted")
		return status == "False" && reason == "ListKindConflict"
	})
	if status, reason := get("Established"); status != "False" || reason != "NotAccepted" {
		t.Errorf("Established %s %s", status, reason)
	}
	// When the first goes, the second gets the names.
	if _, err := w.Delete(t.Context(), crds(), object.Key{Name: "crontabs.stable.example.com"}, object.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	w.await(d.Name, "Established")
}

func TestDeletionTakesTheInstances(t *testing.T) {
	w := start(t, filepath.Join(t.TempDir(), "db"))
	w.define(crontabDefinition)
	w.eventually("the finalizer", func() bool {
		o, err := w.Get(t.Context(), crds(), object.Key{Name: "crontabs.stable.example.com"})
		return err == nil && slices.Contains(o.GetFinalizers(), "customresourcecleanup.apiextensions.k8s.io")
	})
	if _, err := w.create("v1", "plain", "spec: {cronSpec: '* *'}"); err != nil {
		t.Fatal(err)
	}
	held, err := w.create("v1", "held", "spec: {cronSpec: '* *'}")
	if err != nil {
		t.Fatal(err)
	}
	next := held.DeepCopy()
	next.SetFinalizers([]string{"example.com/hold"})
	if _, err := w.Update(t.Context(), crontabs(), next, object.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Delete(t.Context(), crds(), object.Key{Name: "crontabs.stable.example.com"}, object.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	w.await("crontabs.stable.example.com", "Terminating")
	w.eventually("only the held one is left", func() bool {
		l, err := w.List(t.Context(), crontabs(), object.ListOptions{})
		return err == nil && len(l.Items) == 1 && l.Items[0].GetName() == "held" && l.Items[0].GetDeletionTimestamp() != nil
	})
	if _, err := w.Patch(t.Context(), crontabs(), object.KeyOf(held), types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), object.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	w.eventually("the definition is gone and nothing is served", func() bool {
		_, gone := w.Get(t.Context(), crds(), object.Key{Name: "crontabs.stable.example.com"})
		_, err := w.List(t.Context(), crontabs(), object.ListOptions{})
		return apierrors.IsNotFound(gone) && apierrors.IsNotFound(err)
	})
}

func TestStorageVersionMoves(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	w := start(t, path)
	w.define(crontabDefinition)
	if _, err := w.create("v1", "a", "spec: {cronSpec: '* *'}"); err != nil {
		t.Fatal(err)
	}
	// Served before anything else after a restart.
	w.stop()
	w = start(t, path)
	if l, err := w.List(t.Context(), crontabs(), object.ListOptions{}); err != nil || len(l.Items) != 1 {
		t.Fatalf("after a restart: %v, %v", l, err)
	}
	moved := strings.NewReplacer("storage: true", "storage: false", "storage: false", "storage: true").Replace(crontabDefinition)
	w.define(moved)
	w.eventually("the object is stored as v1beta1", func() bool {
		o, err := w.Get(t.Context(), crontabs(), object.Key{Namespace: "default", Name: "a"})
		return err == nil && o.GetObjectKind().GroupVersionKind().Version == "v1beta1"
	})
	w.eventually("both versions are listed", func() bool {
		o, err := w.Get(t.Context(), crds(), object.Key{Name: "crontabs.stable.example.com"})
		return err == nil && slices.Equal(o.(*apiextensionsv1.CustomResourceDefinition).Status.StoredVersions, []string{"v1", "v1beta1"})
	})
}

func TestBadDefinitions(t *testing.T) {
	tests := []struct{ name, old, new, want string }{
		{"name", "metadata: {name: crontabs.", "metadata: {name: x.", `metadata.name: Invalid value: "x.stable.example.com": must be spec.names.plural+"."+spec.group`},
		{"group", "stable.example.com", "stable", `spec.group: Invalid value: "stable": should be a domain with at least one dot`},
		{"scope", "scope: Namespaced", "scope: Galaxy", `spec.scope: Unsupported value: "Galaxy": supported values: "Cluster", "Namespaced"`},
		{"two storage versions", "storage: false", "storage: true", "must have exactly one version marked as storage version"},
		{"same version", "name: v1beta1", "name: v1", "must contain unique version names"},
		{"not structural", "image: {type: string, default: busybox}", "image: {default: busybox}", "spec.versions[0].schema.openAPIV3Schema.properties[spec].properties[image].type: Required value: must not be empty"},
		{"bad default", "default: busybox", "default: 7", "properties[image].default: Invalid value"},
		{"no schema", "schema:\n      openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}", "deprecated: false", "spec.versions[1].schema.openAPIV3Schema: Required value: schemas are required"},
		{"column type", "name: Replicas, type: integer", "name: Replicas, type: whole", "additionalPrinterColumns[1].type: Invalid value"},
		{"column path", "jsonPath: .spec.cronSpec", "jsonPath: '.spec['", "additionalPrinterColumns[0].jsonPath: Invalid value"},
		{"scale path", "specReplicasPath: .spec.replicas", "specReplicasPath: .status.x", "should be a json path under .spec"},
		{"kind", "kind: CronTab,", "kind: CronTab, listKind: CronTab,", "kind and listKind may not be the same"},
	}
	for _, test := range tests {
		text := strings.Replace(crontabDefinition, test.old, test.new, -1)
		if text == crontabDefinition {
			t.Fatalf("%s: nothing replaced", test.name)
		}
		var d apiextensionsv1.CustomResourceDefinition
		decode(t, text, &d)
		if errs := crd.Validate(&d); len(errs) == 0 || !strings.Contains(errs.ToAggregate().Error(), test.want) {
			t.Errorf("%s: got %v\nwant %s", test.name, errs.ToAggregate(), test.want)
		}
	}
	var d apiextensionsv1.CustomResourceDefinition
	decode(t, crontabDefinition, &d)
	if errs := crd.Validate(&d); len(errs) != 0 {
		t.Errorf("the good one: %v", errs)
	}
	gone := d.DeepCopy()
	gone.Spec.Versions = gone.Spec.Versions[1:]
	gone.Status.StoredVersions = []string{"v1"}
	if errs := crd.ValidateUpdate(gone, &d); len(errs) != 1 || errs[0].Field != "status.storedVersions[0]" {
		t.Errorf("a stored version was removed: %v", errs)
	}
}

func TestWarnings(t *testing.T) {
	var d apiextensionsv1.CustomResourceDefinition
	decode(t, strings.Replace(crontabDefinition, "required: [cronSpec]", "required: [cronSpec]\n            x-kubernetes-validations: [{rule: self.replicas > 0}]", 1), &d)
	d.Spec.Conversion = &apiextensionsv1.CustomResourceConversion{Strategy: "Webhook"}
	got := crd.Warnings(&d)
	if len(got) != 2 || !strings.Contains(got[0], "conversion webhooks") || !strings.Contains(got[1], "crontabs.stable.example.com: x-kubernetes-validations") {
		t.Errorf("warnings %q", got)
	}
}

// TestKubectl uses the real kubectl over HTTPS.
func TestKubectl(t *testing.T) {
	if _, err := exec.LookPath("kubectl"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip("no kubectl on this machine")
	}
	w := start(t, filepath.Join(t.TempDir(), "db"))
	config := w.serve()
	run := func(stdin string, args string, texts ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "kubectl", strings.Fields(args)...)
		cmd.Env = append(os.Environ(), "KUBECONFIG="+config, "HOME="+filepath.Dir(config))
		cmd.Stdin = strings.NewReader(stdin)
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		err := cmd.Run()
		for _, text := range texts {
			if !strings.Contains(out.String(), text) {
				t.Errorf("kubectl %s: %v: output lacks %q:\n%s", args, err, text, out.String())
			}
		}
	}
	object := func(spec string) string {
		return "apiVersion: stable.example.com/v1\nkind: CronTab\nmetadata: {name: mine}\nspec: " + spec
	}
	run(crontabDefinition, "apply -f -", "customresourcedefinition.apiextensions.k8s.io/crontabs.stable.example.com created")
	run("", "wait --for=condition=Established crd/crontabs.stable.example.com --timeout=10s", "condition met")
	run("", "api-resources --api-group=stable.example.com", "crontabs", "ct", "stable.example.com/v1", "CronTab")
	w.eventually("the document is published", func() bool {
		return w.documents("apis/stable.example.com/v1")
	})
	run("", "explain crontab.spec.cronSpec", "GROUP:      stable.example.com", "KIND:       CronTab", "FIELD: cronSpec <string>", "When to run.")
	run("", "explain ct.metadata.labels", "Map of string keys and values")
	run(object("{cronSpec: '* *', wrong: 1}"), "apply -f -", `strict decoding error: unknown field "spec.wrong"`)
	run(object("{cronSpec: '* *'}"), "apply -f -", "crontab.stable.example.com/mine created")
	run(object("{cronSpec: '1 *', replicas: 4}"), "apply -f -", "crontab.stable.example.com/mine configured")
	run(object("{cronSpec: '1 *', replicas: 4}"), "apply --server-side --force-conflicts -f -", "serverside-applied")
	run(object("{cronSpec: '1 *', replicas: 40}"), "apply -f -", "should be less than or equal to 10")
	run("", "get ct", "NAME", "SPEC", "REPLICAS", "AGE", "mine", "1 *", "4")
	run("", "scale ct/mine --replicas=3", "scaled")
	run("", "get all", "crontab.stable.example.com/mine")
	run("", "get crontabs.v1beta1.stable.example.com mine -o jsonpath={.apiVersion}/{.spec.replicas}", "stable.example.com/v1beta1/3")
	run("", "delete crd crontabs.stable.example.com", "deleted")
	run("", "get ct", "the server could not find the requested resource")
}

// serve listens with TLS and returns a kubeconfig's path.
func (w *world) serve() string {
	w.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	p, err := pki.Open(w.t.TempDir(), pki.Options{})
	if err != nil {
		w.t.Fatal(err)
	}
	cert, key, err := p.Admin()
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Serve(ctx, l, p.Server()) }() // ends with the test
	w.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Errorf("serve: %v", err)
		}
	})
	path := filepath.Join(w.t.TempDir(), "kubeconfig")
	if err := os.WriteFile(path, pki.Kubeconfig("https://"+l.Addr().String(), p.CA(), cert, key), 0o600); err != nil {
		w.t.Fatal(err)
	}
	return path
}
