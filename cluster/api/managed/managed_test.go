package managed_test

import (
	"encoding/json"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/kube-openapi/pkg/validation/spec"

	"github.com/seed38700745/pkg/cluster/api/managed"
	"github.com/seed38700745/pkg/cluster/kind"
	"github.com/seed38700745/pkg/cluster/object"
)

func served(t *testing.T, r *kind.Registry, gvk schema.GroupVersionKind) kind.Served {
	t.Helper()
	v, ok := r.ForKind(gvk)
	if !ok {
		t.Fatalf("no %s", gvk)
	}
	return v
}

// TestCreatedEqualsUpdated: the short way of Created records the same fields
// as the field manager would for an update of nothing.
func TestCreatedEqualsUpdated(t *testing.T) {
	kinds := kind.NewRegistry(kind.All())
	f := managed.New(kinds)
	if f.Ready() {
		t.Error("ready before anything was asked")
	}
	v := served(t, kinds, schema.GroupVersionKind{Version: "v1", Kind: "Pod"})
	make := func() *corev1.Pod {
		p := &corev1.Pod{
			TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
			ObjectMeta: metav1.ObjectMeta{Name: "p", Labels: map[string]string{"a": "b"}, Finalizers: []string{"x/y"}},
			Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i", Env: []corev1.EnvVar{{Name: "E", Value: "1"}},
				Ports: []corev1.ContainerPort{{ContainerPort: 80}}}}},
			Status: corev1.PodStatus{Phase: corev1.PodRunning},
		}
		v.Default(p)
		return p
	}
	short, long := make(), make()
	f.Created(v, short, "m", metav1.Now())
	empty := v.New()
	empty.GetObjectKind().SetGroupVersionKind(v.GVK)
	if err := f.Updated(v, "", empty, long, "m"); err != nil {
		t.Fatal(err)
	}
	if len(short.ManagedFields) != 1 || len(long.ManagedFields) != 1 {
		t.Fatalf("entries %v, %v", short.ManagedFields, long.ManagedFields)
	}
	if a, b := short.ManagedFields[0].FieldsV1.String(), long.ManagedFields[0].FieldsV1.String(); a != b {
		t.Errorf("short %s\nlong  %s", a, b)
	}
}

// TestApplyAfterUnmanaged: fields of an object without managedFields belong to
// "before-first-apply".
func TestApplyAfterUnmanaged(t *testing.T) {
	kinds := kind.NewRegistry(kind.All())
	f := managed.New(kinds)
	v := served(t, kinds, schema.GroupVersionKind{Version: "v1", Kind: "ConfigMap"})
	live := &corev1.ConfigMap{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
		ObjectMeta: metav1.ObjectMeta{Name: "c", UID: "u"}, Data: map[string]string{"a": "1"}}
	patch := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "ConfigMap",
		"metadata": map[string]any{"name": "c"}, "data": map[string]any{"a": "2"}}}
	_, err := f.Apply(v, "", live, patch, "m", false)
	if !apierrors.IsConflict(err) || !strings.Contains(err.Error(), `"before-first-apply" using v1: .data.a`) {
		t.Errorf("apply: %v", err)
	}
	o, err := f.Apply(v, "", live, patch, "m", true)
	if err != nil || o.(*corev1.ConfigMap).Data["a"] != "2" || live.Data["a"] != "1" {
		t.Errorf("forced: %+v, %v; live %v", o, err, live.Data)
	}
}

// TestApplyToCustomResource has no schema: lists are replaced as a whole.
func TestApplyToCustomResource(t *testing.T) {
	gvk := schema.GroupVersionKind{Group: "example.com", Version: "v1", Kind: "Thing"}
	k := &kind.Kind{GVK: gvk, Plural: "things", New: func() object.Object { return &unstructured.Unstructured{Object: map[string]any{}} },
		NewList: func() runtime.Object { return &unstructured.UnstructuredList{} }}
	kinds := kind.NewRegistry(append(kind.All(), k))
	f, v := managed.New(kinds), kind.Served{Kind: k}
	live := v.New()
	live.GetObjectKind().SetGroupVersionKind(gvk)
	thing := func(list ...any) *unstructured.Unstructured {
		u := &unstructured.Unstructured{Object: map[string]any{"metadata": map[string]any{"name": "t"}, "spec": map[string]any{"list": list}}}
		u.SetGroupVersionKind(gvk)
		return u
	}
	o, err := f.Apply(v, "", live, thing("a", "b"), "m", false)
	if err != nil {
		t.Fatal(err)
	}
	o.SetUID("u")
	if o, err = f.Apply(v, "", o, thing("c"), "m", false); err != nil {
		t.Fatal(err)
	}
	if l, _, _ := unstructured.NestedSlice(o.(*unstructured.Unstructured).Object, "spec", "list"); len(l) != 1 {
		t.Errorf("list %v", l)
	}
	if m := o.GetManagedFields(); len(m) != 1 || !strings.Contains(m[0].FieldsV1.String(), `"f:list":{}`) {
		t.Errorf("managedFields %v", m)
	}
}

