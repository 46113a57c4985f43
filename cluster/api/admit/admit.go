// Package admit completes new objects from what else there is in the cluster,
// as Kubernetes' built-in admission plugins do: pods get their service
// account's token and pull secrets, default tolerations and priority, and the
// requests and limits of the namespace's LimitRanges, which are also checked;
// claims the default storage class; namespaces their finalizer.
//
// The functions change the object they are given, which belongs to the caller.
package admit

import (
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/util/rand"

	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/store"
)

// ErrNoAccount wraps the refusal of a pod whose service account does not
// exist (yet).
var ErrNoAccount = errors.New("service account not found")

// Resources that pods and claims depend on.
var (
	serviceAccounts = object.Resource{Resource: "serviceaccounts"}
	priorityClasses = object.Resource{Group: "scheduling.k8s.io", Resource: "priorityclasses"}
	storageClasses  = object.Resource{Group: "storage.k8s.io", Resource: "storageclasses"}
)

// Pod admits a new pod. Errors: ErrNoAccount, or what else forbids it.
func Pod(s store.Store, p *corev1.Pod) error {
	if err := limitPod(s, p); err != nil {
		return err
	}
	if err := account(s, p); err != nil {
		return err
	}
	tolerate(p)
	return priority(s, p)
}

// Where a pod finds its token (Kubernetes: plugin/admission/serviceaccount).
const (
	tokenMount    = "/var/run/secrets/kubernetes.io/serviceaccount"
	tokenPrefix   = "kube-api-access-"
	tokenLife     = 3607 // seconds; an odd number by which issuers know these tokens
	rootConfigMap = "kube-root-ca.crt"
	mirrorPod     = "kubernetes.io/config.mirror"
)

// account fills in the service account, its pull secrets, and the volume with
// its token.
func account(s store.Store, p *corev1.Pod) error {
	if _, mirror := p.Annotations[mirrorPod]; mirror {
		return nil
	}
	if p.Spec.ServiceAccountName == "" {
		p.Spec.ServiceAccountName = "default"
	}
	p.Spec.DeprecatedServiceAccount = p.Spec.ServiceAccountName
	key := object.Key{Namespace: p.Namespace, Name: p.Spec.ServiceAccountName}
	o, err := s.Get(serviceAccounts, key)
	if errors.Is(err, store.ErrNotFound) {
		return noAccount{key}
	}
	if err != nil {
		return err
	}
	sa, ok := o.(*corev1.ServiceAccount)
	if !ok {
		return fmt.Errorf("service account %s is a %T", key, o)
	}
	if len(p.Spec.ImagePullSecrets) == 0 {
		p.Spec.ImagePullSecrets = slices.Clone(sa.ImagePullSecrets)
	}
	if automount(sa, p) {
		mountToken(p)
	}
	return nil
}

// noAccount is ErrNoAccount in Kubernetes' wording.
type noAccount struct{ key object.Key }

func (e noAccount) Error() string {
	return fmt.Sprintf("error looking up service account %s: serviceaccount %q not found", e.key, e.key.Name)
}
func (e noAccount) Is(target error) bool { return target == ErrNoAccount }

func automount(sa *corev1.ServiceAccount, p *corev1.Pod) bool {
	switch {
	case p.Spec.AutomountServiceAccountToken != nil:
		return *p.Spec.AutomountServiceAccountToken
	case sa.AutomountServiceAccountToken != nil:
		return *sa.AutomountServiceAccountToken
	}
	return true
}

// mountToken adds the projected volume to the pod and mounts it where nothing
// else is mounted.
func mountToken(p *corev1.Pod) {
	name := ""
	for _, v := range p.Spec.Volumes {
		if v.Projected != nil && len(v.Name) > len(tokenPrefix) && v.Name[:len(tokenPrefix)] == tokenPrefix {
			name = v.Name
		}
	}
	add := name == ""
	if add {
		name = tokenPrefix + rand.String(5)
	}
	used := false
	mount := func(c *corev1.Container) {
		for _, m := range c.VolumeMounts {
			if m.MountPath == tokenMount {
				return
			}
		}
		c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: name, ReadOnly: true, MountPath: tokenMount})
		used = true
	}
	for i := range p.Spec.InitContainers {
		mount(&p.Spec.InitContainers[i])
	}
	for i := range p.Spec.Containers {
		mount(&p.Spec.Containers[i])
	}
	if used && add {
		p.Spec.Volumes = append(p.Spec.Volumes, tokenVolume(name))
	}
}

