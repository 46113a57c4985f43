package admit_test

import (
	"errors"
	"path/filepath"
	"testing"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/seed38700745/pkg/cluster/api"
	"github.com/seed38700745/pkg/cluster/api/admit"
	"github.com/seed38700745/pkg/cluster/kind"
	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/store"
)

// open makes a store with the objects.
func open(t *testing.T, objects map[object.Resource][]object.Object) store.Store {
	t.Helper()
	db, err := store.Open(filepath.Join(t.TempDir(), "db"), store.Options{Codec: api.NewCodec(kind.NewRegistry(kind.All()))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	for r, list := range objects {
		for _, o := range list {
			if _, err := db.Write(t.Context(), store.Write{Verb: store.Create, Resource: r, Key: object.KeyOf(o), Object: o}); err != nil {
				t.Fatal(err)
			}
		}
	}
	return db
}

func pod(mounts ...string) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "p"}}
	for _, m := range mounts {
		c := corev1.Container{Name: "c"}
		if m != "" {
			c.VolumeMounts = []corev1.VolumeMount{{Name: "own", MountPath: m}}
		}
		p.Spec.Containers = append(p.Spec.Containers, c)
	}
	return p
}

func TestTokenIsMountedWhereNothingElseIs(t *testing.T) {
	s := open(t, map[object.Resource][]object.Object{
		{Resource: "serviceaccounts"}: {&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "default"}}},
	})
	const path = "/var/run/secrets/kubernetes.io/serviceaccount"
	for name, c := range map[string]struct {
		pod     *corev1.Pod
		volumes int
		mounts  []int // of each container
	}{
		"one container":       {pod(""), 1, []int{1}},
		"own mount elsewhere": {pod("/data"), 1, []int{2}},
		"own mount there":     {pod(path), 0, []int{1}},
		"one of two":          {pod(path, ""), 1, []int{1, 1}},
	} {
		if err := admit.Pod(s, c.pod); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := len(c.pod.Spec.Volumes); got != c.volumes {
			t.Errorf("%s: %d volumes, want %d", name, got, c.volumes)
		}
		for i, want := range c.mounts {
			if got := len(c.pod.Spec.Containers[i].VolumeMounts); got != want {
				t.Errorf("%s: container %d has %d mounts, want %d", name, i, got, want)
			}
		}
	}
}

func TestPodWithoutAccount(t *testing.T) {
	s := open(t, nil)
	if err := admit.Pod(s, pod("")); !errors.Is(err, admit.ErrNoAccount) {
		t.Errorf("error %v, want ErrNoAccount", err)
	}
	mirror := pod("")
	mirror.Annotations = map[string]string{"kubernetes.io/config.mirror": "x"}
	if err := admit.Pod(s, mirror); err != nil || mirror.Spec.ServiceAccountName != "" {
		t.Errorf("mirror pod: %v", err)
	}
}

func TestTolerations(t *testing.T) {
	s := open(t, map[object.Resource][]object.Object{
		{Resource: "serviceaccounts"}: {&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "default"}}},
	})
	p := pod("")
	p.Spec.Tolerations = []corev1.Toleration{{Key: corev1.TaintNodeNotReady, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute}}
	if err := admit.Pod(s, p); err != nil || len(p.Spec.Tolerations) != 2 || p.Spec.Tolerations[0].TolerationSeconds != nil ||
		p.Spec.Tolerations[1].Key != corev1.TaintNodeUnreachable {
		t.Errorf("tolerations %+v, %v", p.Spec.Tolerations, err)
	}
}

func TestNewestDefaultClassWins(t *testing.T) {
	class := func(name string, second int64) *storagev1.StorageClass {
		return &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: metav1.Unix(second, 0),
			Annotations: map[string]string{"storageclass.kubernetes.io/is-default-class": "true"}}}
	}
	s := open(t, map[object.Resource][]object.Object{
		{Group: "storage.k8s.io", Resource: "storageclasses"}: {class("a", 1), class("b", 3), class("c", 2)},
	})
	var c corev1.PersistentVolumeClaim
	if err := admit.Claim(s, &c); err != nil || c.Spec.StorageClassName == nil || *c.Spec.StorageClassName != "b" {
		t.Errorf("class %v", c.Spec.StorageClassName)
	}
	none := ""
	c.Spec.StorageClassName = &none
	if err := admit.Claim(s, &c); err != nil || *c.Spec.StorageClassName != "" {
		t.Error("a claim that wants no class got one")
	}
}

func TestLimitRangesCompleteAndCheckPods(t *testing.T) {
	s := open(t, map[object.Resource][]object.Object{
		{Resource: "serviceaccounts"}: {&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "default"}}},
		{Resource: "limitranges"}: {&corev1.LimitRange{ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "l"}, Spec: corev1.LimitRangeSpec{Limits: []corev1.LimitRangeItem{
			{Type: corev1.LimitTypeContainer, Default: list("500m", "1Gi"), DefaultRequest: list("100m", "64Mi"), Max: list("1", "2Gi"), Min: list("50m", "32Mi"),
				MaxLimitRequestRatio: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("10")}},
			{Type: corev1.LimitTypePod, Max: list("1500m", "4Gi")},
			{Type: corev1.LimitTypePersistentVolumeClaim, Max: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}},
		}}}},
	})
	p := pod("")
	if err := admit.Pod(s, p); err != nil {
		t.Fatal(err)
	}
	if got := p.Annotations["kubernetes.io/limit-ranger"]; got != "LimitRanger plugin set: cpu, memory request for container c; cpu, memory limit for container c" {
		t.Errorf("annotation %q", got)
	}
	if got := p.Spec.Containers[0].Resources; !got.Requests.Cpu().Equal(resource.MustParse("100m")) || !got.Limits.Memory().Equal(resource.MustParse("1Gi")) {
		t.Errorf("resources %+v", got)
	}
	for want, r := range map[string]corev1.ResourceRequirements{
		"maximum cpu usage per Container is 1, but limit is 1200m":                            {Requests: list("1", "64Mi"), Limits: list("1200m", "64Mi")},
		"minimum memory usage per Container is 32Mi, but request is 1Mi":                      {Requests: list("100m", "1Mi"), Limits: list("500m", "64Mi")},
		"cpu max limit to request ratio per Container is 10, but provided ratio is 20.000000": {Requests: list("50m", "64Mi"), Limits: list("1", "64Mi")},
	} {
		p := pod("")
		p.Spec.Containers[0].Resources = r
		if err := admit.Pod(s, p); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	p = pod("", "")
	p.Spec.Containers[0].Resources = corev1.ResourceRequirements{Requests: list("1", "64Mi"), Limits: list("1", "64Mi")}
	p.Spec.Containers[1].Resources = *p.Spec.Containers[0].Resources.DeepCopy()
	if err := admit.Pod(s, p); err == nil || err.Error() != "maximum cpu usage per Pod is 1500m, but limit is 2" {
		t.Errorf("two containers: %v", err)
	}
	c := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "c"}}
	c.Spec.Resources.Requests = corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("2Gi")}
	if err := admit.Claim(s, c); err == nil || err.Error() != "maximum storage usage per PersistentVolumeClaim is 1Gi, but request is 2Gi" {
		t.Errorf("claim: %v", err)
	}
}

func list(cpu, memory string) corev1.ResourceList {
	return corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse(memory)}
}
