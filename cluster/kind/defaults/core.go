package defaults

import (
	corev1 "k8s.io/api/core/v1"
)

// Namespace labels a namespace with its name, so that selectors can mean it.
func Namespace(n *corev1.Namespace) {
	if n.Name != "" && n.Labels[corev1.LabelMetadataName] == "" {
		if n.Labels == nil {
			n.Labels = map[string]string{}
		}
		n.Labels[corev1.LabelMetadataName] = n.Name
	}
	set(&n.Status.Phase, corev1.NamespaceActive)
}

// Node defaults a node: all that it has is allocatable.
func Node(n *corev1.Node) {
	roundUp(n.Status.Capacity)
	if n.Status.Allocatable == nil && n.Status.Capacity != nil {
		n.Status.Allocatable = n.Status.Capacity.DeepCopy()
	}
	roundUp(n.Status.Allocatable)
	// The older of two fields wins if they differ.
	if n.Spec.PodCIDR != "" && (len(n.Spec.PodCIDRs) == 0 || n.Spec.PodCIDRs[0] != n.Spec.PodCIDR) {
		n.Spec.PodCIDRs = []string{n.Spec.PodCIDR}
	} else if len(n.Spec.PodCIDRs) > 0 {
		n.Spec.PodCIDR = n.Spec.PodCIDRs[0]
	}
}

// Secret defaults the type of a secret and moves its stringData, which is for
// writing only, to its data.
func Secret(s *corev1.Secret) {
	set(&s.Type, corev1.SecretTypeOpaque)
	for key, value := range s.StringData {
		if s.Data == nil {
			s.Data = map[string][]byte{}
		}
		s.Data[key] = []byte(value)
	}
	s.StringData = nil
}

// Endpoints defaults the protocol of ports.
func Endpoints(e *corev1.Endpoints) {
	for i := range e.Subsets {
		for j := range e.Subsets[i].Ports {
			set(&e.Subsets[i].Ports[j].Protocol, corev1.ProtocolTCP)
		}
	}
}

// LimitRange derives the defaults of containers from one another: limits from
// the maximum, requests from limits, else from the minimum.
func LimitRange(l *corev1.LimitRange) {
	for i := range l.Spec.Limits {
		item := &l.Spec.Limits[i]
		for _, list := range []corev1.ResourceList{item.Max, item.Min, item.Default, item.DefaultRequest, item.MaxLimitRequestRatio} {
			roundUp(list)
		}
		if item.Type == corev1.LimitTypeContainer {
			fillFrom(&item.Default, item.Max)
			fillFrom(&item.DefaultRequest, item.Default)
			fillFrom(&item.DefaultRequest, item.Min)
		}
	}
}

// fillFrom adds to list what only from has.
func fillFrom(list *corev1.ResourceList, from corev1.ResourceList) {
	for name, q := range from {
		if _, ok := (*list)[name]; ok {
			continue
		}
		if *list == nil {
			*list = corev1.ResourceList{}
		}
		(*list)[name] = q.DeepCopy()
	}
}

// ResourceQuota makes quantities canonical.
func ResourceQuota(q *corev1.ResourceQuota) {
	roundUp(q.Spec.Hard)
	roundUp(q.Status.Hard)
	roundUp(q.Status.Used)
}

// ReplicationController defaults a controller; its labels and selector come
// from the labels of the pods that it makes.
func ReplicationController(r *corev1.ReplicationController) {
	setPtr(&r.Spec.Replicas, 1)
	if r.Spec.Template == nil {
		return
	}
	labels := r.Spec.Template.Labels
	if len(r.Spec.Selector) == 0 {
		r.Spec.Selector = labels
	}
	if len(r.Labels) == 0 {
		r.Labels = labels
	}
	PodTemplateSpec(r.Spec.Template)
}
