package metrics

import (
	"context"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	metricsv1beta1 "k8s.io/metrics/pkg/apis/metrics/v1beta1"

	"github.com/seed38700745/pkg/cluster/api"
	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/object/builtin"
)

// Virtual are the resources nodes and pods of metrics.k8s.io. Objects without
// two readings are left out of lists and are not found, as with the metrics
// server. sampler is asked for at each request: it needs the API that serves it.
func Virtual(sampler func() *Sampler) []api.Virtual {
	v := metricsv1beta1.SchemeGroupVersion
	return []api.Virtual{
		{
			GVK: v.WithKind("NodeMetrics"), Plural: "nodes", New: func() object.Object { return &metricsv1beta1.NodeMetrics{} },
			Get: func(ctx context.Context, k object.Key) (object.Object, error) { return sampler().getNode(ctx, k) },
			List: func(ctx context.Context, _ string, l labels.Selector) ([]object.Object, error) {
				return sampler().listNodes(ctx, l)
			},
		},
		{
			GVK: v.WithKind("PodMetrics"), Plural: "pods", Namespaced: true, New: func() object.Object { return &metricsv1beta1.PodMetrics{} },
			Get: func(ctx context.Context, k object.Key) (object.Object, error) { return sampler().getPod(ctx, k) },
			List: func(ctx context.Context, namespace string, l labels.Selector) ([]object.Object, error) {
				return sampler().listPods(ctx, namespace, l)
			},
		},
	}
}

func (s *Sampler) getNode(ctx context.Context, k object.Key) (object.Object, error) {
	n, err := builtin.Nodes.Get(ctx, s.cfg.Verbs, "", k.Name)
	if err == nil {
		if m := s.nodeMetrics(n); m != nil {
			return m, nil
		}
	} else if !apierrors.IsNotFound(err) {
		return nil, err
	}
	return nil, apierrors.NewNotFound(metricsv1beta1.Resource("nodemetrics"), k.Name)
}

func (s *Sampler) listNodes(ctx context.Context, l labels.Selector) ([]object.Object, error) {
	all, err := builtin.Nodes.List(ctx, s.cfg.Verbs, object.ListOptions{Labels: l})
	if err != nil {
		return nil, err
	}
	var out []object.Object
	for _, n := range all {
		if m := s.nodeMetrics(n); m != nil {
			out = append(out, m)
		}
	}
	return out, nil
}

func (s *Sampler) getPod(ctx context.Context, k object.Key) (object.Object, error) {
	p, err := builtin.Pods.Get(ctx, s.cfg.Verbs, k.Namespace, k.Name)
	if err == nil {
		if m := s.podMetrics(p); m != nil {
			return m, nil
		}
	} else if !apierrors.IsNotFound(err) {
		return nil, err
	}
	return nil, apierrors.NewNotFound(metricsv1beta1.Resource("podmetrics"), k.String())
}

func (s *Sampler) listPods(ctx context.Context, namespace string, l labels.Selector) ([]object.Object, error) {
	all, err := s.Pods(ctx, namespace, l)
	if err != nil {
		return nil, err
	}
	out := make([]object.Object, len(all))
	for i, m := range all {
		out[i] = m
	}
	return out, nil
}

// Pods returns what the pods of a namespace that fit use: those with two readings.
func (s *Sampler) Pods(ctx context.Context, namespace string, l labels.Selector) ([]*metricsv1beta1.PodMetrics, error) {
	all, err := builtin.Pods.List(ctx, s.cfg.Verbs, object.ListOptions{Namespace: namespace, Labels: l})
	if err != nil {
		return nil, err
	}
	var out []*metricsv1beta1.PodMetrics
	for _, p := range all {
		if m := s.podMetrics(p); m != nil {
			out = append(out, m)
		}
	}
	return out, nil
}

// nodeMetrics is nil without two readings.
func (s *Sampler) nodeMetrics(n *corev1.Node) *metricsv1beta1.NodeMetrics {
	w, ok := s.window(n.Name)
	if !ok {
		return nil
	}
	use, ok := usage(w.before.Node.CPU, w.now.Node.CPU, w.now.Node.Memory)
	if !ok {
		return nil
	}
	return &metricsv1beta1.NodeMetrics{ObjectMeta: about(n), Timestamp: metav1.NewTime(w.now.Node.CPU.Time),
		Window: span(w.before.Node.CPU, w.now.Node.CPU), Usage: use}
}

// podMetrics is nil unless all running containers of the pod have two readings.
func (s *Sampler) podMetrics(p *corev1.Pod) *metricsv1beta1.PodMetrics {
	w, ok := s.window(p.Spec.NodeName)
	if !ok || p.Status.Phase != corev1.PodRunning {
		return nil
	}
	before, now := find(w.before, p), find(w.now, p)
	if before == nil || now == nil {
		return nil
	}
	m := &metricsv1beta1.PodMetrics{ObjectMeta: about(p)}
	for _, c := range now.Containers {
		i := slices.IndexFunc(before.Containers, func(b containerSummary) bool {
			return b.Name == c.Name && b.StartTime.Equal(c.StartTime)
		})
		if i < 0 {
			return nil // it was started in between
		}
		use, ok := usage(before.Containers[i].CPU, c.CPU, c.Memory)
		if !ok {
			return nil
		}
		m.Containers = append(m.Containers, metricsv1beta1.ContainerMetrics{Name: c.Name, Usage: use})
		if m.Timestamp.IsZero() || c.CPU.Time.Before(m.Timestamp.Time) {
			m.Timestamp, m.Window = metav1.NewTime(c.CPU.Time), span(before.Containers[i].CPU, c.CPU)
		}
	}
	if len(m.Containers) == 0 {
		return nil
	}
	return m
}

func find(s *summary, p *corev1.Pod) *podSummary {
	i := slices.IndexFunc(s.Pods, func(o podSummary) bool { return o.PodRef.UID == string(p.UID) })
	if i < 0 {
		return nil
	}
	return &s.Pods[i]
}

// about is what metrics repeat of the object they are about.
func about(o metav1.Object) metav1.ObjectMeta {
	return metav1.ObjectMeta{Name: o.GetName(), Namespace: o.GetNamespace(), Labels: o.GetLabels(), CreationTimestamp: metav1.NewTime(time.Now())}
}

// usage is CPU as cores, from two readings of a counter, and memory as the
// working set. ok is false when a reading is missing or the counter began anew.
func usage(before, now *cpu, m *memory) (use corev1.ResourceList, ok bool) {
	if before == nil || now == nil || m == nil || !now.Time.After(before.Time) || now.UsageCoreNanoSeconds < before.UsageCoreNanoSeconds {
		return nil, false
	}
	cores := float64(now.UsageCoreNanoSeconds-before.UsageCoreNanoSeconds) / float64(now.Time.Sub(before.Time))
	return corev1.ResourceList{
		corev1.ResourceCPU:    *resource.NewScaledQuantity(int64(cores*1e9), resource.Nano),
		corev1.ResourceMemory: *resource.NewQuantity(int64(m.WorkingSetBytes), resource.BinarySI),
	}, true
}

func span(before, now *cpu) metav1.Duration {
	return metav1.Duration{Duration: now.Time.Sub(before.Time)}
}
