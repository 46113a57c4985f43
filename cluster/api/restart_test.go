package api_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/seed38700745/pkg/cluster/api"
	"github.com/seed38700745/pkg/cluster/kind"
	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/store"
)

// TestRestart: objects are the same after a restart, down to their metadata,
// and what Services have is not handed out again.
func TestRestart(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "db")
	c := startAt(t, path, store.History{}, nil)
	cs := c.client(t)
	d, err := cs.AppsV1().Deployments("default").Create(t.Context(), web(t), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	svc, err := cs.CoreV1().Services("default").Create(t.Context(), service("s", corev1.ServiceTypeNodePort, 80), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	set, err := cs.AppsV1().StatefulSets("default").Create(t.Context(), setWithClaims(), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	before, err := c.Get(t.Context(), object.Resource{Group: "apps", Resource: "deployments"}, object.KeyOf(d))
	if err != nil {
		t.Fatal(err)
	}
	c.stop()

	c = startAt(t, path, store.History{}, nil)
	after, err := c.Get(t.Context(), object.Resource{Group: "apps", Resource: "deployments"}, object.KeyOf(d))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("the restart changed the object (-before +after):\n%s", diff)
	}
	set.Spec.Template.Labels["changed"] = "yes"
	if _, err := c.client(t).AppsV1().StatefulSets("default").Update(t.Context(), set, metav1.UpdateOptions{}); err != nil {
		t.Errorf("an update of a set whose claim templates did not change: %v", err)
	}
	same := service("other", corev1.ServiceTypeNodePort, 80)
	same.Spec.ClusterIP, same.Spec.Ports[0].NodePort = svc.Spec.ClusterIP, svc.Spec.Ports[0].NodePort
	_, err = c.client(t).CoreV1().Services("default").Create(t.Context(), same, metav1.CreateOptions{})
	if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "already allocated") {
		t.Errorf("address and port of another: %v", err)
	}
}

// setWithClaims is a StatefulSet with a claim template.
func setWithClaims() *appsv1.StatefulSet {
	labels := map[string]string{"app": "set"}
	return &appsv1.StatefulSet{
		ObjectMeta: metav1.ObjectMeta{Name: "set"},
		Spec: appsv1.StatefulSetSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i"}}},
			},
			VolumeClaimTemplates: []corev1.PersistentVolumeClaim{{
				ObjectMeta: metav1.ObjectMeta{Name: "data"},
				Spec: corev1.PersistentVolumeClaimSpec{
					AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
					Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Mi")}},
				},
			}},
		},
	}
}

// TestWatchExpires resumes from a revision that the store has forgotten.
func TestWatchExpires(t *testing.T) {
	t.Parallel()
	c := startAt(t, filepath.Join(t.TempDir(), "db"), store.History{Events: 4, Age: 1}, nil)
	cs := c.client(t)
	fill(t, cs, 40, 1)
	cms := cs.CoreV1().ConfigMaps("default")
	first, err := cms.Get(t.Context(), "c-000", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	w, err := cms.Watch(t.Context(), metav1.ListOptions{ResourceVersion: first.ResourceVersion})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	e := next(t, w)
	if st, ok := e.Object.(*metav1.Status); e.Type != watch.Error || !ok || st.Code != 410 || st.Reason != metav1.StatusReasonExpired {
		t.Errorf("event %s %+v", e.Type, e.Object)
	}
	_, err = c.Watch(t.Context(), object.Resource{Resource: "configmaps"}, object.WatchOptions{ResourceVersion: first.ResourceVersion})
	if !apierrors.IsResourceExpired(err) {
		t.Errorf("in process: %v", err)
	}
}

// TestWatchTables: the first table tells the columns, later ones do not.
func TestWatchTables(t *testing.T) {
	t.Parallel()
	c := start(t, nil)
	fill(t, c.client(t), 2, 1)
	_, data := c.fetch(t, "GET", "/api/v1/namespaces/default/configmaps?watch=1&timeoutSeconds=1", "",
		"Accept", "application/json;as=Table;v=v1;g=meta.k8s.io,application/json")
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	if len(lines) != 2 || strings.Count(string(data), `"columnDefinitions":[{`) != 1 ||
		!strings.Contains(lines[0], `"columnDefinitions":[{"name":"Name"`) || !strings.Contains(lines[1], `"cells":["c-001",1,"`) {
		t.Errorf("events:\n%s", data)
	}
}

func TestCodec(t *testing.T) {
	c := api.NewCodec(kind.NewRegistry(kind.All()))
	cms := object.Resource{Resource: "configmaps"}
	in := configMap("c", map[string]string{"a": "1"})
	in.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"}
	data, err := c.Encode(cms, in)
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.Decode(cms, data)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(object.Object(in), out); diff != "" {
		t.Error(diff)
	}
	// A custom resource needs no kind in the registry.
	things := object.Resource{Group: "example.com", Resource: "things"}
	thing := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "example.com/v1", "kind": "Thing", "n": int64(1) << 60}}
	if data, err = c.Encode(things, thing); err != nil {
		t.Fatal(err)
	}
	if out, err = c.Decode(things, data); err != nil || !cmp.Equal(object.Object(thing), out) {
		t.Errorf("custom resource: %+v, %v", out, err)
	}
	if _, err := c.Decode(things, []byte{0x0a, 0}); err == nil {
		t.Error("protobuf of an unknown kind")
	}
	if _, err := c.Decode(cms, []byte{0x0a, 0xff}); err == nil {
		t.Error("truncated protobuf")
	}
}