// TestOwnSchema: a kind may bring the schema that its lists are merged by.
func TestOwnSchema(t *testing.T) {
	gvk := schema.GroupVersionKind{Group: "example.com", Version: "v1", Kind: "Thing"}
	var things map[string]*spec.Schema
	if err := json.Unmarshal([]byte(`{"Thing": {"type": "object",
		"x-kubernetes-group-version-kind": [{"group": "example.com", "version": "v1", "kind": "Thing"}],
		"properties": {"apiVersion": {"type": "string"}, "kind": {"type": "string"},
			"metadata": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
			"list": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}}}}}`), &things); err != nil {
		t.Fatal(err)
	}
	k := &kind.Kind{GVK: gvk, Plural: "things", New: func() object.Object { return &unstructured.Unstructured{Object: map[string]any{}} },
		Types: func() (managedfields.TypeConverter, error) { return managedfields.NewTypeConverter(things, false) }}
	f, v := managed.New(kind.NewRegistry([]*kind.Kind{k})), kind.Served{Kind: k}
	o := v.New()
	o.GetObjectKind().SetGroupVersionKind(gvk)
	var err error
	for manager, item := range map[string]string{"one": "a", "two": "b"} {
		patch := &unstructured.Unstructured{Object: map[string]any{"metadata": map[string]any{"name": "t"}, "list": []any{item}}}
		patch.SetGroupVersionKind(gvk)
		if o, err = f.Apply(v, "", o, patch, manager, false); err != nil {
			t.Fatal(err)
		}
		o.SetUID("u")
	}
	if l, _, _ := unstructured.NestedSlice(o.(*unstructured.Unstructured).Object, "list"); len(l) != 2 {
		t.Errorf("the list of two managers: %v", l)
	}
}

// TestApplyNewEqualsApply: the short way of creating by apply makes the same object,
// with the same owners of its fields.
func TestApplyNewEqualsApply(t *testing.T) {
	kinds := kind.NewRegistry(kind.All())
	f := managed.New(kinds)
	for _, c := range []struct {
		text  string
		short bool
	}{
		{`{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d", "labels": {"a": "b"}, "annotations": {"x/y": "z"}},
			"spec": {"replicas": 0, "selector": {"matchLabels": {"app": "d"}}, "template": {"metadata": {"labels": {"app": "d"}, "creationTimestamp": null},
			"spec": {"volumes": [{"name": "v", "emptyDir": {}}], "containers": [{"name": "c", "image": "i", "resources": {"limits": {"cpu": "0.10", "memory": 1024}},
			"ports": [{"containerPort": 80}, {"containerPort": 80, "protocol": "UDP"}], "env": [{"name": "E", "value": "1"}, {"name": "F"}]}]}}}, "status": {"replicas": 7}}`, true},
		{`{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s", "namespace": "n"}, "spec": {"selector": {"a": "b"}, "ports": [{"port": 80, "targetPort": "http"}]}}`, true},
		{`{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "finalizers": ["a/b"]}, "stringData": {"a": "b"}, "data": {"c": "ZA=="}}`, true},
		{`{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "only-a-name"}}`, true},
		{`{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": null, "b": ""}}`, true},
		{`{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "unknown": 1}`, false},
		{`{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": 1}}`, false},
		{`{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "managedFields": []}}`, false},
	} {
		patch := &unstructured.Unstructured{}
		if err := patch.UnmarshalJSON([]byte(c.text)); err != nil {
			t.Fatal(err)
		}
		v := served(t, kinds, patch.GroupVersionKind())
		empty := v.New()
		empty.GetObjectKind().SetGroupVersionKind(v.GVK)
		long, err := f.Apply(v, "", empty, patch.DeepCopy(), "m", false)
		short, ok := f.ApplyNew(v, patch.DeepCopy(), "m")
		if ok != c.short {
			t.Errorf("%s: short is %t; the long way: %v", c.text, ok, err)
		}
		if !ok {
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		var texts []string
		for _, o := range []object.Object{short, long} {
			fields := o.GetManagedFields()
			for n := range fields {
				if fields[n].Time == nil {
					t.Errorf("%s: no time", c.text)
				}
				fields[n].Time = nil
			}
			o.SetManagedFields(fields)
			if v.Default != nil {
				v.Default(o)
			}
			data, err := json.Marshal(o)
			if err != nil {
				t.Fatal(err)
			}
			texts = append(texts, string(data))
		}
		if texts[0] != texts[1] {
			t.Errorf("%s:\nshort %s\nlong  %s", c.text, texts[0], texts[1])
		}
	}
}
