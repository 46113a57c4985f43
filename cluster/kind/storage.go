package kind

import (
	storagev1 "k8s.io/api/storage/v1"

	"github.com/seed38700745/pkg/cluster/kind/defaults"
	"github.com/seed38700745/pkg/cluster/kind/table"
	"github.com/seed38700745/pkg/cluster/kind/validate"
)

func storageClass() *Kind {
	k := define[storagev1.StorageClass, storagev1.StorageClassList](storagev1.SchemeGroupVersion, "StorageClass", "storageclasses", "sc")
	k.Acted = true
	k.Default = on(defaults.StorageClass)
	k.Columns, k.Row = table.StorageClassColumns(), row(table.StorageClassRow)
	k.Validate = check(validate.StorageClass)
	k.ValidateUpdate = checkBoth(validate.StorageClassUpdate)
	return k
}

func volumeAttachment() *Kind {
	k := define[storagev1.VolumeAttachment, storagev1.VolumeAttachmentList](
		storagev1.SchemeGroupVersion, "VolumeAttachment", "volumeattachments")
	status(k, func(to, from *storagev1.VolumeAttachment) { to.Status = from.Status })
	k.Columns, k.Row = table.VolumeAttachmentColumns(), row(table.VolumeAttachmentRow)
	k.Validate = check(validate.VolumeAttachment)
	k.ValidateUpdate = checkBoth(validate.VolumeAttachmentUpdate)
	return k
}

func csiDriver() *Kind {
	k := define[storagev1.CSIDriver, storagev1.CSIDriverList](storagev1.SchemeGroupVersion, "CSIDriver", "csidrivers")
	k.Default = on(defaults.CSIDriver)
	k.Columns, k.Row = table.CSIDriverColumns(), row(table.CSIDriverRow)
	return k
}

func csiNode() *Kind {
	k := define[storagev1.CSINode, storagev1.CSINodeList](storagev1.SchemeGroupVersion, "CSINode", "csinodes")
	k.Columns, k.Row = table.CSINodeColumns(), row(table.CSINodeRow)
	return k
}

func csiStorageCapacity() *Kind {
	k := defineNamespaced[storagev1.CSIStorageCapacity, storagev1.CSIStorageCapacityList](
		storagev1.SchemeGroupVersion, "CSIStorageCapacity", "csistoragecapacities")
	k.Columns, k.Row = table.CSIStorageCapacityColumns(), row(table.CSIStorageCapacityRow)
	k.Validate = check(validate.CSIStorageCapacity)
	return k
}

func volumeAttributesClass() *Kind {
	k := define[storagev1.VolumeAttributesClass, storagev1.VolumeAttributesClassList](
		storagev1.SchemeGroupVersion, "VolumeAttributesClass", "volumeattributesclasses", "vac")
	k.Columns, k.Row = table.VolumeAttributesClassColumns(), row(table.VolumeAttributesClassRow)
	return k
}
