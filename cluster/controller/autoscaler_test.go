package controller

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/seed38700745/pkg/cluster/object/builtin"
)

// cpuAt is a metric of processor time: percent of what pods request.
func cpuAt(percent int32) autoscalingv2.MetricSpec {
	return autoscalingv2.MetricSpec{Type: autoscalingv2.ResourceMetricSourceType, Resource: &autoscalingv2.ResourceMetricSource{
		Name: corev1.ResourceCPU, Target: autoscalingv2.MetricTarget{Type: autoscalingv2.UtilizationMetricType, AverageUtilization: &percent}}}
}

func TestProposeReplicas(t *testing.T) {
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	// A word for each pod: what it uses of the 100m that it requests, "-" for no
	// reading, "wait" for one that is not ready.
	for _, c := range []struct {
		name    string
		target  int32
		current int32
		pods    string
		want    int32
		share   int32
	}{
		{"twice as much", 50, 2, "100 100", 4, 100},
		{"half as much", 50, 4, "25 25 25 25", 2, 25},
		{"within the tolerance", 50, 2, "54 54", 2, 54},
		{"without a reading, upwards", 50, 3, "100 100 -", 4, 100},
		{"without a reading, downwards", 50, 3, "10 10 -", 3, 10},
		{"a pod that is not ready", 50, 3, "100 100 wait", 4, 100},
		{"a pod that is not ready, downwards", 50, 3, "10 10 wait", 1, 10},
	} {
		var pods []*corev1.Pod
		uses := map[string]PodUse{}
		for i, word := range strings.Fields(c.pods) {
			p := scaledPod(fmt.Sprint("p", i), now.Add(-time.Hour))
			if word == "wait" {
				p.Status.Phase = corev1.PodPending
			} else if word != "-" {
				uses[p.Name] = PodUse{Pod: p.Name, Time: now, Window: 5 * time.Second,
					Containers: map[string]corev1.ResourceList{"c": {corev1.ResourceCPU: resource.MustParse(word + "m")}}}
			}
			pods = append(pods, p)
		}
		got, err := proposeReplicas(cpuAt(c.target), nil, pods, uses, c.current, now)
		if err != nil || got.replicas != c.want || *got.status.Resource.Current.AverageUtilization != c.share {
			t.Errorf("%s: %+v, %v; want %d replicas, %d%%", c.name, got, err, c.want, c.share)
		}
	}
	bare := scaledPod("bare", now.Add(-time.Hour))
	bare.Spec.Containers[0].Resources.Requests = nil
	if _, err := proposeReplicas(cpuAt(50), nil, []*corev1.Pod{bare}, nil, 1, now); err == nil ||
		err.Error() != "failed to get cpu utilization: missing request for cpu in container c of Pod bare" {
		t.Errorf("without a request: %v", err)
	}
	// One that has just become ready was measured before that.
	young := scaledPod("young", now.Add(-2*time.Second))
	use := map[string]PodUse{"young": {Pod: "young", Time: now, Window: 5 * time.Second}}
	if _, err := proposeReplicas(cpuAt(50), nil, []*corev1.Pod{young}, use, 1, now); err == nil {
		t.Error("a reading from before the pod was ready counts")
	}
}

func scaledPod(name string, since time.Time) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Resources: corev1.ResourceRequirements{
			Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m")}}}}},
		Status: corev1.PodStatus{Phase: corev1.PodRunning, StartTime: stamp(since),
			Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: *stamp(since)}}}}
}

