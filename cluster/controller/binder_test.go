package controller

import (
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/object/builtin"
)

func pvc(name string, change func(*corev1.PersistentVolumeClaim)) *corev1.PersistentVolumeClaim {
	c := &corev1.PersistentVolumeClaim{ObjectMeta: meta(name), Spec: corev1.PersistentVolumeClaimSpec{
		AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}, VolumeMode: new(corev1.PersistentVolumeFilesystem),
		Resources: corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}}}}
	if change != nil {
		change(c)
	}
	return c
}

func noClass(c *corev1.PersistentVolumeClaim) { c.Spec.StorageClassName = new("") }

func pv(name, size string, policy corev1.PersistentVolumeReclaimPolicy) *corev1.PersistentVolume {
	return &corev1.PersistentVolume{ObjectMeta: metaName(name), Spec: corev1.PersistentVolumeSpec{
		Capacity: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse(size)}, VolumeMode: new(corev1.PersistentVolumeFilesystem),
		PersistentVolumeSource: corev1.PersistentVolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/srv/" + name}},
		AccessModes:            []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}, PersistentVolumeReclaimPolicy: policy}}
}

func TestLocalProvisioningWaitsForNode(t *testing.T) {
	withRig(t, Config{VolumesDir: "/data/volumes"}, func(r *rig) {
		r.settle(2 * time.Second)
		class := get(r, builtin.StorageClasses, LocalClass)
		if class.Provisioner != LocalProvisioner || class.Annotations[defaultClassAnnotation] != "true" {
			t.Fatalf("class %+v", class)
		}
		create(r, builtin.PersistentVolumeClaims, pvc("data", nil))
		r.settle(time.Second)
		c := get(r, builtin.PersistentVolumeClaims, "data")
		if c.Status.Phase != corev1.ClaimPending || value(c.Spec.StorageClassName, "") != LocalClass {
			t.Fatalf("claim %+v %+v", c.Spec, c.Status)
		}
		wantEvent(r, "data", "WaitForFirstConsumer: waiting for first consumer to be created before binding")
		edit(r, builtin.PersistentVolumeClaims, "data", func(c *corev1.PersistentVolumeClaim) {
			setAnnotation(c, "volume.kubernetes.io/selected-node", "node-1")
		})
		r.settle(time.Second)
		c = get(r, builtin.PersistentVolumeClaims, "data")
		name := "pvc-" + string(c.UID)
		if c.Status.Phase != corev1.ClaimBound || c.Spec.VolumeName != name || c.Annotations["pv.kubernetes.io/bind-completed"] != "yes" {
			t.Fatalf("claim %+v %+v", c.Spec, c.Status)
		}
		wantEvent(r, "data", "ProvisioningSucceeded: Successfully provisioned volume "+name)
		v := get(r, builtin.PersistentVolumes, name)
		if v.Spec.Local.Path != "/data/volumes/"+name+"_default_data" || v.Status.Phase != corev1.VolumeBound ||
			v.Spec.NodeAffinity.Required.NodeSelectorTerms[0].MatchExpressions[0].Values[0] != "host-1" {
			t.Errorf("volume %+v %+v", v.Spec, v.Status)
		}
		remove(r, builtin.PersistentVolumeClaims, "data", object.DeleteOptions{})
		r.settle(time.Second)
		v = get(r, builtin.PersistentVolumes, name)
		if v.Status.Phase != corev1.VolumeReleased || v.DeletionTimestamp == nil || !slices.Contains(v.Finalizers, LocalVolumeFinalizer) {
			t.Errorf("volume waits for the agent to delete its data: %v, %v", v.Status.Phase, v.Finalizers)
		}
		remove(r, builtin.StorageClasses, LocalClass, object.DeleteOptions{})
		if done, err := New(Config{Verbs: r.world}).makeLocalClass(r.ctx); !done || err != nil || len(list(r, builtin.StorageClasses)) != 0 {
			t.Errorf("a class that the user deleted came back (%v)", err)
		}
	})
}

