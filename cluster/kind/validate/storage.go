package validate

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/util/diff"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func accessModes(p *field.Path, modes []corev1.PersistentVolumeAccessMode, missing string) errors {
	if len(modes) == 0 {
		return errors{field.Required(p, missing)}
	}
	var errs errors
	for _, m := range modes {
		errs = append(errs, oneOf(p, m, corev1.ReadOnlyMany, corev1.ReadWriteMany, corev1.ReadWriteOnce, corev1.ReadWriteOncePod)...)
	}
	if slices.Contains(modes, corev1.ReadWriteOncePod) && len(modes) > 1 {
		errs = append(errs, field.Forbidden(p, "may not use ReadWriteOncePod with other access modes"))
	}
	return errs
}

func volumeMode(p *field.Path, m *corev1.PersistentVolumeMode) errors {
	return oneOfPtr(p, m, corev1.PersistentVolumeBlock, corev1.PersistentVolumeFilesystem)
}

// PersistentVolumeClaim checks a claim.
func PersistentVolumeClaim(c *corev1.PersistentVolumeClaim) field.ErrorList {
	return claimSpec(spec(), &c.Spec)
}

func claimSpec(p *field.Path, s *corev1.PersistentVolumeClaimSpec) errors {
	errs := accessModes(p.Child("accessModes"), s.AccessModes, "at least 1 access mode is required")
	if s.Selector != nil {
		errs = append(errs, labelSelector(p.Child("selector"), s.Selector)...)
	}
	q, ok := s.Resources.Requests[corev1.ResourceStorage]
	if !ok {
		errs = append(errs, field.Required(p.Child("resources").Key(string(corev1.ResourceStorage)), ""))
	} else {
		at := p.Child("resources").Key(string(corev1.ResourceStorage))
		errs = append(errs, amount(at, string(corev1.ResourceStorage), q)...)
		if q.Sign() <= 0 {
			errs = append(errs, field.Invalid(at, q.String(), notPositive))
		}
	}
	if s.StorageClassName != nil {
		errs = append(errs, optionalName(p.Child("storageClassName"), *s.StorageClassName)...)
	}
	return append(errs, volumeMode(p.Child("volumeMode"), s.VolumeMode)...)
}

// PersistentVolumeClaimUpdate checks a change: a bound claim may grow, and a
// claim without a volume may be given one and a class.
func PersistentVolumeClaimUpdate(c, old *corev1.PersistentVolumeClaim) field.ErrorList {
	same, was := c.Spec.DeepCopy(), old.Spec.DeepCopy()
	if was.VolumeName == "" {
		was.VolumeName = same.VolumeName
	}
	if was.StorageClassName == nil {
		was.StorageClassName = same.StorageClassName
	}
	same.VolumeAttributesClassName = was.VolumeAttributesClassName
	before, after := was.Resources.Requests[corev1.ResourceStorage], same.Resources.Requests[corev1.ResourceStorage]
	if old.Status.Phase == corev1.ClaimBound && same.Resources.Requests != nil {
		same.Resources.Requests[corev1.ResourceStorage] = before
	}
	var errs errors
	if !equal(same, was) {
		errs = append(errs, field.Forbidden(spec(),
			"spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims\n"+diff.Diff(was, same)))
	}
	if capacity, ok := old.Status.Capacity[corev1.ResourceStorage]; ok && after.Cmp(before) < 0 && after.Cmp(capacity) < 0 {
		errs = append(errs, field.Forbidden(spec().Child("resources", "requests", "storage"), "field can not be less than status.capacity"))
	} else if !ok && old.Status.Phase == corev1.ClaimBound && after.Cmp(before) < 0 {
		errs = append(errs, field.Forbidden(spec().Child("resources", "requests", "storage"), "field can not be less than previous value"))
	}
	return errs
}

// PersistentVolume checks a volume.
func PersistentVolume(v *corev1.PersistentVolume) field.ErrorList {
	s, p := &v.Spec, spec()
	errs := accessModes(p.Child("accessModes"), s.AccessModes, "")
	capacity := p.Child("capacity")
	if len(s.Capacity) == 0 {
		errs = append(errs, field.Required(capacity, ""))
	} else if q, ok := s.Capacity[corev1.ResourceStorage]; !ok || len(s.Capacity) > 1 {
		errs = append(errs, field.NotSupported(capacity, s.Capacity, []corev1.ResourceName{corev1.ResourceStorage}))
	} else {
		at := capacity.Key(string(corev1.ResourceStorage))
		errs = append(errs, amount(at, string(corev1.ResourceStorage), q)...)
		if q.Sign() <= 0 {
			errs = append(errs, field.Invalid(at, q.String(), notPositive))
		}
	}
	errs = append(errs, oneOf(p.Child("persistentVolumeReclaimPolicy"), s.PersistentVolumeReclaimPolicy,
		corev1.PersistentVolumeReclaimDelete, corev1.PersistentVolumeReclaimRecycle, corev1.PersistentVolumeReclaimRetain)...)
	errs = append(errs, volumeSourceOfPV(p, s)...)
	errs = append(errs, optionalName(p.Child("storageClassName"), s.StorageClassName)...)
	if s.NodeAffinity != nil && s.NodeAffinity.Required != nil {
		errs = append(errs, nodeSelector(p.Child("nodeAffinity", "required"), s.NodeAffinity.Required)...)
	}
	return append(errs, volumeMode(p.Child("volumeMode"), s.VolumeMode)...)
}

