// Package builtin has a typed handle for each built-in resource that a part of
// the cluster reads or writes, so that callers of object.Verbs need no casts:
//
//	pod, err := builtin.Pods.Get(ctx, verbs, "default", "web-0")
//
// It is apart from package object because it links k8s.io/api.
package builtin

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/seed38700745/pkg/cluster/object"
)

// Handle is a built-in resource with its Go type.
type Handle[T object.Object] struct {
	Resource object.Resource
	Kind     schema.GroupVersionKind
}

// The resources, by Kubernetes' names.
var (
	Namespaces               = handle[*corev1.Namespace]("", "v1", "namespaces", "Namespace")
	Pods                     = handle[*corev1.Pod]("", "v1", "pods", "Pod")
	Services                 = handle[*corev1.Service]("", "v1", "services", "Service")
	Endpoints                = handle[*corev1.Endpoints]("", "v1", "endpoints", "Endpoints")
	ConfigMaps               = handle[*corev1.ConfigMap]("", "v1", "configmaps", "ConfigMap")
	Secrets                  = handle[*corev1.Secret]("", "v1", "secrets", "Secret")
	ServiceAccounts          = handle[*corev1.ServiceAccount]("", "v1", "serviceaccounts", "ServiceAccount")
	PersistentVolumes        = handle[*corev1.PersistentVolume]("", "v1", "persistentvolumes", "PersistentVolume")
	PersistentVolumeClaims   = handle[*corev1.PersistentVolumeClaim]("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim")
	Nodes                    = handle[*corev1.Node]("", "v1", "nodes", "Node")
	ResourceQuotas           = handle[*corev1.ResourceQuota]("", "v1", "resourcequotas", "ResourceQuota")
	Events                   = handle[*corev1.Event]("", "v1", "events", "Event")
	ReplicationControllers   = handle[*corev1.ReplicationController]("", "v1", "replicationcontrollers", "ReplicationController")
	Deployments              = handle[*appsv1.Deployment]("apps", "v1", "deployments", "Deployment")
	ReplicaSets              = handle[*appsv1.ReplicaSet]("apps", "v1", "replicasets", "ReplicaSet")
	StatefulSets             = handle[*appsv1.StatefulSet]("apps", "v1", "statefulsets", "StatefulSet")
	DaemonSets               = handle[*appsv1.DaemonSet]("apps", "v1", "daemonsets", "DaemonSet")
	ControllerRevisions      = handle[*appsv1.ControllerRevision]("apps", "v1", "controllerrevisions", "ControllerRevision")
	Jobs                     = handle[*batchv1.Job]("batch", "v1", "jobs", "Job")
	CronJobs                 = handle[*batchv1.CronJob]("batch", "v1", "cronjobs", "CronJob")
	HorizontalPodAutoscalers = handle[*autoscalingv2.HorizontalPodAutoscaler]("autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler")
	PodDisruptionBudgets     = handle[*policyv1.PodDisruptionBudget]("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget")
	NetworkPolicies          = handle[*networkingv1.NetworkPolicy]("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy")
	EndpointSlices           = handle[*discoveryv1.EndpointSlice]("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice")
	StorageClasses           = handle[*storagev1.StorageClass]("storage.k8s.io", "v1", "storageclasses", "StorageClass")
	Leases                   = handle[*coordinationv1.Lease]("coordination.k8s.io", "v1", "leases", "Lease")
	Roles                    = handle[*rbacv1.Role]("rbac.authorization.k8s.io", "v1", "roles", "Role")
	RoleBindings             = handle[*rbacv1.RoleBinding]("rbac.authorization.k8s.io", "v1", "rolebindings", "RoleBinding")
	ClusterRoles             = handle[*rbacv1.ClusterRole]("rbac.authorization.k8s.io", "v1", "clusterroles", "ClusterRole")
	ClusterRoleBindings      = handle[*rbacv1.ClusterRoleBinding]("rbac.authorization.k8s.io", "v1", "clusterrolebindings", "ClusterRoleBinding")
)

func handle[T object.Object](group, version, resource, kind string) Handle[T] {
	return Handle[T]{
		Resource: object.Resource{Group: group, Resource: resource},
		Kind:     schema.GroupVersionKind{Group: group, Version: version, Kind: kind},
	}
}

// as checks the type of what Verbs returned.
func as[T object.Object](o object.Object, err error) (T, error) {
	var zero T
	if err != nil {
		return zero, err
	}
	t, ok := o.(T)
	if !ok {
		return zero, fmt.Errorf("got a %T, want a %T", o, zero)
	}
	return t, nil
}

// Get returns the shared, immutable object.
func (h Handle[T]) Get(ctx context.Context, v object.Verbs, namespace, name string) (T, error) {
	return as[T](v.Get(ctx, h.Resource, object.Key{Namespace: namespace, Name: name}))
}

// List returns all objects that fit, across pages.
func (h Handle[T]) List(ctx context.Context, v object.Verbs, o object.ListOptions) ([]T, error) {
	l, err := v.List(ctx, h.Resource, o)
	if err != nil {
		return nil, err
	}
	items := make([]T, len(l.Items))
	for i := range l.Items {
		if items[i], err = as[T](l.Items[i], nil); err != nil {
			return nil, err
		}
	}
	return items, nil
}

// Create stores o, which then belongs to the API.
func (h Handle[T]) Create(ctx context.Context, v object.Verbs, o T, w object.WriteOptions) (T, error) {
	return as[T](v.Create(ctx, h.Resource, o, w))
}

// Update replaces o, which then belongs to the API.
func (h Handle[T]) Update(ctx context.Context, v object.Verbs, o T, w object.WriteOptions) (T, error) {
	return as[T](v.Update(ctx, h.Resource, o, w))
}

// UpdateStatus replaces o's status.
func (h Handle[T]) UpdateStatus(ctx context.Context, v object.Verbs, o T, w object.WriteOptions) (T, error) {
	w.Subresource = "status"
	return as[T](v.Update(ctx, h.Resource, o, w))
}

// Delete deletes one object.
func (h Handle[T]) Delete(ctx context.Context, v object.Verbs, namespace, name string, o object.DeleteOptions) error {
	_, err := v.Delete(ctx, h.Resource, object.Key{Namespace: namespace, Name: name}, o)
	return err
}

// Follow delivers the present and all later states; see object.Follow.
func (h Handle[T]) Follow(ctx context.Context, v object.Verbs, o object.WatchOptions, changed func(o T, deleted bool), synced func()) error {
	return object.Follow(ctx, v, h.Resource, o, object.Handler{
		Changed: func(o object.Object, deleted bool) {
			if t, ok := o.(T); ok {
				changed(t, deleted)
			}
		},
		Synced: synced,
	})
}