func TestClaimBindsSmallestFittingVolume(t *testing.T) {
	withRig(t, Config{}, func(r *rig) {
		create(r, builtin.PersistentVolumeClaims, pvc("early", noClass))
		r.settle(time.Second)
		wantEvent(r, "early", "FailedBinding: no persistent volumes available for this claim and no storage class is set")
		create(r, builtin.PersistentVolumes, pv("small", "512Mi", corev1.PersistentVolumeReclaimRetain))
		ro := pv("readonly", "1Gi", corev1.PersistentVolumeReclaimRetain)
		ro.Spec.AccessModes = []corev1.PersistentVolumeAccessMode{corev1.ReadOnlyMany}
		create(r, builtin.PersistentVolumes, ro)
		r.settle(time.Second)
		create(r, builtin.PersistentVolumes, pv("large", "10Gi", corev1.PersistentVolumeReclaimRetain))
		r.settle(time.Second)
		if c := get(r, builtin.PersistentVolumeClaims, "early"); c.Spec.VolumeName != "large" || c.Status.Capacity.Storage().String() != "10Gi" {
			t.Errorf("claim bound to %q, capacity %v", c.Spec.VolumeName, c.Status.Capacity)
		}
		remove(r, builtin.PersistentVolumeClaims, "early", object.DeleteOptions{})
		r.settle(time.Second)
		if v := get(r, builtin.PersistentVolumes, "large"); v.Status.Phase != corev1.VolumeReleased || v.DeletionTimestamp != nil {
			t.Errorf("retained volume: %v", v.Status.Phase)
		}
		create(r, builtin.PersistentVolumeClaims, pvc("named", func(c *corev1.PersistentVolumeClaim) { noClass(c); c.Spec.VolumeName = "small" }))
		r.settle(time.Second)
		if c := get(r, builtin.PersistentVolumeClaims, "named"); c.Status.Phase != corev1.ClaimPending {
			t.Errorf("too small a volume was bound: %v", c.Status)
		}
	})
}

func TestClaimLosesItsVolume(t *testing.T) {
	withRig(t, Config{}, func(r *rig) {
		create(r, builtin.PersistentVolumes, pv("only", "1Gi", corev1.PersistentVolumeReclaimRetain))
		create(r, builtin.PersistentVolumeClaims, pvc("data", noClass))
		r.settle(time.Second)
		remove(r, builtin.PersistentVolumes, "only", object.DeleteOptions{})
		r.settle(time.Second)
		if v := get(r, builtin.PersistentVolumes, "only"); v.DeletionTimestamp == nil {
			t.Fatalf("bound volume is not protected")
		}
		edit(r, builtin.PersistentVolumes, "only", func(v *corev1.PersistentVolume) { v.Finalizers = nil })
		r.settle(time.Second)
		if c := get(r, builtin.PersistentVolumeClaims, "data"); c.Status.Phase != corev1.ClaimLost {
			t.Errorf("claim is %v", c.Status.Phase)
		}
	})
}

func TestClaimInUseIsProtected(t *testing.T) {
	withRig(t, Config{}, func(r *rig) {
		create(r, builtin.PersistentVolumeClaims, pvc("data", nil))
		p := &corev1.Pod{ObjectMeta: meta("user"), Spec: template("ok").Spec}
		p.Spec.Volumes = []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data"}}}}
		create(r, builtin.Pods, p)
		r.settle(time.Second)
		remove(r, builtin.PersistentVolumeClaims, "data", object.DeleteOptions{})
		r.settle(time.Minute)
		if c := get(r, builtin.PersistentVolumeClaims, "data"); c.DeletionTimestamp == nil {
			t.Errorf("claim is not being deleted")
		}
		remove(r, builtin.Pods, "user", object.DeleteOptions{})
		r.settle(time.Second)
		if n := len(list(r, builtin.PersistentVolumeClaims)); n != 0 {
			t.Errorf("claim is still there")
		}
	})
}

func TestChooseVolumeOfOtherClasses(t *testing.T) {
	external := &storagev1.StorageClass{ObjectMeta: metaName("nfs"), Provisioner: "example.com/nfs"}
	none := &storagev1.StorageClass{ObjectMeta: metaName("none"), Provisioner: "kubernetes.io/no-provisioner"}
	of := func(class string) *corev1.PersistentVolumeClaim {
		return pvc("c", func(c *corev1.PersistentVolumeClaim) { c.Spec.StorageClassName = &class })
	}
	if c := chooseVolume(of("nfs"), external, nil, nil); !c.provision {
		t.Errorf("external class: %+v", c)
	}
	if c := chooseVolume(of("none"), none, nil, nil); c.provision {
		t.Errorf("class without provisioner: %+v", c)
	}
	if c := chooseVolume(of("lost"), nil, nil, nil); !strings.Contains(c.message, `storageclass.storage.k8s.io "lost" not found`) {
		t.Errorf("missing class: %+v", c)
	}
}