func volumeSourceOfPV(p *field.Path, s *corev1.PersistentVolumeSpec) errors {
	if equal(s.PersistentVolumeSource, corev1.PersistentVolumeSource{}) {
		return errors{field.Required(p, "must specify a volume type")}
	}
	var errs errors
	if s.HostPath != nil {
		errs = append(errs, hostPath(p.Child("hostPath"), s.HostPath)...)
		if s.HostPath.Path == "/" && s.PersistentVolumeReclaimPolicy == corev1.PersistentVolumeReclaimRecycle {
			errs = append(errs, field.Forbidden(p.Child("persistentVolumeReclaimPolicy"), "may not be 'recycle' for a hostPath mount of '/'"))
		}
	}
	if s.Local != nil {
		errs = append(errs, required(p.Child("local", "path"), s.Local.Path)...)
		errs = append(errs, noBacksteps(p.Child("local", "path"), s.Local.Path)...)
		if s.NodeAffinity == nil || s.NodeAffinity.Required == nil {
			errs = append(errs, field.Required(field.NewPath("metadata", "annotations"), "Local volume requires node affinity"))
		}
	}
	if s.NFS != nil {
		errs = append(errs, nfs(p.Child("nfs"), s.NFS)...)
	}
	if s.CSI != nil {
		errs = append(errs, required(p.Child("csi", "driver"), s.CSI.Driver)...)
		errs = append(errs, required(p.Child("csi", "volumeHandle"), s.CSI.VolumeHandle)...)
	}
	return errs
}

// PersistentVolumeUpdate checks a change.
func PersistentVolumeUpdate(v, old *corev1.PersistentVolume) field.ErrorList {
	var errs errors
	if !equal(v.Spec.PersistentVolumeSource, old.Spec.PersistentVolumeSource) {
		errs = append(errs, field.Forbidden(spec().Child("persistentvolumesource"),
			"spec.persistentvolumesource is immutable after creation\n"+diff.Diff(old.Spec.PersistentVolumeSource, v.Spec.PersistentVolumeSource)))
	}
	errs = append(errs, unchanged(spec().Child("volumeMode"), v.Spec.VolumeMode, old.Spec.VolumeMode)...)
	if old.Spec.NodeAffinity != nil {
		errs = append(errs, unchanged(spec().Child("nodeAffinity"), v.Spec.NodeAffinity, old.Spec.NodeAffinity)...)
	}
	return errs
}

// StorageClass checks a storage class.
func StorageClass(c *storagev1.StorageClass) field.ErrorList {
	errs := required(field.NewPath("provisioner"), c.Provisioner)
	if c.Provisioner != "" {
		errs = append(errs, each(field.NewPath("provisioner"), c.Provisioner, validation.IsQualifiedName(strings.ToLower(c.Provisioner)))...)
	}
	for name := range c.Parameters {
		if name == "" {
			errs = append(errs, field.Invalid(field.NewPath("parameters"), name, "field can not be empty."))
		}
	}
	errs = append(errs, oneOfPtr(field.NewPath("reclaimPolicy"), c.ReclaimPolicy,
		corev1.PersistentVolumeReclaimDelete, corev1.PersistentVolumeReclaimRetain)...)
	if c.VolumeBindingMode == nil {
		return append(errs, field.Required(field.NewPath("volumeBindingMode"), ""))
	}
	return append(errs, oneOfPtr(field.NewPath("volumeBindingMode"), c.VolumeBindingMode,
		storagev1.VolumeBindingImmediate, storagev1.VolumeBindingWaitForFirstConsumer)...)
}

// StorageClassUpdate checks a change.
func StorageClassUpdate(c, old *storagev1.StorageClass) field.ErrorList {
	var errs errors
	if !equal(c.Parameters, old.Parameters) {
		errs = append(errs, field.Forbidden(field.NewPath("parameters"), "updates to parameters are forbidden."))
	}
	if c.Provisioner != old.Provisioner {
		errs = append(errs, field.Forbidden(field.NewPath("provisioner"), "updates to provisioner are forbidden."))
	}
	if !equal(c.ReclaimPolicy, old.ReclaimPolicy) {
		errs = append(errs, field.Forbidden(field.NewPath("reclaimPolicy"), "updates to reclaimPolicy are forbidden."))
	}
	return append(errs, unchanged(field.NewPath("volumeBindingMode"), c.VolumeBindingMode, old.VolumeBindingMode)...)
}

// VolumeAttachment checks a volume attachment.
func VolumeAttachment(a *storagev1.VolumeAttachment) field.ErrorList {
	p := spec()
	errs := required(p.Child("attacher"), a.Spec.Attacher)
	if a.Spec.Source.InlineVolumeSpec == nil && a.Spec.Source.PersistentVolumeName == nil {
		errs = append(errs, field.Required(p.Child("source"), "must specify exactly one of inlineVolumeSpec and persistentVolumeName"))
	}
	return append(errs, required(p.Child("nodeName"), a.Spec.NodeName)...)
}

// VolumeAttachmentUpdate checks a change.
func VolumeAttachmentUpdate(a, old *storagev1.VolumeAttachment) field.ErrorList {
	if !equal(a.Spec, old.Spec) {
		return errors{field.Invalid(spec(), a.Spec, immutable)}
	}
	return nil
}

// CSIStorageCapacity checks a storage capacity.
func CSIStorageCapacity(c *storagev1.CSIStorageCapacity) field.ErrorList {
	errs := dnsSubdomain(field.NewPath("storageClassName"), c.StorageClassName)
	if c.Capacity != nil {
		errs = append(errs, amount(field.NewPath("capacity"), string(corev1.ResourceStorage), *c.Capacity)...)
	}
	return errs
}
