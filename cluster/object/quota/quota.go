// Package quota counts what objects use, by the names that ResourceQuotas have
// for it, and tells which objects a quota is about. It is pure: the API refuses
// by it what goes beyond a quota, and a controller fills quotas' status by it.
//
// Names and rules are Kubernetes' (pkg/quota/v1): "pods", "requests.cpu" and "cpu",
// "limits.memory", "services.nodeports", "requests.storage",
// "<class>.storageclass.storage.k8s.io/requests.storage", "count/deployments.apps".
package quota

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	helper "k8s.io/component-helpers/resource"

	"github.com/seed38700745/pkg/cluster/object"
)

const (
	countPrefix  = "count/"
	classMiddle  = ".storageclass.storage.k8s.io/"
	requestsOf   = "requests."
	limitsOf     = "limits."
	defaultClass = "volume.beta.kubernetes.io/storage-class"
)

// counted are the kinds of which a quota counts the objects by a name without
// "count/", too.
var counted = map[object.Resource]corev1.ResourceName{
	{Resource: "services"}:               corev1.ResourceServices,
	{Resource: "replicationcontrollers"}: corev1.ResourceReplicationControllers,
	{Resource: "resourcequotas"}:         corev1.ResourceQuotas,
	{Resource: "secrets"}:                corev1.ResourceSecrets,
	{Resource: "configmaps"}:             corev1.ResourceConfigMaps,
	{Resource: "persistentvolumeclaims"}: corev1.ResourcePersistentVolumeClaims,
}

// Resource returns the kind of object that is counted under a name.
func Resource(name corev1.ResourceName) object.Resource {
	text := string(name)
	if rest, ok := strings.CutPrefix(text, countPrefix); ok {
		plural, group, _ := strings.Cut(rest, ".")
		return object.Resource{Group: group, Resource: plural}
	}
	for r, short := range counted {
		if name == short {
			return r
		}
	}
	switch {
	case name == corev1.ResourceServicesNodePorts || name == corev1.ResourceServicesLoadBalancers:
		return object.Resource{Resource: "services"}
	case name == corev1.ResourceRequestsStorage || strings.Contains(text, classMiddle):
		return object.Resource{Resource: "persistentvolumeclaims"}
	}
	return object.Resource{Resource: "pods"}
}

// Usage is what an object of the resource r counts for. The result is the caller's.
func Usage(r object.Resource, o object.Object) corev1.ResourceList {
	name := countPrefix + r.Resource
	if r.Group != "" {
		name += "." + r.Group
	}
	one := *resource.NewQuantity(1, resource.DecimalSI)
	used := corev1.ResourceList{corev1.ResourceName(name): one.DeepCopy()}
	if short, ok := counted[r]; ok {
		used[short] = one.DeepCopy()
	}
	switch o := o.(type) {
	case *corev1.Pod:
		addPod(used, o)
	case *corev1.Service:
		addService(used, o)
	case *corev1.PersistentVolumeClaim:
		addClaim(used, o)
	}
	return used
}

// ended tells whether a pod counts for nothing any more but as an object.
func ended(p *corev1.Pod) bool {
	return p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
}

func addPod(used corev1.ResourceList, p *corev1.Pod) {
	if ended(p) {
		return
	}
	used[corev1.ResourcePods] = *resource.NewQuantity(1, resource.DecimalSI)
	for name, q := range helper.PodRequests(p, helper.PodResourcesOptions{}) {
		used[requestsOf+name] = q.DeepCopy()
		if native(name) {
			used[name] = q.DeepCopy()
		}
	}
	for name, q := range helper.PodLimits(p, helper.PodResourcesOptions{}) {
		if native(name) {
			used[limitsOf+name] = q.DeepCopy()
		}
	}
}

// native resources are counted without a prefix as well; others, of devices,
// only as requests.
func native(name corev1.ResourceName) bool {
	return name == corev1.ResourceCPU || name == corev1.ResourceMemory || name == corev1.ResourceEphemeralStorage ||
		strings.HasPrefix(string(name), corev1.ResourceHugePagesPrefix)
}

