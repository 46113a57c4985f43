package scheduler

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/component-helpers/storage/volume"

	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/object/builtin"
)

// Reasons of the volume filter.
const (
	reasonVolumeNode = "node(s) didn't match PersistentVolume's node affinity"
	reasonVolumeNone = "node(s) didn't find available persistent volumes to bind"
	reasonVolumeGone = "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)"
	reasonUnboundNow = "pod has unbound immediate PersistentVolumeClaims"
	selectedNode     = volume.AnnSelectedNode
)

// podClaim is one claim of a pod and, when it is not bound yet and waits for
// its first consumer, its class.
type podClaim struct {
	claim *corev1.PersistentVolumeClaim
	class *storagev1.StorageClass // nil: the claim is bound
}

// world reads what a placement of pod looks at.
func (s *Scheduler) world(ctx context.Context, pod *corev1.Pod) (world, error) {
	w := world{nodes: s.queue.withNominated(pod, s.cache.known())}
	if err := s.readNamespaces(ctx, pod, &w); err != nil {
		return w, err
	}
	var err error
	names := claimNames(pod)
	if len(names) == 0 {
		return w, nil
	}
	if w.volumes, err = builtin.PersistentVolumes.List(ctx, s.verbs, object.ListOptions{}); err != nil {
		return w, fmt.Errorf("list persistent volumes: %w", err)
	}
	for _, name := range names {
		c, unfit, err := s.claim(ctx, pod, name)
		if err != nil || unfit != "" {
			w.unfit = unfit
			return w, err
		}
		w.claims = append(w.claims, c)
	}
	return w, nil
}

// readNamespaces reads the namespaces if affinity between pods plays a role.
func (s *Scheduler) readNamespaces(ctx context.Context, pod *corev1.Pod, w *world) error {
	a := pod.Spec.Affinity
	if (a == nil || (a.PodAffinity == nil && a.PodAntiAffinity == nil)) &&
		!slices.ContainsFunc(w.nodes, func(n *nodeInfo) bool { return len(n.repelling) > 0 }) {
		return nil
	}
	all, err := builtin.Namespaces.List(ctx, s.verbs, object.ListOptions{})
	if err != nil {
		return fmt.Errorf("list namespaces: %w", err)
	}
	w.namespaces = map[string]*corev1.Namespace{}
	for _, n := range all {
		w.namespaces[n.Name] = n
	}
	return nil
}

// claimNames are the claims of a pod's volumes, those of ephemeral volumes included.
func claimNames(pod *corev1.Pod) []string {
	var names []string
	for _, v := range pod.Spec.Volumes {
		switch {
		case v.PersistentVolumeClaim != nil:
			names = append(names, v.PersistentVolumeClaim.ClaimName)
		case v.Ephemeral != nil:
			names = append(names, pod.Name+"-"+v.Name)
		}
	}
	return names
}

// claim reads one claim; unfit says why the pod cannot run anywhere.
func (s *Scheduler) claim(ctx context.Context, pod *corev1.Pod, name string) (c podClaim, unfit string, err error) {
	c.claim, err = builtin.PersistentVolumeClaims.Get(ctx, s.verbs, pod.Namespace, name)
	switch {
	case apierrors.IsNotFound(err):
		return c, fmt.Sprintf("persistentvolumeclaim %q not found", name), nil
	case err != nil:
		return c, "", fmt.Errorf("get claim %s: %w", name, err)
	case c.claim.DeletionTimestamp != nil:
		return c, fmt.Sprintf("persistentvolumeclaim %q is being deleted", name), nil
	case c.claim.Status.Phase == corev1.ClaimLost:
		return c, fmt.Sprintf("persistentvolumeclaim %q bound to non-existent persistentvolume %q", name, c.claim.Spec.VolumeName), nil
	case bound(c.claim):
		return c, "", nil
	}
	c.class, err = builtin.StorageClasses.Get(ctx, s.verbs, "", volume.GetPersistentVolumeClaimClass(c.claim))
	if err != nil && !apierrors.IsNotFound(err) && volume.GetPersistentVolumeClaimClass(c.claim) != "" {
		return c, "", fmt.Errorf("get storage class: %w", err)
	}
	waits := err == nil && c.class.VolumeBindingMode != nil && *c.class.VolumeBindingMode == storagev1.VolumeBindingWaitForFirstConsumer
	if !waits || c.claim.Spec.VolumeName != "" {
		return c, reasonUnboundNow, nil
	}
	return c, "", nil
}

