package manifest

import (
	"fmt"
	"sort"
	"strings"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// references checks what the objects say of each other.
func (c *checker) references() {
	for _, o := range c.world.objects {
		switch x := o.Object.(type) {
		case *corev1.Service:
			c.service(o.place, x)
		case *policyv1.PodDisruptionBudget:
			c.selects(o, x.Spec.Selector, "spec.selector")
		case *networkingv1.NetworkPolicy:
			c.selects(o, &x.Spec.PodSelector, "spec.podSelector")
		case *networkingv1.Ingress:
			c.ingress(o.place, x)
		case *autoscalingv2.HorizontalPodAutoscaler:
			c.scales(o.place, x)
		}
	}
	for _, p := range c.world.pods {
		c.images(p)
		c.podReferences(p)
	}
}

// selects warns of a selector that takes none of the pods. One that takes all is
// not meant for this chart's alone; and custom resources may make pods, too.
func (c *checker) selects(o located, s *metav1.LabelSelector, path string) {
	selector, err := metav1.LabelSelectorAsSelector(s)
	if err != nil || selector.Empty() || c.world.foreign {
		return
	}
	if len(c.world.selected(o.GetNamespace(), selector)) == 0 {
		c.add(o.place, Warning, path, "selects none of the chart's pods: no template has the labels %s", selector)
	}
}

// service checks that a Service finds pods and the ports that it names on them.
func (c *checker) service(at place, s *corev1.Service) {
	if len(s.Spec.Selector) == 0 || s.Spec.Type == corev1.ServiceTypeExternalName {
		return
	}
	pods := c.world.selected(s.Namespace, labels.SelectorFromSet(s.Spec.Selector))
	if len(pods) == 0 {
		if !c.world.foreign {
			c.add(at, Warning, "spec.selector", "selects none of the chart's pods: no template has the labels %s", labels.Set(s.Spec.Selector))
		}
		return
	}
	for i, port := range s.Spec.Ports {
		if port.TargetPort.Type != intstr.String {
			continue
		}
		if have := portNames(pods); !have[port.TargetPort.StrVal] {
			c.add(at, Error, fmt.Sprintf("spec.ports[%d].targetPort", i),
				"%s names no port of %s%s", quoted(port.TargetPort.StrVal), pods[0].owner, listed("; its ports: ", have))
		}
	}
}

// portNames collects the named container ports of pods.
func portNames(pods []podTemplate) map[string]bool {
	names := map[string]bool{}
	for _, p := range pods {
		for _, list := range [][]corev1.Container{p.spec.Containers, p.spec.InitContainers} {
			for _, container := range list {
				for _, port := range container.Ports {
					if port.Name != "" {
						names[port.Name] = true
					}
				}
			}
		}
	}
	return names
}

func quoted(s string) string { return fmt.Sprintf("%q", s) }

// listed joins a set behind a text; nothing when it is empty.
func listed(text string, set map[string]bool) string {
	if len(set) == 0 {
		return ""
	}
	var names []string
	for n := range set {
		names = append(names, n)
	}
	sort.Strings(names)
	return text + strings.Join(names, ", ")
}

// ingress checks the Services that an Ingress leads to, and their ports.
func (c *checker) ingress(at place, i *networkingv1.Ingress) {
	check := func(b *networkingv1.IngressBackend, path string) {
		if b == nil || b.Service == nil {
			return
		}
		for _, o := range c.world.objects {
			s, ok := o.Object.(*corev1.Service)
			if !ok || s.Namespace != i.Namespace || s.Name != b.Service.Name {
				continue
			}
			if !hasPort(s, b.Service.Port) {
				c.add(at, Error, path+".service.port", "Service %q has no such port", s.Name)
			}
			return
		}
		c.missing(at, Warning, path+".service.name", "Service", i.Namespace, b.Service.Name)
	}
	check(i.Spec.DefaultBackend, "spec.defaultBackend")
	for r, rule := range i.Spec.Rules {
		if rule.HTTP == nil {
			continue
		}
		for p := range rule.HTTP.Paths {
			check(&rule.HTTP.Paths[p].Backend, fmt.Sprintf("spec.rules[%d].http.paths[%d].backend", r, p))
		}
	}
}

func hasPort(s *corev1.Service, want networkingv1.ServiceBackendPort) bool {
	for _, p := range s.Spec.Ports {
		if want.Name != "" && p.Name == want.Name || want.Name == "" && p.Port == want.Number {
			return true
		}
	}
	return false
}

// scales checks the target of an autoscaler.
func (c *checker) scales(at place, h *autoscalingv2.HorizontalPodAutoscaler) {
	t := h.Spec.ScaleTargetRef
	switch t.Kind {
	case "Deployment", "StatefulSet", "ReplicaSet", "ReplicationController":
		c.missing(at, Warning, "spec.scaleTargetRef.name", t.Kind, h.Namespace, t.Name)
	}
}

// missing adds a finding unless the documents make the object that is named.
func (c *checker) missing(at place, s Severity, path, kind, namespace, n string) {
	if n != "" && !c.world.has(kind, namespace, n) {
		c.add(at, s, path, "%s %q is not among the chart's objects", kind, n)
	}
}