func TestScaleIsBound(t *testing.T) {
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	behavior := &autoscalingv2.HorizontalPodAutoscalerBehavior{
		ScaleUp:   &autoscalingv2.HPAScalingRules{Policies: []autoscalingv2.HPAScalingPolicy{{Type: "Pods", Value: 2, PeriodSeconds: 60}}},
		ScaleDown: &autoscalingv2.HPAScalingRules{StabilizationWindowSeconds: new(int32(0)), Policies: []autoscalingv2.HPAScalingPolicy{{Type: "Percent", Value: 50, PeriodSeconds: 60}}},
	}
	ago := func(d time.Duration, n int32) []scaleMoment { return []scaleMoment{{now.Add(-d), n}} }
	for _, c := range []struct {
		name                 string
		behavior             *autoscalingv2.HorizontalPodAutoscalerBehavior
		history              scaleHistory
		current, recommended int32
		want                 int32
		reason               string
	}{
		{"up", nil, scaleHistory{}, 2, 3, 3, "DesiredWithinRange"},
		{"up, not more than double", nil, scaleHistory{}, 3, 9, 6, "ScaleUpLimit"},
		{"up, the maximum", nil, scaleHistory{}, 8, 20, 10, "TooManyReplicas"},
		{"down, not below what was wanted lately", nil, scaleHistory{recommendations: ago(4*time.Minute, 5)}, 6, 2, 5, "DesiredWithinRange"},
		{"down, after the window", nil, scaleHistory{recommendations: ago(6*time.Minute, 5)}, 6, 3, 3, "DesiredWithinRange"},
		{"down, the minimum", nil, scaleHistory{}, 6, 1, 2, "TooFewReplicas"},
		{"a policy for up", behavior, scaleHistory{}, 3, 9, 5, "ScaleUpLimit"},
		{"a policy whose allowance is used", behavior, scaleHistory{changes: ago(30*time.Second, 2)}, 5, 9, 5, "ScaleUpLimit"},
		{"a policy for down", behavior, scaleHistory{}, 8, 2, 4, "ScaleDownLimit"},
	} {
		h := &autoscalingv2.HorizontalPodAutoscaler{Spec: autoscalingv2.HorizontalPodAutoscalerSpec{MinReplicas: new(int32(2)), MaxReplicas: 10, Behavior: c.behavior}}
		st := newScaleStatus(h, now)
		got := c.history.bound(h, st, c.current, c.recommended, now)
		reason := ""
		for _, cond := range st.status.Conditions {
			if cond.Type == autoscalingv2.ScalingLimited {
				reason = cond.Reason
			}
		}
		if got != c.want || reason != c.reason {
			t.Errorf("%s: %d (%s), want %d (%s)", c.name, got, reason, c.want, c.reason)
		}
	}
}

func TestAutoscaler(t *testing.T) {
	use := "200m" // of 100m
	uses := func(r *rig) func(context.Context, string, labels.Selector) ([]PodUse, error) {
		return func(context.Context, string, labels.Selector) (all []PodUse, err error) {
			for _, p := range list(r, builtin.Pods) {
				all = append(all, PodUse{Pod: p.Name, Time: time.Now(), Window: time.Second,
					Containers: map[string]corev1.ResourceList{"c": {corev1.ResourceCPU: resource.MustParse(use)}}})
			}
			return all, nil
		}
	}
	var ask func(context.Context, string, labels.Selector) ([]PodUse, error)
	c := Config{PodUses: func(ctx context.Context, ns string, l labels.Selector) ([]PodUse, error) { return ask(ctx, ns, l) }}
	withRig(t, c, func(r *rig) {
		ask = uses(r)
		d := deployment(1, "ok")
		d.Spec.Template.Spec.Containers[0].Resources.Requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m")}
		create(r, builtin.Deployments, d)
		r.settle(10 * time.Minute) // it is warm
		create(r, builtin.HorizontalPodAutoscalers, &autoscalingv2.HorizontalPodAutoscaler{ObjectMeta: meta("h"), Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
			ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: d.Name}, MaxReplicas: 6,
			Metrics: []autoscalingv2.MetricSpec{cpuAt(50)}}})
		replicas := func() int32 { return *get(r, builtin.Deployments, d.Name).Spec.Replicas }
		r.settle(time.Second)
		if got := replicas(); got != 4 {
			t.Fatalf("at once %d replicas, want 4", got)
		}
		r.settle(2 * time.Minute)
		if got := replicas(); got != 6 {
			t.Errorf("then %d replicas, want the maximum of 6", got)
		}
		use = "1m"
		r.settle(4 * time.Minute)
		if got := replicas(); got != 6 {
			t.Errorf("within the window %d replicas, want still 6", got)
		}
		r.settle(3 * time.Minute)
		if got := replicas(); got != 1 {
			t.Errorf("after the window %d replicas, want 1", got)
		}
		s := get(r, builtin.HorizontalPodAutoscalers, "h").Status
		if s.CurrentReplicas != 1 || *s.CurrentMetrics[0].Resource.Current.AverageUtilization != 1 {
			t.Errorf("status %+v", s)
		}
	})
}
