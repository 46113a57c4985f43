package api_test

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestQuotaHoldsAgainstMany: of many creations at once a quota lets through as
// many as it says, and not one more.
func TestQuotaHoldsAgainstMany(t *testing.T) {
	t.Parallel()
	cs := start(t, nil).client(t)
	q := &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Name: "q"}, Spec: corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{
		corev1.ResourcePods: resource.MustParse("5"), corev1.ResourceServicesNodePorts: resource.MustParse("1")}}}
	if _, err := cs.CoreV1().ResourceQuotas("default").Create(t.Context(), q, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	var made, refused atomic.Int32
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			_, err := cs.CoreV1().Pods("default").Create(t.Context(), pod(fmt.Sprint("p", i)), metav1.CreateOptions{})
			switch {
			case err == nil:
				made.Add(1)
			case apierrors.IsForbidden(err) && strings.HasSuffix(err.Error(), "is forbidden: exceeded quota: q, requested: pods=1, used: pods=5, limited: pods=5"):
				refused.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	all.Wait()
	if made.Load() != 5 || refused.Load() != 15 {
		t.Errorf("%d pods made and %d refused, want 5 and 15", made.Load(), refused.Load())
	}

	services := cs.CoreV1().Services("default")
	s := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "s"}, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Name: "a", Port: 80}, {Name: "b", Port: 81}}}}
	stored, err := services.Create(t.Context(), s, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	stored.Spec.Type = corev1.ServiceTypeNodePort
	const want = `services "s" is forbidden: exceeded quota: q, requested: services.nodeports=2, used: services.nodeports=0, limited: services.nodeports=1`
	if _, err := services.Update(t.Context(), stored, metav1.UpdateOptions{}); err == nil || err.Error() != want {
		t.Errorf("an update beyond the quota: %v", err)
	}
}
