package admit

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	helper "k8s.io/component-helpers/resource"

	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/store"
)

var limitRanges = object.Resource{Resource: "limitranges"}

// limitAnnotation tells what was filled in from LimitRanges.
const limitAnnotation = "kubernetes.io/limit-ranger"

// rangesOf lists the limits of a namespace's LimitRanges, by the ranges' names.
func rangesOf(s store.Store, namespace string) []corev1.LimitRangeItem {
	var all []corev1.LimitRangeItem
	s.Snapshot().Ascend(limitRanges, namespace, object.Key{}, func(o object.Object) bool {
		if l, ok := o.(*corev1.LimitRange); ok {
			all = append(all, l.Spec.Limits...)
		}
		return true
	})
	return all
}

// limitPod gives a new pod's containers the requests and limits that the
// namespace's LimitRanges have for those that say none, and checks all of them.
func limitPod(s store.Store, p *corev1.Pod) error {
	items := rangesOf(s, p.Namespace)
	if len(items) == 0 {
		return nil
	}
	var notes []string
	for _, item := range items {
		if item.Type != corev1.LimitTypeContainer {
			continue
		}
		for i := range p.Spec.Containers {
			notes = append(notes, fillContainer(&p.Spec.Containers[i], item, "container")...)
		}
		for i := range p.Spec.InitContainers {
			notes = append(notes, fillContainer(&p.Spec.InitContainers[i], item, "init container")...)
		}
	}
	if len(notes) > 0 {
		if p.Annotations == nil {
			p.Annotations = map[string]string{}
		}
		p.Annotations[limitAnnotation] = "LimitRanger plugin set: " + strings.Join(notes, "; ")
	}
	var errs []error
	for _, item := range items {
		switch item.Type {
		case corev1.LimitTypeContainer:
			for _, c := range slices.Concat(p.Spec.InitContainers, p.Spec.Containers) {
				errs = append(errs, withinRange(item, c.Resources.Requests, c.Resources.Limits)...)
			}
		case corev1.LimitTypePod:
			o := helper.PodResourcesOptions{ExcludeOverhead: true}
			errs = append(errs, withinRange(item, helper.PodRequests(p, o), helper.PodLimits(p, o))...)
		}
	}
	return utilerrors.NewAggregate(errs)
}

// fillContainer sets what c does not say, and returns what it set.
func fillContainer(c *corev1.Container, item corev1.LimitRangeItem, kind string) (notes []string) {
	fill := func(list *corev1.ResourceList, from corev1.ResourceList, what string) {
		var names []string
		for _, name := range slices.Sorted(maps.Keys(from)) {
			if _, has := (*list)[name]; has {
				continue
			}
			if *list == nil {
				*list = corev1.ResourceList{}
			}
			(*list)[name] = from[name].DeepCopy()
			names = append(names, string(name))
		}
		if len(names) > 0 {
			notes = append(notes, fmt.Sprintf("%s %s for %s %s", strings.Join(names, ", "), what, kind, c.Name))
		}
	}
	fill(&c.Resources.Requests, item.DefaultRequest, "request")
	fill(&c.Resources.Limits, item.Default, "limit")
	return notes
}

// limitClaim checks the size of a claim against the namespace's LimitRanges.
func limitClaim(s store.Store, c *corev1.PersistentVolumeClaim) error {
	var errs []error
	for _, item := range rangesOf(s, c.Namespace) {
		if item.Type != corev1.LimitTypePersistentVolumeClaim {
			continue
		}
		requests := c.Spec.Resources.Requests
		for _, name := range slices.Sorted(maps.Keys(item.Min)) {
			errs = append(errs, atLeast(item.Type, name, item.Min[name], requests, nil))
		}
		for _, name := range slices.Sorted(maps.Keys(item.Max)) { // a claim has no limits
			errs = append(errs, atMost(item.Type, name, item.Max[name], requests, requests, "request"))
		}
	}
	return utilerrors.NewAggregate(errs)
}

// withinRange checks requests and limits against one item. Nil errors are among
// those that it returns.
func withinRange(item corev1.LimitRangeItem, requests, limits corev1.ResourceList) (errs []error) {
	for _, name := range slices.Sorted(maps.Keys(item.Min)) {
		errs = append(errs, atLeast(item.Type, name, item.Min[name], requests, limits))
	}
	for _, name := range slices.Sorted(maps.Keys(item.Max)) {
		errs = append(errs, atMost(item.Type, name, item.Max[name], limits, requests, "limit"))
	}
	for _, name := range slices.Sorted(maps.Keys(item.MaxLimitRequestRatio)) {
		errs = append(errs, ratio(item.Type, name, item.MaxLimitRequestRatio[name], requests, limits))
	}
	return errs
}

// The texts are Kubernetes' (plugin/pkg/admission/limitranger).

func atLeast(t corev1.LimitType, name corev1.ResourceName, least resource.Quantity, requests, limits corev1.ResourceList) error {
	rule := fmt.Sprintf("minimum %s usage per %s is %s", name, t, least.String())
	request, ok := requests[name]
	if !ok {
		return fmt.Errorf("%s.  No request is specified", rule)
	}
	if request.Cmp(least) < 0 {
		return fmt.Errorf("%s, but request is %s", rule, request.String())
	}
	if limit, ok := limits[name]; ok && limit.Cmp(least) < 0 {
		return fmt.Errorf("%s, but limit is %s", rule, limit.String())
	}
	return nil
}

// atMost checks the list that must say something, which messages call what,
// and then requests.
func atMost(t corev1.LimitType, name corev1.ResourceName, most resource.Quantity, list, requests corev1.ResourceList, what string) error {
	rule := fmt.Sprintf("maximum %s usage per %s is %s", name, t, most.String())
	q, ok := list[name]
	if !ok {
		return fmt.Errorf("%s.  No %s is specified", rule, what)
	}
	if q.Cmp(most) > 0 {
		return fmt.Errorf("%s, but %s is %s", rule, what, q.String())
	}
	if request, ok := requests[name]; ok && request.Cmp(most) > 0 {
		return fmt.Errorf("%s, but request is %s", rule, request.String())
	}
	return nil
}

func ratio(t corev1.LimitType, name corev1.ResourceName, most resource.Quantity, requests, limits corev1.ResourceList) error {
	rule := fmt.Sprintf("%s max limit to request ratio per %s is %s", name, t, most.String())
	request, limit := requests[name], limits[name]
	if request.IsZero() {
		return fmt.Errorf("%s, but no request is specified or request is 0", rule)
	}
	if limit.IsZero() {
		return fmt.Errorf("%s, but no limit is specified or limit is 0", rule)
	}
	if got := limit.AsApproximateFloat64() / request.AsApproximateFloat64(); cmp.Compare(got, most.AsApproximateFloat64()) > 0 {
		return fmt.Errorf("%s, but provided ratio is %f", rule, got)
	}
	return nil
}
