package defaults

import (
	corev1 "k8s.io/api/core/v1"
)

const (
	fileMode               = 0o644
	tokenExpirationSeconds = 3600
)

func volume(v *corev1.Volume) {
	s := &v.VolumeSource
	if *s == (corev1.VolumeSource{}) {
		s.EmptyDir = &corev1.EmptyDirVolumeSource{}
	}
	switch {
	case s.Secret != nil:
		setPtr(&s.Secret.DefaultMode, fileMode)
	case s.ConfigMap != nil:
		setPtr(&s.ConfigMap.DefaultMode, fileMode)
	case s.DownwardAPI != nil:
		setPtr(&s.DownwardAPI.DefaultMode, fileMode)
		downwardItems(s.DownwardAPI.Items)
	case s.Projected != nil:
		projected(s.Projected)
	case s.HostPath != nil:
		setPtr(&s.HostPath.Type, corev1.HostPathUnset)
	case s.Ephemeral != nil && s.Ephemeral.VolumeClaimTemplate != nil:
		claimSpec(&s.Ephemeral.VolumeClaimTemplate.Spec)
	case s.Image != nil:
		set(&s.Image.PullPolicy, pullPolicy(s.Image.Reference))
	case s.ISCSI != nil:
		set(&s.ISCSI.ISCSIInterface, "default")
	case s.RBD != nil:
		set(&s.RBD.RBDPool, "rbd")
		set(&s.RBD.RadosUser, "admin")
		set(&s.RBD.Keyring, "/etc/ceph/keyring")
	case s.AzureDisk != nil:
		azureDisk(s.AzureDisk)
	case s.ScaleIO != nil:
		set(&s.ScaleIO.StorageMode, "ThinProvisioned")
		set(&s.ScaleIO.FSType, "xfs")
	}
}

func downwardItems(items []corev1.DownwardAPIVolumeFile) {
	for i := range items {
		fieldRef(items[i].FieldRef)
	}
}

func projected(p *corev1.ProjectedVolumeSource) {
	setPtr(&p.DefaultMode, fileMode)
	for i := range p.Sources {
		s := &p.Sources[i]
		if s.DownwardAPI != nil {
			downwardItems(s.DownwardAPI.Items)
		}
		if s.ServiceAccountToken != nil {
			setPtr(&s.ServiceAccountToken.ExpirationSeconds, tokenExpirationSeconds)
		}
	}
}

func azureDisk(d *corev1.AzureDiskVolumeSource) {
	setPtr(&d.CachingMode, corev1.AzureDataDiskCachingReadWrite)
	setPtr(&d.Kind, corev1.AzureSharedBlobDisk)
	setPtr(&d.FSType, "ext4")
	setPtr(&d.ReadOnly, false)
}

func claimSpec(s *corev1.PersistentVolumeClaimSpec) {
	setPtr(&s.VolumeMode, corev1.PersistentVolumeFilesystem)
	roundUp(s.Resources.Limits)
	roundUp(s.Resources.Requests)
}

// PersistentVolumeClaim defaults a claim.
func PersistentVolumeClaim(c *corev1.PersistentVolumeClaim) {
	set(&c.Status.Phase, corev1.ClaimPending)
	claimSpec(&c.Spec)
	roundUp(c.Status.Capacity)
	roundUp(c.Status.AllocatedResources)
}

// PersistentVolume defaults a volume.
func PersistentVolume(v *corev1.PersistentVolume) {
	set(&v.Status.Phase, corev1.VolumePending)
	set(&v.Spec.PersistentVolumeReclaimPolicy, corev1.PersistentVolumeReclaimRetain)
	setPtr(&v.Spec.VolumeMode, corev1.PersistentVolumeFilesystem)
	roundUp(v.Spec.Capacity)
	s := &v.Spec.PersistentVolumeSource
	switch {
	case s.HostPath != nil:
		setPtr(&s.HostPath.Type, corev1.HostPathUnset)
	case s.ISCSI != nil:
		set(&s.ISCSI.ISCSIInterface, "default")
	case s.RBD != nil:
		set(&s.RBD.RBDPool, "rbd")
		set(&s.RBD.RadosUser, "admin")
		set(&s.RBD.Keyring, "/etc/ceph/keyring")
	case s.AzureDisk != nil:
		azureDisk(s.AzureDisk)
	case s.ScaleIO != nil:
		set(&s.ScaleIO.StorageMode, "ThinProvisioned")
		set(&s.ScaleIO.FSType, "xfs")
	}
}
