package controller

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/object/builtin"
)

func evict(r *rig, pod string) error {
	_, err := r.world.Create(r.ctx, builtin.Pods.Resource, &policyv1.Eviction{ObjectMeta: meta(pod)}, object.WriteOptions{Subresource: "eviction"})
	return err
}

func budget(min, most *intstr.IntOrString) *policyv1.PodDisruptionBudget {
	return &policyv1.PodDisruptionBudget{ObjectMeta: meta("web"), Spec: policyv1.PodDisruptionBudgetSpec{
		MinAvailable: min, MaxUnavailable: most, Selector: webSelector()}}
}

func TestDisruptionBudget(t *testing.T) {
	for _, c := range []struct {
		name              string
		min, most         *intstr.IntOrString
		desired, expected int32
	}{
		{"min", new(intstr.FromInt32(2)), nil, 2, 3},
		{"min percent", new(intstr.FromString("50%")), nil, 2, 3},
		{"most", nil, new(intstr.FromInt32(1)), 2, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			withRig(t, Config{}, func(r *rig) {
				d := deployment(3, "ok")
				create(r, builtin.Deployments, d)
				create(r, builtin.PodDisruptionBudgets, budget(c.min, c.most))
				r.settle(time.Second)
				b := get(r, builtin.PodDisruptionBudgets, "web")
				if s := b.Status; s.DesiredHealthy != c.desired || s.ExpectedPods != c.expected || s.CurrentHealthy != 3 || s.DisruptionsAllowed != 1 ||
					s.ObservedGeneration != b.Generation || s.Conditions[0].Reason != policyv1.SufficientPodsReason {
					t.Fatalf("status %+v", s)
				}
				pods := list(r, builtin.Pods)
				first, second := evict(r, pods[0].Name), evict(r, pods[1].Name)
				if first != nil {
					t.Fatalf("the first eviction: %v", first)
				}
				if !apierrors.IsTooManyRequests(second) || !apierrors.HasStatusCause(second, policyv1.DisruptionBudgetCause) {
					t.Errorf("the second eviction at once: %v; want 429", second)
				}
				r.settle(5 * time.Second) // its successor is ready
				if err := evict(r, pods[1].Name); err != nil {
					t.Errorf("after it was replaced: %v", err)
				}
			})
		})
	}
}

func TestEvictionOfUnhealthyPods(t *testing.T) {
	withRig(t, Config{}, func(r *rig) {
		create(r, builtin.Deployments, deployment(2, "broken"))
		create(r, builtin.PodDisruptionBudgets, budget(new(intstr.FromInt32(1)), nil))
		r.settle(time.Second)
		pod := list(r, builtin.Pods)[0].Name
		if err := evict(r, pod); !apierrors.IsTooManyRequests(err) {
			t.Errorf("an unhealthy pod, and none healthy: %v; want 429", err)
		}
		edit(r, builtin.PodDisruptionBudgets, "web", func(b *policyv1.PodDisruptionBudget) {
			b.Spec.UnhealthyPodEvictionPolicy = new(policyv1.AlwaysAllow)
		})
		if err := evict(r, pod); err != nil {
			t.Errorf("under AlwaysAllow: %v", err)
		}
	})
}

func TestDisruptionIsGivenBack(t *testing.T) {
	b := budget(new(intstr.FromInt32(1)), nil)
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var all []*corev1.Pod
	for _, name := range []string{"a", "b"} {
		p := &corev1.Pod{ObjectMeta: meta(name)}
		setPod(p, corev1.PodRunning, true)
		all = append(all, p)
	}
	b.Status.DisruptedPods = map[string]metav1.Time{"a": metav1.NewTime(now.Add(-time.Minute))}
	p := planBudget(b, all, 2, now)
	if p.status.CurrentHealthy != 1 || p.status.DisruptionsAllowed != 0 || len(p.status.DisruptedPods) != 1 || p.wait != time.Minute {
		t.Errorf("while it is awaited: %+v", p)
	}
	p = planBudget(b, all, 2, now.Add(2*time.Minute))
	if p.status.CurrentHealthy != 2 || p.status.DisruptionsAllowed != 1 || len(p.status.DisruptedPods) != 0 || len(p.stayed) != 1 {
		t.Errorf("after the timeout: %+v", p)
	}
}
