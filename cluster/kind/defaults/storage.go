package defaults

import (
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
)

// StorageClass defaults a class.
func StorageClass(c *storagev1.StorageClass) {
	setPtr(&c.ReclaimPolicy, corev1.PersistentVolumeReclaimDelete)
	setPtr(&c.VolumeBindingMode, storagev1.VolumeBindingImmediate)
}

// CSIDriver defaults a driver.
func CSIDriver(d *storagev1.CSIDriver) {
	s := &d.Spec
	setPtr(&s.AttachRequired, true)
	setPtr(&s.PodInfoOnMount, false)
	setPtr(&s.StorageCapacity, false)
	setPtr(&s.FSGroupPolicy, storagev1.ReadWriteOnceWithFSTypeFSGroupPolicy)
	setPtr(&s.RequiresRepublish, false)
	setPtr(&s.SELinuxMount, false)
	if len(s.VolumeLifecycleModes) == 0 {
		s.VolumeLifecycleModes = []storagev1.VolumeLifecycleMode{storagev1.VolumeLifecyclePersistent}
	}
}
