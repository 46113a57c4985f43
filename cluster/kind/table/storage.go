package table

import (
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
)

// PersistentVolumeColumns are the columns of volumes.
func PersistentVolumeColumns() Columns {
	spec, status := corev1.PersistentVolumeSpec{}.SwaggerDoc(), corev1.PersistentVolumeStatus{}.SwaggerDoc()
	return Columns{
		nameColumn(),
		text("Capacity", spec["capacity"]),
		text("Access Modes", spec["accessModes"]),
		text("Reclaim Policy", spec["persistentVolumeReclaimPolicy"]),
		text("Status", status["phase"]),
		text("Claim", spec["claimRef"]),
		text("StorageClass", "StorageClass of the pv"),
		text("VolumeAttributesClass", "VolumeAttributesClass of the pv"),
		text("Reason", status["reason"]),
		ageColumn(),
		wide(text("VolumeMode", spec["volumeMode"])),
	}
}

// PersistentVolumeRow shows a volume.
func PersistentVolumeRow(v *corev1.PersistentVolume, now time.Time) []any {
	claim := ""
	if ref := v.Spec.ClaimRef; ref != nil {
		claim = ref.Namespace + "/" + ref.Name
	}
	phase := string(v.Status.Phase)
	if v.DeletionTimestamp != nil {
		phase = "Terminating"
	}
	return []any{
		v.Name, storage(v.Spec.Capacity), accessModes(v.Spec.AccessModes), string(v.Spec.PersistentVolumeReclaimPolicy),
		phase, claim, or(v.Annotations[corev1.BetaStorageClassAnnotation], v.Spec.StorageClassName),
		orUnset(v.Spec.VolumeAttributesClassName), v.Status.Reason, age(v.CreationTimestamp, now), orUnset(v.Spec.VolumeMode),
	}
}

// PersistentVolumeClaimColumns are the columns of claims.
func PersistentVolumeClaimColumns() Columns {
	spec, status := corev1.PersistentVolumeClaimSpec{}.SwaggerDoc(), corev1.PersistentVolumeClaimStatus{}.SwaggerDoc()
	return Columns{
		nameColumn(),
		text("Status", status["phase"]),
		text("Volume", spec["volumeName"]),
		text("Capacity", status["capacity"]),
		text("Access Modes", status["accessModes"]),
		text("StorageClass", "StorageClass of the pvc"),
		text("VolumeAttributesClass", "VolumeAttributesClass of the pvc"),
		ageColumn(),
		wide(text("VolumeMode", spec["volumeMode"])),
	}
}

// PersistentVolumeClaimRow shows a claim; size and modes once it is bound.
func PersistentVolumeClaimRow(c *corev1.PersistentVolumeClaim, now time.Time) []any {
	phase := string(c.Status.Phase)
	if c.DeletionTimestamp != nil {
		phase = "Terminating"
	}
	var capacity, modes string
	if c.Spec.VolumeName != "" {
		capacity, modes = storage(c.Status.Capacity), accessModes(c.Status.AccessModes)
	}
	class := c.Annotations[corev1.BetaStorageClassAnnotation]
	if class == "" && c.Spec.StorageClassName != nil {
		class = *c.Spec.StorageClassName
	}
	return []any{
		c.Name, phase, c.Spec.VolumeName, capacity, modes, class,
		orUnset(c.Spec.VolumeAttributesClassName), age(c.CreationTimestamp, now), orUnset(c.Spec.VolumeMode),
	}
}

// storage is the size in a list of resources; without one it is "0".
func storage(list corev1.ResourceList) string {
	q := list[corev1.ResourceStorage]
	return q.String()
}

func accessModes(modes []corev1.PersistentVolumeAccessMode) string {
	var short []string
	for _, m := range []struct {
		mode corev1.PersistentVolumeAccessMode
		name string
	}{
		{corev1.ReadWriteOnce, "RWO"}, {corev1.ReadOnlyMany, "ROX"},
		{corev1.ReadWriteMany, "RWX"}, {corev1.ReadWriteOncePod, "RWOP"},
	} {
		if slices.Contains(modes, m.mode) {
			short = append(short, m.name)
		}
	}
	return strings.Join(short, ",")
}

// StorageClassColumns are the columns of storage classes.
func StorageClassColumns() Columns {
	doc := storagev1.StorageClass{}.SwaggerDoc()
	return Columns{
		nameColumn(),
		text("Provisioner", doc["provisioner"]),
		text("ReclaimPolicy", doc["reclaimPolicy"]),
		text("VolumeBindingMode", doc["volumeBindingMode"]),
		text("AllowVolumeExpansion", doc["allowVolumeExpansion"]),
		ageColumn(),
	}
}

