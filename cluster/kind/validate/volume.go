package validate

import (
	"fmt"
	"path"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// volumes checks a pod's volumes and returns the valid ones by name.
func volumes(p *field.Path, list []corev1.Volume) (map[string]*corev1.Volume, errors) {
	var errs errors
	known := map[string]*corev1.Volume{}
	for i := range list {
		v, at := &list[i], p.Index(i)
		found := volumeSource(at, v)
		switch {
		case v.Name == "":
			found = append(found, field.Required(at.Child("name"), ""))
		case known[v.Name] != nil:
			found = append(found, field.Duplicate(at.Child("name"), v.Name))
		default:
			found = append(found, dnsLabel(at.Child("name"), v.Name)...)
		}
		if len(found) == 0 {
			known[v.Name] = v
		}
		errs = append(errs, found...)
	}
	return known, errs
}

// volumeSource checks that a volume has exactly one source, and that the
// source is complete.
func volumeSource(p *field.Path, v *corev1.Volume) errors {
	var errs errors
	count := 0
	add := func(name string, set bool, check func(at *field.Path) errors) {
		if !set {
			return
		}
		if count++; count > 1 {
			errs = append(errs, field.Forbidden(p.Child(name), "may not specify more than 1 volume type"))
		} else if check != nil {
			errs = append(errs, check(p.Child(name))...)
		}
	}
	s := v.VolumeSource
	add("emptyDir", s.EmptyDir != nil, func(at *field.Path) errors {
		if q := s.EmptyDir.SizeLimit; q != nil && q.Sign() < 0 {
			return errors{field.Forbidden(at.Child("sizeLimit"), "SizeLimit field must be a valid resource quantity")}
		}
		return nil
	})
	add("hostPath", s.HostPath != nil, func(at *field.Path) errors { return hostPath(at, s.HostPath) })
	add("secret", s.Secret != nil, func(at *field.Path) errors {
		errs := required(at.Child("secretName"), s.Secret.SecretName)
		return append(errs, files(at, s.Secret.DefaultMode, s.Secret.Items)...)
	})
	add("configMap", s.ConfigMap != nil, func(at *field.Path) errors {
		errs := required(at.Child("name"), s.ConfigMap.Name)
		return append(errs, files(at, s.ConfigMap.DefaultMode, s.ConfigMap.Items)...)
	})
	add("downwardAPI", s.DownwardAPI != nil, func(at *field.Path) errors {
		return append(mode(at.Child("defaultMode"), s.DownwardAPI.DefaultMode), downward(at, s.DownwardAPI.Items)...)
	})
	add("projected", s.Projected != nil, func(at *field.Path) errors { return projected(at, s.Projected) })
	add("persistentVolumeClaim", s.PersistentVolumeClaim != nil, func(at *field.Path) errors {
		return required(at.Child("claimName"), s.PersistentVolumeClaim.ClaimName)
	})
	add("nfs", s.NFS != nil, func(at *field.Path) errors { return nfs(at, s.NFS) })
	add("csi", s.CSI != nil, func(at *field.Path) errors { return required(at.Child("driver"), s.CSI.Driver) })
	add("ephemeral", s.Ephemeral != nil, func(at *field.Path) errors {
		if s.Ephemeral.VolumeClaimTemplate == nil {
			return errors{field.Required(at.Child("volumeClaimTemplate"), "")}
		}
		return claimSpec(at.Child("volumeClaimTemplate", "spec"), &s.Ephemeral.VolumeClaimTemplate.Spec)
	})
	add("image", s.Image != nil, func(at *field.Path) errors { return required(at.Child("reference"), s.Image.Reference) })
	for _, other := range []struct {
		name string
		set  bool
	}{
		{"gitRepo", s.GitRepo != nil}, {"gcePersistentDisk", s.GCEPersistentDisk != nil},
		{"awsElasticBlockStore", s.AWSElasticBlockStore != nil}, {"iscsi", s.ISCSI != nil}, {"glusterfs", s.Glusterfs != nil},
		{"rbd", s.RBD != nil}, {"flexVolume", s.FlexVolume != nil}, {"cinder", s.Cinder != nil}, {"cephfs", s.CephFS != nil},
		{"flocker", s.Flocker != nil}, {"fc", s.FC != nil}, {"azureFile", s.AzureFile != nil},
		{"vsphereVolume", s.VsphereVolume != nil}, {"quobyte", s.Quobyte != nil}, {"azureDisk", s.AzureDisk != nil},
		{"photonPersistentDisk", s.PhotonPersistentDisk != nil}, {"portworxVolume", s.PortworxVolume != nil},
		{"scaleIO", s.ScaleIO != nil}, {"storageos", s.StorageOS != nil},
	} {
		add(other.name, other.set, nil)
	}
	if count == 0 {
		errs = append(errs, field.Required(p, "must specify a volume type"))
	}
	return errs
}

func hostPath(p *field.Path, h *corev1.HostPathVolumeSource) errors {
	if h.Path == "" {
		return errors{field.Required(p.Child("path"), "")}
	}
	errs := noBacksteps(p.Child("path"), h.Path)
	if h.Type != nil && *h.Type != corev1.HostPathUnset {
		errs = append(errs, oneOfPtr(p.Child("type"), h.Type, corev1.HostPathBlockDev, corev1.HostPathCharDev,
			corev1.HostPathDirectory, corev1.HostPathDirectoryOrCreate, corev1.HostPathFile, corev1.HostPathFileOrCreate,
			corev1.HostPathSocket)...)
	}
	return errs
}

func nfs(p *field.Path, n *corev1.NFSVolumeSource) errors {
	errs := append(required(p.Child("server"), n.Server), required(p.Child("path"), n.Path)...)
	if n.Path != "" && !path.IsAbs(n.Path) {
		errs = append(errs, field.Invalid(p.Child("path"), n.Path, "must be an absolute path"))
	}
	return errs
}

func mode(p *field.Path, m *int32) errors {
	if m != nil && (*m < 0 || *m > 0o777) {
		return errors{field.Invalid(p, *m, octalMode)}
	}
	return nil
}

// files checks the files of a Secret or ConfigMap.
func files(p *field.Path, defaultMode *int32, items []corev1.KeyToPath) errors {
	errs := mode(p.Child("defaultMode"), defaultMode)
	for i, item := range items {
		at := p.Child("items").Index(i)
		errs = append(errs, required(at.Child("key"), item.Key)...)
		errs = append(errs, relativePath(at.Child("path"), item.Path)...)
		errs = append(errs, mode(at.Child("mode"), item.Mode)...)
	}
	return errs
}

func downward(p *field.Path, items []corev1.DownwardAPIVolumeFile) errors {
	var errs errors
	for i, f := range items {
		at := p.Child("items").Index(i)
		errs = append(errs, relativePath(at.Child("path"), f.Path)...)
		switch {
		case f.FieldRef != nil && f.ResourceFieldRef != nil:
			errs = append(errs, field.Invalid(at, "resource", "fieldRef and resourceFieldRef can not be specified simultaneously"))
		case f.FieldRef != nil:
			errs = append(errs, fieldRef(at.Child("fieldRef"), f.FieldRef, fileFields(), true)...)
		case f.ResourceFieldRef != nil:
			errs = append(errs, resourceFieldRef(at.Child("resourceFieldRef"), f.ResourceFieldRef, true)...)
		default:
			errs = append(errs, field.Required(at, "one of fieldRef and resourceFieldRef is required"))
		}
		errs = append(errs, mode(at.Child("mode"), f.Mode)...)
	}
	return errs
}

// Bounds of the life of a projected service account token, in seconds.
const (
	minTokenSeconds = 10 * 60
	maxTokenSeconds = 1 << 32
)

func projected(p *field.Path, v *corev1.ProjectedVolumeSource) errors {
	errs := mode(p.Child("defaultMode"), v.DefaultMode)
	paths := map[string]bool{}
	claim := func(at *field.Path, file string) {
		if file != "" && paths[file] {
			errs = append(errs, field.Invalid(at, file, "conflicting duplicate paths"))
		}
		paths[file] = true
	}
	for i, s := range v.Sources {
		at := p.Child("sources").Index(i)
		count := 0
		if s.Secret != nil {
			count++
			errs = append(errs, required(at.Child("secret", "name"), s.Secret.Name)...)
			errs = append(errs, files(at.Child("secret"), nil, s.Secret.Items)...)
			for _, item := range s.Secret.Items {
				claim(p, item.Path)
			}
		}
		if s.ConfigMap != nil {
			count++
			errs = append(errs, required(at.Child("configMap", "name"), s.ConfigMap.Name)...)
			errs = append(errs, files(at.Child("configMap"), nil, s.ConfigMap.Items)...)
			for _, item := range s.ConfigMap.Items {
				claim(p, item.Path)
			}
		}
		if s.DownwardAPI != nil {
			count++
			errs = append(errs, downward(at.Child("downwardAPI"), s.DownwardAPI.Items)...)
			for _, item := range s.DownwardAPI.Items {
				claim(p, item.Path)
			}
		}
		if t := s.ServiceAccountToken; t != nil {
			count++
			errs = append(errs, token(at.Child("serviceAccountToken"), t)...)
			claim(p, t.Path)
		}
		if s.ClusterTrustBundle != nil || s.PodCertificate != nil {
			count++
		}
		if count > 1 {
			errs = append(errs, field.Forbidden(at, "may not specify more than 1 volume type per source"))
		} else if count == 0 {
			errs = append(errs, field.Required(at, "must specify a volume type"))
		}
	}
	return errs
}

func token(p *field.Path, t *corev1.ServiceAccountTokenProjection) errors {
	errs := relativePath(p.Child("path"), t.Path)
	if s := t.ExpirationSeconds; s != nil && *s < minTokenSeconds {
		errs = append(errs, field.Invalid(p.Child("expirationSeconds"), *s, "may not specify a duration less than 10 minutes"))
	} else if s != nil && *s > maxTokenSeconds {
		errs = append(errs, field.Invalid(p.Child("expirationSeconds"), *s, "may not specify a duration larger than 2^32 seconds"))
	}
	return errs
}

// relativePath checks the path of a file in a volume.
func relativePath(p *field.Path, value string) errors {
	if value == "" {
		return errors{field.Required(p, "")}
	}
	errs := descendingPath(p, value)
	if strings.HasPrefix(value, "..") && !strings.HasPrefix(value, "../") && value != ".." {
		errs = append(errs, field.Invalid(p, value, "must not start with '..'"))
	}
	return errs
}

// descendingPath checks that a path is relative and stays below.
func descendingPath(p *field.Path, value string) errors {
	var errs errors
	if path.IsAbs(value) {
		errs = append(errs, field.Invalid(p, value, "must be a relative path"))
	}
	return append(errs, noBacksteps(p, value)...)
}

func noBacksteps(p *field.Path, value string) errors {
	for _, part := range strings.Split(value, "/") {
		if part == ".." {
			return errors{field.Invalid(p, value, "must not contain '..'")}
		}
	}
	return nil
}

// mounts checks that what a container mounts are volumes of the pod.
func mounts(p *field.Path, c *corev1.Container, volumes map[string]*corev1.Volume) errors {
	var errs errors
	paths := map[string]bool{}
	for i, m := range c.VolumeMounts {
		at := p.Child("volumeMounts").Index(i)
		errs = append(errs, required(at.Child("name"), m.Name)...)
		if m.Name != "" && volumes[m.Name] == nil {
			errs = append(errs, field.NotFound(at.Child("name"), m.Name))
		}
		errs = append(errs, required(at.Child("mountPath"), m.MountPath)...)
		if paths[m.MountPath] {
			errs = append(errs, field.Invalid(at.Child("mountPath"), m.MountPath, "must be unique"))
		}
		paths[m.MountPath] = true
		errs = append(errs, descendingPath(at.Child("subPath"), m.SubPath)...)
		if m.SubPathExpr != "" {
			if m.SubPath != "" {
				errs = append(errs, field.Invalid(at.Child("subPathExpr"), m.SubPathExpr, "subPathExpr and subPath are mutually exclusive"))
			}
			errs = append(errs, descendingPath(at.Child("subPathExpr"), m.SubPathExpr)...)
		}
		errs = append(errs, propagation(at.Child("mountPropagation"), m.MountPropagation, c)...)
	}
	for i, d := range c.VolumeDevices {
		at := p.Child("volumeDevices").Index(i)
		errs = append(errs, required(at.Child("name"), d.Name)...)
		if d.Name != "" && volumes[d.Name] == nil {
			errs = append(errs, field.NotFound(at.Child("name"), d.Name))
		}
		errs = append(errs, required(at.Child("devicePath"), d.DevicePath)...)
		if paths[d.DevicePath] {
			errs = append(errs, field.Invalid(at.Child("devicePath"), d.DevicePath, "must be unique"))
		}
		paths[d.DevicePath] = true
	}
	return errs
}

func propagation(p *field.Path, m *corev1.MountPropagationMode, c *corev1.Container) errors {
	if m == nil {
		return nil
	}
	errs := oneOfPtr(p, m, corev1.MountPropagationBidirectional, corev1.MountPropagationHostToContainer, corev1.MountPropagationNone)
	privileged := c.SecurityContext != nil && c.SecurityContext.Privileged != nil && *c.SecurityContext.Privileged
	if *m == corev1.MountPropagationBidirectional && !privileged {
		errs = append(errs, field.Forbidden(p, fmt.Sprintf("%s is available only to privileged containers", *m)))
	}
	return errs
}
