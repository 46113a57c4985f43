package api_test

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
)

func pod(name string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, Labels: map[string]string{"app": name}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "busybox"}}},
	}
}

// bound makes a pod that is bound to a node.
func bound(t *testing.T, cs kubernetes.Interface, name string) *corev1.Pod {
	t.Helper()
	pods := cs.CoreV1().Pods("default")
	if _, err := pods.Create(t.Context(), pod(name), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	b := &corev1.Binding{ObjectMeta: metav1.ObjectMeta{Name: name}, Target: corev1.ObjectReference{Kind: "Node", Name: "n1"}}
	if err := pods.Bind(t.Context(), b, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	p, err := pods.Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPodsDieGracefully(t *testing.T) {
	t.Parallel()
	cs := start(t, nil).client(t)
	pods := cs.CoreV1().Pods("default")
	p := bound(t, cs, "p")
	if p.Spec.NodeName != "n1" || p.Status.Conditions[0].Type != corev1.PodScheduled {
		t.Errorf("bound pod: %+v %+v", p.Spec.NodeName, p.Status.Conditions)
	}
	b := &corev1.Binding{ObjectMeta: metav1.ObjectMeta{Name: "p"}, Target: corev1.ObjectReference{Name: "n2"}}
	if err := pods.Bind(t.Context(), b, metav1.CreateOptions{}); !apierrors.IsConflict(err) || !strings.Contains(err.Error(), `pod p is already assigned to node "n1"`) {
		t.Errorf("bound twice: %v", err)
	}
	if err := pods.Delete(t.Context(), "p", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	p, err := pods.Get(t.Context(), "p", metav1.GetOptions{})
	if err != nil || p.DeletionTimestamp == nil || *p.DeletionGracePeriodSeconds != 30 || p.Generation != 2 {
		t.Fatalf("being deleted: %+v, %v", p.ObjectMeta, err)
	}
	rv := p.ResourceVersion
	if err := pods.Delete(t.Context(), "p", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if p, _ = pods.Get(t.Context(), "p", metav1.GetOptions{}); p.ResourceVersion != rv {
		t.Error("a second delete changed the pod")
	}
	five := int64(5)
	if err := pods.Delete(t.Context(), "p", metav1.DeleteOptions{GracePeriodSeconds: &five}); err != nil {
		t.Fatal(err)
	}
	if p, _ = pods.Get(t.Context(), "p", metav1.GetOptions{}); *p.DeletionGracePeriodSeconds != 5 {
		t.Errorf("grace %d, want it shortened to 5", *p.DeletionGracePeriodSeconds)
	}
	zero := int64(0)
	uid := types.UID("another")
	err = pods.Delete(t.Context(), "p", metav1.DeleteOptions{GracePeriodSeconds: &zero, Preconditions: &metav1.Preconditions{UID: &uid}})
	if !apierrors.IsConflict(err) {
		t.Errorf("delete of another uid: %v", err)
	}
	if err := pods.Delete(t.Context(), "p", metav1.DeleteOptions{GracePeriodSeconds: &zero}); err != nil {
		t.Fatal(err)
	}
	if _, err := pods.Get(t.Context(), "p", metav1.GetOptions{}); !apierrors.IsNotFound(err) || err.Error() != `pods "p" not found` {
		t.Errorf("after the end: %v", err)
	}

	if _, err := pods.Create(t.Context(), pod("unscheduled"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := pods.Delete(t.Context(), "unscheduled", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := pods.Get(t.Context(), "unscheduled", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("a pod that runs nowhere lives on: %v", err)
	}
}

func TestEviction(t *testing.T) {
	t.Parallel()
	cs := start(t, nil).client(t)
	bound(t, cs, "p")
	e := &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "p"}}
	if err := cs.PolicyV1().Evictions("default").Evict(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	if p, err := cs.CoreV1().Pods("default").Get(t.Context(), "p", metav1.GetOptions{}); err != nil || p.DeletionTimestamp == nil {
		t.Errorf("evicted: %+v, %v", p.ObjectMeta, err)
	}
}

func TestFinalizersAndPropagation(t *testing.T) {
	t.Parallel()
	cs := start(t, nil).client(t)
	cms := cs.CoreV1().ConfigMaps("default")
	held := configMap("held", nil)
	held.Finalizers = []string{"example.com/hold"}
	if _, err := cms.Create(t.Context(), held, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	dry := metav1.DeleteOptions{DryRun: []string{"All"}}
	if err := cms.Delete(t.Context(), "held", dry); err != nil {
		t.Fatal(err)
	}
	if c, _ := cms.Get(t.Context(), "held", metav1.GetOptions{}); c.DeletionTimestamp != nil {
		t.Error("a dry run deleted")
	}
	if err := cms.Delete(t.Context(), "held", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	c, err := cms.Get(t.Context(), "held", metav1.GetOptions{})
	if err != nil || c.DeletionTimestamp == nil {
		t.Fatalf("held back by its finalizer: %v", err)
	}
	more := c.DeepCopy()
	more.Finalizers = append(more.Finalizers, "example.com/more")
	if _, err := cms.Update(t.Context(), more, metav1.UpdateOptions{}); !apierrors.IsInvalid(err) {
		t.Errorf("a finalizer added too late: %v", err)
	}
	c.Finalizers = nil
	if _, err := cms.Update(t.Context(), c, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := cms.Get(t.Context(), "held", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("without finalizers: %v", err)
	}
	for policy, finalizer := range map[metav1.DeletionPropagation]string{
		metav1.DeletePropagationForeground: "foregroundDeletion", metav1.DeletePropagationOrphan: "orphan",
	} {
		if _, err := cms.Create(t.Context(), configMap("c", nil), metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		if err := cms.Delete(t.Context(), "c", metav1.DeleteOptions{PropagationPolicy: &policy}); err != nil {
			t.Fatal(err)
		}
		c, err := cms.Get(t.Context(), "c", metav1.GetOptions{})
		if err != nil || fmt.Sprint(c.Finalizers) != "["+finalizer+"]" || c.DeletionTimestamp == nil {
			t.Fatalf("%s: %v, %v", policy, c.Finalizers, err)
		}
		if _, err := cms.Patch(t.Context(), "c", types.JSONPatchType, []byte(`[{"op":"remove","path":"/metadata/finalizers"}]`), metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDeleteCollection(t *testing.T) {
	t.Parallel()
	cs := start(t, nil).client(t)
	fill(t, cs, 6, 1)
	cms := cs.CoreV1().ConfigMaps("default")
	if err := cms.DeleteCollection(t.Context(), metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: "odd=true"}); err != nil {
		t.Fatal(err)
	}
	if l, err := cms.List(t.Context(), metav1.ListOptions{}); err != nil || len(l.Items) != 3 {
		t.Errorf("%d are left, %v", len(l.Items), err)
	}
}

func TestNamespaceLifecycle(t *testing.T) {
	t.Parallel()
	cs := start(t, nil).client(t)
	nss := cs.CoreV1().Namespaces()
	ns, err := nss.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "n"}}, metav1.CreateOptions{})
	if err != nil || ns.Status.Phase != corev1.NamespaceActive || len(ns.Spec.Finalizers) != 1 || ns.Labels["kubernetes.io/metadata.name"] != "n" {
		t.Fatalf("created %+v, %v", ns, err)
	}
	if err := nss.Delete(t.Context(), "n", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if ns, err = nss.Get(t.Context(), "n", metav1.GetOptions{}); err != nil || ns.Status.Phase != corev1.NamespaceTerminating {
		t.Fatalf("being deleted: %+v, %v", ns, err)
	}
	_, err = cs.CoreV1().ConfigMaps("n").Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "c"}}, metav1.CreateOptions{})
	if !apierrors.IsForbidden(err) || !apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) ||
		!strings.Contains(err.Error(), `configmaps "c" is forbidden: unable to create new content in namespace n because it is being terminated`) {
		t.Errorf("create in a terminating namespace: %v", err)
	}
	ns.Spec.Finalizers = nil
	if _, err := nss.Finalize(t.Context(), ns, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := nss.Get(t.Context(), "n", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("finalized: %v", err)
	}
	if err := nss.Delete(t.Context(), "default", metav1.DeleteOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("delete of default: %v", err)
	}
}
