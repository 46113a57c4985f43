package kind

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/seed38700745/pkg/cluster/kind/defaults"
	"github.com/seed38700745/pkg/cluster/kind/table"
	"github.com/seed38700745/pkg/cluster/kind/validate"
)

func persistentVolume() *Kind {
	k := define[corev1.PersistentVolume, corev1.PersistentVolumeList](
		corev1.SchemeGroupVersion, "PersistentVolume", "persistentvolumes", "pv")
	k.Acted = true
	status(k, func(to, from *corev1.PersistentVolume) { to.Status = from.Status })
	k.Default = on(defaults.PersistentVolume)
	k.PrepareCreate = on(func(v *corev1.PersistentVolume) {
		v.Status = corev1.PersistentVolumeStatus{Phase: corev1.VolumePending}
	})
	k.Columns, k.Row = table.PersistentVolumeColumns(), row(table.PersistentVolumeRow)
	k.Validate = check(validate.PersistentVolume)
	k.ValidateUpdate = checkBoth(validate.PersistentVolumeUpdate)
	return k
}

func persistentVolumeClaim() *Kind {
	k := defineNamespaced[corev1.PersistentVolumeClaim, corev1.PersistentVolumeClaimList](
		corev1.SchemeGroupVersion, "PersistentVolumeClaim", "persistentvolumeclaims", "pvc")
	k.Acted = true
	status(k, func(to, from *corev1.PersistentVolumeClaim) { to.Status = from.Status })
	k.Default = on(defaults.PersistentVolumeClaim)
	k.PrepareCreate = on(prepareClaim)
	k.Columns, k.Row = table.PersistentVolumeClaimColumns(), row(table.PersistentVolumeClaimRow)
	k.Validate = check(validate.PersistentVolumeClaim)
	k.ValidateUpdate = checkBoth(validate.PersistentVolumeClaimUpdate)
	return k
}

// prepareClaim starts a claim as pending and makes the two ways of naming what
// to copy agree.
func prepareClaim(c *corev1.PersistentVolumeClaim) {
	c.Status = corev1.PersistentVolumeClaimStatus{Phase: corev1.ClaimPending}
	source, ref := c.Spec.DataSource, c.Spec.DataSourceRef
	switch {
	case source != nil && ref == nil:
		c.Spec.DataSourceRef = &corev1.TypedObjectReference{APIGroup: source.APIGroup, Kind: source.Kind, Name: source.Name}
	case source == nil && ref != nil && ref.Namespace == nil && copyable(ref):
		c.Spec.DataSource = &corev1.TypedLocalObjectReference{APIGroup: ref.APIGroup, Kind: ref.Kind, Name: ref.Name}
	}
}

// copyable tells whether the older dataSource field may name ref: claims and
// snapshots only.
func copyable(ref *corev1.TypedObjectReference) bool {
	group := ""
	if ref.APIGroup != nil {
		group = *ref.APIGroup
	}
	return group == "" && ref.Kind == "PersistentVolumeClaim" ||
		group == "snapshot.storage.k8s.io" && ref.Kind == "VolumeSnapshot"
}