// StorageClassRow shows a storage class, and which is the default one.
func StorageClassRow(c *storagev1.StorageClass, now time.Time) []any {
	name := c.Name
	for _, a := range []string{"storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"} {
		if c.Annotations[a] == "true" {
			name = c.Name + " (default)"
		}
	}
	reclaim, binding := corev1.PersistentVolumeReclaimDelete, storagev1.VolumeBindingImmediate
	if c.ReclaimPolicy != nil {
		reclaim = *c.ReclaimPolicy
	}
	if c.VolumeBindingMode != nil {
		binding = *c.VolumeBindingMode
	}
	return []any{
		name, c.Provisioner, string(reclaim), string(binding), isTrue(c.AllowVolumeExpansion), age(c.CreationTimestamp, now),
	}
}

// VolumeAttachmentColumns are the columns of volume attachments.
func VolumeAttachmentColumns() Columns {
	spec := storagev1.VolumeAttachmentSpec{}.SwaggerDoc()
	attacher := text("Attacher", spec["attacher"])
	attacher.Format = "name"
	return Columns{
		nameColumn(),
		attacher,
		text("PV", storagev1.VolumeAttachmentSource{}.SwaggerDoc()["persistentVolumeName"]),
		text("Node", spec["nodeName"]),
		boolean("Attached", storagev1.VolumeAttachmentStatus{}.SwaggerDoc()["attached"]),
		ageColumn(),
	}
}

// VolumeAttachmentRow shows a volume attachment.
func VolumeAttachmentRow(a *storagev1.VolumeAttachment, now time.Time) []any {
	volume := ""
	if a.Spec.Source.PersistentVolumeName != nil {
		volume = *a.Spec.Source.PersistentVolumeName
	}
	return []any{a.Name, a.Spec.Attacher, volume, a.Spec.NodeName, a.Status.Attached, age(a.CreationTimestamp, now)}
}

// CSIDriverColumns are the columns of CSI drivers.
func CSIDriverColumns() Columns {
	spec := storagev1.CSIDriverSpec{}.SwaggerDoc()
	return Columns{
		nameColumn(),
		boolean("AttachRequired", spec["attachRequired"]),
		boolean("PodInfoOnMount", spec["podInfoOnMount"]),
		boolean("StorageCapacity", spec["storageCapacity"]),
		text("TokenRequests", spec["tokenRequests"]),
		boolean("RequiresRepublish", spec["requiresRepublish"]),
		text("Modes", spec["volumeLifecycleModes"]),
		ageColumn(),
	}
}

// CSIDriverRow shows a CSI driver.
func CSIDriverRow(d *storagev1.CSIDriver, now time.Time) []any {
	var audiences, modes []string
	for _, r := range d.Spec.TokenRequests {
		audiences = append(audiences, r.Audience)
	}
	for _, m := range d.Spec.VolumeLifecycleModes {
		modes = append(modes, string(m))
	}
	return []any{
		d.Name, d.Spec.AttachRequired == nil || *d.Spec.AttachRequired, isTrue(d.Spec.PodInfoOnMount), isTrue(d.Spec.StorageCapacity),
		or(strings.Join(audiences, ","), unset), isTrue(d.Spec.RequiresRepublish), or(strings.Join(modes, ","), none),
		age(d.CreationTimestamp, now),
	}
}

// CSINodeColumns are the columns of CSI nodes.
func CSINodeColumns() Columns {
	return Columns{
		nameColumn(), integer("Drivers", "Drivers indicates the number of CSI drivers registered on the node"), ageColumn(),
	}
}

// CSINodeRow shows a CSI node.
func CSINodeRow(n *storagev1.CSINode, now time.Time) []any {
	return []any{n.Name, int64(len(n.Spec.Drivers)), age(n.CreationTimestamp, now)}
}

// CSIStorageCapacityColumns are the columns of CSI storage capacities.
func CSIStorageCapacityColumns() Columns {
	doc := storagev1.CSIStorageCapacity{}.SwaggerDoc()
	return Columns{nameColumn(), text("StorageClassName", doc["storageClassName"]), text("Capacity", doc["capacity"])}
}

// CSIStorageCapacityRow shows a CSI storage capacity.
func CSIStorageCapacityRow(c *storagev1.CSIStorageCapacity, _ time.Time) []any {
	capacity := unset
	if c.Capacity != nil {
		capacity = c.Capacity.String()
	}
	return []any{c.Name, c.StorageClassName, capacity}
}

// VolumeAttributesClassColumns are the columns of volume attributes classes.
func VolumeAttributesClassColumns() Columns {
	return Columns{nameColumn(), text("DriverName", storagev1.VolumeAttributesClass{}.SwaggerDoc()["driverName"]), ageColumn()}
}

// VolumeAttributesClassRow shows a volume attributes class.
func VolumeAttributesClassRow(c *storagev1.VolumeAttributesClass, now time.Time) []any {
	return []any{c.Name, c.DriverName, age(c.CreationTimestamp, now)}
}