func tokenVolume(name string) corev1.Volume {
	life, mode := int64(tokenLife), corev1.ProjectedVolumeSourceDefaultMode
	return corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{
		DefaultMode: &mode,
		Sources: []corev1.VolumeProjection{
			{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "token", ExpirationSeconds: &life}},
			{ConfigMap: &corev1.ConfigMapProjection{
				LocalObjectReference: corev1.LocalObjectReference{Name: rootConfigMap},
				Items:                []corev1.KeyToPath{{Key: "ca.crt", Path: "ca.crt"}},
			}},
			{DownwardAPI: &corev1.DownwardAPIProjection{Items: []corev1.DownwardAPIVolumeFile{{
				Path: "namespace", FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: "metadata.namespace"},
			}}}},
		},
	}}}
}

// tolerationSeconds is how long a pod stays on a node that is lost.
const tolerationSeconds = 300

// tolerate lets the pod stay a while on nodes that are not ready or
// unreachable, unless it says itself for how long.
func tolerate(p *corev1.Pod) {
	for _, key := range []string{corev1.TaintNodeNotReady, corev1.TaintNodeUnreachable} {
		has := slices.ContainsFunc(p.Spec.Tolerations, func(t corev1.Toleration) bool {
			return (t.Key == key || t.Key == "") && (t.Effect == corev1.TaintEffectNoExecute || t.Effect == "")
		})
		if !has {
			seconds := int64(tolerationSeconds)
			p.Spec.Tolerations = append(p.Spec.Tolerations, corev1.Toleration{
				Key: key, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute, TolerationSeconds: &seconds,
			})
		}
	}
}

// priority takes the pod's priority from its class, or from the default class.
func priority(s store.Store, p *corev1.Pod) error {
	class, err := priorityClass(s, p.Spec.PriorityClassName)
	if err != nil {
		return err
	}
	value, policy := int32(0), corev1.PreemptLowerPriority
	if class != nil {
		p.Spec.PriorityClassName, value = class.Name, class.Value
		if class.PreemptionPolicy != nil {
			policy = *class.PreemptionPolicy
		}
	}
	if p.Spec.Priority != nil && *p.Spec.Priority != value {
		return fmt.Errorf("the integer value of priority (%d) must not be provided in pod spec; priority admission controller computed %d from the given PriorityClass name", *p.Spec.Priority, value)
	}
	if p.Spec.PreemptionPolicy != nil && *p.Spec.PreemptionPolicy != policy {
		return fmt.Errorf("the string value of PreemptionPolicy (%s) must not be provided in pod spec; priority admission controller computed %s from the given PriorityClass name", *p.Spec.PreemptionPolicy, policy)
	}
	p.Spec.Priority, p.Spec.PreemptionPolicy = &value, &policy
	return nil
}

func priorityClass(s store.Store, name string) (*schedulingv1.PriorityClass, error) {
	if name != "" {
		o, err := s.Get(priorityClasses, object.Key{Name: name})
		if errors.Is(err, store.ErrNotFound) {
			return nil, fmt.Errorf("no PriorityClass with name %s was found", name)
		}
		class, _ := o.(*schedulingv1.PriorityClass)
		return class, err
	}
	var best *schedulingv1.PriorityClass
	s.Snapshot().Ascend(priorityClasses, "", object.Key{}, func(o object.Object) bool {
		if c, ok := o.(*schedulingv1.PriorityClass); ok && c.GlobalDefault && (best == nil || c.Value < best.Value) {
			best = c
		}
		return true
	})
	return best, nil
}

// defaultClass marks the storage class of claims that name none.
const defaultClass = "storageclass.kubernetes.io/is-default-class"

// Claim gives a claim without a storage class the default one: the newest, if
// there are several. Its error says which LimitRange rule forbids the claim.
func Claim(s store.Store, c *corev1.PersistentVolumeClaim) error {
	if err := limitClaim(s, c); err != nil {
		return err
	}
	if c.Spec.StorageClassName != nil || c.Annotations[corev1.BetaStorageClassAnnotation] != "" {
		return nil
	}
	var best *storagev1.StorageClass
	s.Snapshot().Ascend(storageClasses, "", object.Key{}, func(o object.Object) bool {
		class, ok := o.(*storagev1.StorageClass)
		if ok && class.Annotations[defaultClass] == "true" && (best == nil || best.CreationTimestamp.Before(&class.CreationTimestamp)) {
			best = class
		}
		return true
	})
	if best != nil {
		name := best.Name
		c.Spec.StorageClassName = &name
	}
	return nil
}

// Namespace makes a new namespace active, and held by the finalizer that the
// namespace controller removes when its content is gone.
func Namespace(n *corev1.Namespace) {
	if !slices.Contains(n.Spec.Finalizers, corev1.FinalizerKubernetes) {
		n.Spec.Finalizers = append(n.Spec.Finalizers, corev1.FinalizerKubernetes)
	}
	n.Status = corev1.NamespaceStatus{Phase: corev1.NamespaceActive}
}
