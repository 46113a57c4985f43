package kind

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/seed38700745/pkg/cluster/kind/defaults"
)

func persistentVolume() *Kind {
	k := define[corev1.PersistentVolume, corev1.PersistentVolumeList](
		corev1.SchemeGroupVersion, "PersistentVolume", "persistentvolumes", "pv")
	k.Acted = true
	status(k, func(to, from *corev1.PersistentVolume) { to.Status = from.Status })
	k.Default = on(defaults.PersistentVolume)
	return k
}

func persistentVolumeClaim() *Kind {
	k := defineNamespaced[corev1.PersistentVolumeClaim, corev1.PersistentVolumeClaimList](
		corev1.SchemeGroupVersion, "PersistentVolumeClaim", "persistentvolumeclaims", "pvc")
	k.Acted = true
	status(k, func(to, from *corev1.PersistentVolumeClaim) { to.Status = from.Status })
	k.Default = on(defaults.PersistentVolumeClaim)
	return k
}