func bound(c *corev1.PersistentVolumeClaim) bool {
	return c.Spec.VolumeName != "" && c.Annotations[volume.AnnBindCompleted] != ""
}

// volumes lets nodes through on which every claim of the pod has its volume,
// or can get one.
func volumes(w world) filter {
	return func(_ *corev1.Pod, n *nodeInfo) *refusal {
		for _, c := range w.claims {
			if c.class != nil {
				continue
			}
			i := slices.IndexFunc(w.volumes, func(v *corev1.PersistentVolume) bool { return v.Name == c.claim.Spec.VolumeName })
			if i < 0 {
				return never(reasonVolumeGone)
			}
			if volume.CheckNodeAffinity(w.volumes[i], n.node.Labels) != nil {
				return never(reasonVolumeNode)
			}
		}
		if _, ok := volumePlan(w, n.node); !ok {
			return never(reasonVolumeNone)
		}
		return nil
	}
}

// volumeChoice is how an unbound claim gets its volume on a node: an existing
// one, or (nil) one to be made there.
type volumeChoice struct {
	claim  podClaim
	volume *corev1.PersistentVolume
}

// volumePlan chooses for every unbound claim, the smallest volume that fits
// before making one. ok is false when some claim can have none on this node.
func volumePlan(w world, node *corev1.Node) (choices []volumeChoice, ok bool) {
	taken := map[string]*corev1.PersistentVolume{}
	for _, c := range w.claims {
		if c.class == nil {
			continue
		}
		selected := c.claim.Annotations[selectedNode]
		if selected != "" && selected != node.Name {
			return nil, false
		}
		v, err := volume.FindMatchingVolume(c.claim, w.volumes, node, taken, false, true)
		if err != nil {
			return nil, false
		}
		if v != nil {
			taken[v.Name] = v
		} else if c.class.Provisioner == volume.NotSupportedProvisioner || c.claim.Spec.Selector != nil || !allowed(c.class, node) {
			return nil, false
		}
		choices = append(choices, volumeChoice{c, v})
	}
	return choices, true
}

// allowed tells whether the class may make volumes for a node.
func allowed(class *storagev1.StorageClass, node *corev1.Node) bool {
	if len(class.AllowedTopologies) == 0 {
		return true
	}
	return slices.ContainsFunc(class.AllowedTopologies, func(t corev1.TopologySelectorTerm) bool {
		return !slices.ContainsFunc(t.MatchLabelExpressions, func(e corev1.TopologySelectorLabelRequirement) bool {
			v, ok := node.Labels[e.Key]
			return !ok || !slices.Contains(e.Values, v)
		})
	})
}

// prepareVolumes starts the binding of the pod's unbound claims on the node:
// it reserves the chosen volume, or asks with an annotation for one to be made.
// ready tells that nothing needs to be waited for.
func (s *Scheduler) prepareVolumes(ctx context.Context, pod *corev1.Pod, w world, node *corev1.Node) (ready bool, err error) {
	choices, _ := volumePlan(w, node)
	for _, c := range choices {
		if err := s.prepareVolume(ctx, c, node); err != nil {
			return false, fmt.Errorf("claim %s: %w", c.claim.claim.Name, err)
		}
	}
	return len(choices) == 0, nil
}

func (s *Scheduler) prepareVolume(ctx context.Context, c volumeChoice, node *corev1.Node) error {
	options := object.WriteOptions{FieldManager: manager}
	if c.volume != nil {
		v, changed, err := volume.GetBindVolumeToClaim(c.volume, c.claim.claim)
		if err != nil || !changed {
			return err
		}
		_, err = builtin.PersistentVolumes.Update(ctx, s.verbs, v, options)
		return err
	}
	if c.claim.claim.Annotations[selectedNode] == node.Name {
		return nil
	}
	claim := c.claim.claim.DeepCopy()
	if claim.Annotations == nil {
		claim.Annotations = map[string]string{}
	}
	claim.Annotations[selectedNode] = node.Name
	_, err := builtin.PersistentVolumeClaims.Update(ctx, s.verbs, claim, options)
	return err
}