func addService(used corev1.ResourceList, s *corev1.Service) {
	ports := 0
	switch s.Spec.Type {
	case corev1.ServiceTypeNodePort:
		ports = len(s.Spec.Ports)
	case corev1.ServiceTypeLoadBalancer:
		ports = len(s.Spec.Ports)
		if s.Spec.AllocateLoadBalancerNodePorts != nil && !*s.Spec.AllocateLoadBalancerNodePorts {
			ports = 0
			for _, p := range s.Spec.Ports {
				if p.NodePort != 0 {
					ports++
				}
			}
		}
		used[corev1.ResourceServicesLoadBalancers] = *resource.NewQuantity(1, resource.DecimalSI)
	}
	used[corev1.ResourceServicesNodePorts] = *resource.NewQuantity(int64(ports), resource.DecimalSI)
}

func addClaim(used corev1.ResourceList, c *corev1.PersistentVolumeClaim) {
	class := c.Annotations[defaultClass]
	if c.Spec.StorageClassName != nil {
		class = *c.Spec.StorageClassName
	}
	size := c.Spec.Resources.Requests[corev1.ResourceStorage]
	used[corev1.ResourceRequestsStorage] = size.DeepCopy()
	if class != "" {
		used[corev1.ResourceName(class+classMiddle+string(corev1.ResourceRequestsStorage))] = size.DeepCopy()
		used[corev1.ResourceName(class+classMiddle+string(corev1.ResourcePersistentVolumeClaims))] = *resource.NewQuantity(1, resource.DecimalSI)
	}
}

// Add adds b to a.
func Add(a, b corev1.ResourceList) {
	for name, q := range b {
		sum := a[name].DeepCopy()
		sum.Add(q)
		a[name] = sum
	}
}

// Check returns an error if a write that changes an object's usage from before to
// after would bring what is used, without it, beyond the quota. What shrinks
// is never refused.
func Check(q *corev1.ResourceQuota, before, after, used corev1.ResourceList) error {
	var requested, have, limited []string
	for _, name := range slices.Sorted(maps.Keys(q.Spec.Hard)) {
		is, was, hard := after[name], before[name], q.Spec.Hard[name]
		if is.Cmp(was) <= 0 {
			continue
		}
		grown := is.DeepCopy()
		grown.Sub(was)
		now := used[name].DeepCopy()
		now.Add(was)
		total := now.DeepCopy()
		total.Add(grown)
		if total.Cmp(hard) > 0 {
			requested = append(requested, fmt.Sprintf("%s=%s", name, grown.String()))
			have = append(have, fmt.Sprintf("%s=%s", name, now.String()))
			limited = append(limited, fmt.Sprintf("%s=%s", name, hard.String()))
		}
	}
	if requested == nil {
		return nil
	}
	return fmt.Errorf("exceeded quota: %s, requested: %s, used: %s, limited: %s",
		q.Name, strings.Join(requested, ","), strings.Join(have, ","), strings.Join(limited, ","))
}

// Specified returns an error if a pod's containers leave open what the quota
// limits: then nothing could be counted.
func Specified(q *corev1.ResourceQuota, p *corev1.Pod) error {
	missing := map[string][]string{}
	for name := range q.Spec.Hard {
		bare, list := strings.TrimPrefix(string(name), requestsOf), "requests"
		if rest, ok := strings.CutPrefix(string(name), limitsOf); ok {
			bare, list = rest, "limits"
		}
		if bare != string(corev1.ResourceCPU) && bare != string(corev1.ResourceMemory) {
			continue
		}
		for _, c := range slices.Concat(p.Spec.InitContainers, p.Spec.Containers) {
			said := c.Resources.Requests
			if list == "limits" {
				said = c.Resources.Limits
			}
			if _, ok := said[corev1.ResourceName(bare)]; !ok {
				missing[string(name)] = append(missing[string(name)], c.Name)
			}
		}
	}
	if len(missing) == 0 {
		return nil
	}
	var all []string
	for _, name := range slices.Sorted(maps.Keys(missing)) {
		all = append(all, fmt.Sprintf("%s for: %s", name, strings.Join(missing[name], ",")))
	}
	return fmt.Errorf("failed quota: %s: %w", q.Name, errors.New("must specify "+strings.Join(all, "; ")))
}
