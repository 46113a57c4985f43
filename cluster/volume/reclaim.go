package volume

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	pvhelper "k8s.io/component-helpers/storage/volume"

	"golang.org/x/sync/errgroup"

	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/object/builtin"
)

// reclaimRetry is the pause after a volume could not be reclaimed, because
// of an error or because a pod still uses it.
const reclaimRetry = 5 * time.Second

// Run deletes, until ctx ends, the data of provisioned volumes of this node
// that were released and whose reclaim policy is Delete, and then the volumes.
// A volume that is deleted itself loses its finalizer; its data goes too,
// unless the policy is Retain.
func (m *Manager) Run(ctx context.Context) error {
	changed := make(chan string)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		return builtin.PersistentVolumes.Follow(ctx, m.Verbs, object.WatchOptions{}, func(pv *corev1.PersistentVolume, deleted bool) {
			if deleted || !due(pv) {
				return
			}
			select {
			case changed <- pv.Name:
			case <-ctx.Done():
			}
		}, nil)
	})
	g.Go(func() error { return m.reclaimLoop(ctx, changed) })
	return g.Wait()
}

// reclaimLoop reclaims the volumes it is told of until that succeeded.
func (m *Manager) reclaimLoop(ctx context.Context, changed <-chan string) error {
	pending := map[string]bool{}
	timer := time.NewTimer(reclaimRetry)
	defer timer.Stop()
	for {
		var again <-chan time.Time // nil: nothing to try again
		if len(pending) > 0 {
			timer.Reset(reclaimRetry)
			again = timer.C
		}
		select {
		case <-ctx.Done():
			return nil
		case name := <-changed:
			pending[name] = true
		case <-again:
		}
		for name := range pending {
			if err := m.reclaim(ctx, name); err == nil {
				delete(pending, name)
			} else if ctx.Err() == nil && !errors.Is(err, errInUse) {
				m.Logger.Warn("volume not reclaimed", "volume", name, "error", err)
			}
		}
	}
}

// due tells whether a volume is to be reclaimed. Pure.
func due(pv *corev1.PersistentVolume) bool {
	if pv.Annotations[provisionedBy] != Provisioner || pathOf(pv) == "" {
		return false
	}
	if pv.DeletionTimestamp != nil {
		return slices.Contains(pv.Finalizers, Finalizer) && pv.Status.Phase != corev1.VolumeBound
	}
	return pv.Status.Phase == corev1.VolumeReleased && pv.Spec.PersistentVolumeReclaimPolicy == corev1.PersistentVolumeReclaimDelete
}

var errInUse = errors.New("a pod still uses the volume")

// reclaim deletes one volume's data and lets the volume go.
func (m *Manager) reclaim(ctx context.Context, name string) error {
	pv, err := builtin.PersistentVolumes.Get(ctx, m.Verbs, "", name)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if !due(pv) {
		return nil
	}
	node, err := builtin.Nodes.Get(ctx, m.Verbs, "", m.Node)
	if err != nil {
		return fmt.Errorf("node %s: %w", m.Node, err)
	}
	if pvhelper.CheckNodeAffinity(pv, node.Labels) != nil {
		return nil // another node's
	}
	if pv.Spec.PersistentVolumeReclaimPolicy == corev1.PersistentVolumeReclaimDelete {
		if err := m.deleteData(ctx, pv); err != nil {
			return err
		}
	}
	if pv.DeletionTimestamp == nil {
		err := builtin.PersistentVolumes.Delete(ctx, m.Verbs, "", name, object.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &pv.UID}})
		if err != nil && !apierrors.IsNotFound(err) {
			return err
		}
		if pv, err = builtin.PersistentVolumes.Get(ctx, m.Verbs, "", name); apierrors.IsNotFound(err) {
			return nil
		} else if err != nil {
			return err
		}
	}
	pv = pv.DeepCopy()
	pv.Finalizers = slices.DeleteFunc(pv.Finalizers, func(f string) bool { return f == Finalizer })
	_, err = builtin.PersistentVolumes.Update(ctx, m.Verbs, pv, object.WriteOptions{FieldManager: "kubelet"})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// deleteData deletes a volume's folder, unless a pod still has it.
func (m *Manager) deleteData(ctx context.Context, pv *corev1.PersistentVolume) error {
	path := pathOf(pv)
	if err := m.within(path); err != nil {
		return err
	}
	if ref := pv.Spec.ClaimRef; ref != nil {
		pods, err := builtin.Pods.List(ctx, m.Verbs, object.ListOptions{Namespace: ref.Namespace, Fields: fields.OneTermEqualSelector("spec.nodeName", m.Node)})
		if err != nil {
			return err
		}
		if slices.ContainsFunc(pods, func(p *corev1.Pod) bool { return holdsClaim(p, ref.Name) && m.setUpFor(p) }) {
			return errInUse
		}
	}
	if err := os.RemoveAll(path); err != nil {
		return fmt.Errorf("data of volume %s: %w", pv.Name, err)
	}
	m.Logger.Info("volume's data deleted", "volume", pv.Name)
	return nil
}

func holdsClaim(pod *corev1.Pod, claim string) bool {
	return slices.ContainsFunc(pod.Spec.Volumes, func(v corev1.Volume) bool {
		return v.PersistentVolumeClaim != nil && v.PersistentVolumeClaim.ClaimName == claim ||
			v.Ephemeral != nil && pod.Name+"-"+v.Name == claim
	})
}

// setUpFor tells whether a pod's volumes are set up.
func (m *Manager) setUpFor(pod *corev1.Pod) bool {
	_, err := os.Lstat(m.volumesDir(string(pod.UID)))
	return err == nil
}
