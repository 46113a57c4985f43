package volume

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/seed38700745/pkg/cluster/object/builtin"
)

// rig is a Manager on real folders and an API in memory.
type rig struct {
	*Manager
	api *api
	now time.Time
}

func newRig(t *testing.T) *rig {
	t.Helper()
	if os.Geteuid() != 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("needs root, to mount and to change owners")
		}
		t.Skip("needs root, to mount and to change owners")
	}
	dir := t.TempDir()
	r := &rig{now: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)}
	r.api = &api{now: func() time.Time { return r.now }}
	var err error
	r.Manager, err = New(Config{Root: filepath.Join(dir, "pods"), VolumesDir: filepath.Join(dir, "volumes"), Node: "n1", Verbs: r.api, Now: func() time.Time { return r.now }})
	if err != nil {
		t.Fatal(err)
	}
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1", Labels: map[string]string{"kubernetes.io/hostname": "n1"}}}
	node.Status.Allocatable = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("2")}
	r.api.put(builtin.Nodes.Resource, node)
	t.Cleanup(func() {
		if err := r.Teardown(context.Background(), "u1"); err != nil {
			t.Errorf("Teardown: %v", err)
		}
	})
	return r
}

func podWith(volumes ...corev1.Volume) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "p", UID: "u1", Labels: map[string]string{"app": "x", "a": "b"}}}
	p.Spec.Volumes = volumes
	p.Spec.ServiceAccountName = "sa"
	p.Spec.Containers = []corev1.Container{{Name: "c"}}
	return p
}

func volume(name string, s corev1.VolumeSource) corev1.Volume {
	return corev1.Volume{Name: name, VolumeSource: s}
}

func (r *rig) setup(t *testing.T, pod *corev1.Pod) map[string]string {
	t.Helper()
	paths, err := r.Setup(context.Background(), pod)
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

func (r *rig) setupError(t *testing.T, pod *corev1.Pod, want string) {
	t.Helper()
	if _, err := r.Setup(context.Background(), pod); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("Setup: %v, want an error with %q", err, want)
	}
}

func content(t *testing.T, elem ...string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(elem...))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func stat(t *testing.T, path string) (mode fs.FileMode, uid, gid int) {
	t.Helper()
	st, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	s := st.Sys().(*syscall.Stat_t)
	return st.Mode(), int(s.Uid), int(s.Gid)
}

func configMap(data map[string]string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "conf"}, Data: data}
}

func TestConfigMapIsReplacedAsAWhole(t *testing.T) {
	r := newRig(t)
	source := &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "conf"}}
	pod := podWith(volume("v", corev1.VolumeSource{ConfigMap: source}))
	r.setupError(t, pod, `MountVolume.SetUp failed for volume "v" : configmap "conf" not found`)

	r.api.put(builtin.ConfigMaps.Resource, configMap(map[string]string{"a": "1", "gone": "x"}))
	dir := r.setup(t, pod)["v"]
	if content(t, dir, "a") != "1" || content(t, dir, "gone") != "x" {
		t.Error("wrong content")
	}
	if mode, _, _ := stat(t, filepath.Join(dir, "a")); mode.Perm() != 0o644 {
		t.Errorf("mode %v", mode)
	}
	first, _ := os.Readlink(filepath.Join(dir, "..data"))
	r.now = r.now.Add(time.Second)
	r.setup(t, pod)
	if again, _ := os.Readlink(filepath.Join(dir, "..data")); again != first {
		t.Error("an unchanged volume was written again")
	}
	r.api.put(builtin.ConfigMaps.Resource, configMap(map[string]string{"a": "2", "new": "y"}))
	r.setup(t, pod)
	if content(t, dir, "a") != "2" || content(t, dir, "new") != "y" {
		t.Error("not refreshed")
	}
	if _, err := os.Lstat(filepath.Join(dir, "gone")); !os.IsNotExist(err) {
		t.Errorf("removed key: %v", err)
	}
	if states, _ := filepath.Glob(filepath.Join(dir, "..2*")); len(states) != 1 {
		t.Errorf("states left: %q", states)
	}
}

func TestItemsModesAndGroup(t *testing.T) {
	r := newRig(t)
	r.api.put(builtin.ConfigMaps.Resource, configMap(map[string]string{"a": "1", "b": "2"}))
	source := &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "conf"}, DefaultMode: new(int32(0o400)),
		Items: []corev1.KeyToPath{{Key: "a", Path: "deep/er/a.conf"}, {Key: "b", Path: "run.sh", Mode: new(int32(0o755))}}}
	pod := podWith(volume("v", corev1.VolumeSource{ConfigMap: source}))
	pod.Spec.SecurityContext = &corev1.PodSecurityContext{FSGroup: new(int64(4242))}
	dir := r.setup(t, pod)["v"]
	if mode, _, gid := stat(t, filepath.Join(dir, "deep/er/a.conf")); mode.Perm() != 0o440 || gid != 4242 {
		t.Errorf("a.conf: %v of group %d", mode, gid)
	}
	if mode, _, _ := stat(t, filepath.Join(dir, "run.sh")); mode.Perm() != 0o755 {
		t.Errorf("run.sh: %v", mode)
	}
	source.Items = []corev1.KeyToPath{{Key: "zz", Path: "x"}}
	r.setupError(t, pod, "references non-existent config key: zz")
	source.Items = []corev1.KeyToPath{{Key: "a", Path: "../../etc/x"}}
	r.setupError(t, pod, "must be relative")
	source.Items, source.Optional, source.Name = nil, new(true), "none"
	r.setup(t, pod)
}

func TestSecretLiesOnTmpfs(t *testing.T) {
	r := newRig(t)
	r.api.put(builtin.Secrets.Resource, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "s"}, Data: map[string][]byte{"k": []byte("v")}})
	pod := podWith(volume("v", corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "s"}}))
	dir := r.setup(t, pod)["v"]
	if content(t, dir, "k") != "v" {
		t.Error("wrong content")
	}
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil || st.Type != 0x01021994 {
		t.Errorf("file system %x, %v: not a tmpfs", st.Type, err)
	}
	if pods, err := r.Pods(); err != nil || len(pods) != 1 || pods[0] != "u1" {
		t.Errorf("Pods: %v, %v", pods, err)
	}
	if err := r.Teardown(context.Background(), "u1"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(filepath.Join(r.Root, "u1")); !os.IsNotExist(err) {
		t.Errorf("after teardown: %v", err)
	}
}

func TestProjected(t *testing.T) {
	r := newRig(t)
	r.api.put(builtin.ConfigMaps.Resource, configMap(map[string]string{"ca.crt": "CA"}))
	pod := podWith(volume("v", corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
		{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "token", ExpirationSeconds: new(int64(1000))}},
		{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "conf"}}},
		{DownwardAPI: &corev1.DownwardAPIProjection{Items: []corev1.DownwardAPIVolumeFile{
			{Path: "namespace", FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.namespace"}},
			{Path: "labels", FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.labels"}},
			{Path: "cpu", ResourceFieldRef: &corev1.ResourceFieldSelector{ContainerName: "c", Resource: "limits.cpu"}},
		}}},
	}}}))
	pod.Spec.SecurityContext = &corev1.PodSecurityContext{RunAsUser: new(int64(999))}
	dir := r.setup(t, pod)["v"]
	for name, want := range map[string]string{"token": "token-1", "ca.crt": "CA", "namespace": "ns", "labels": "a=\"b\"\napp=\"x\"", "cpu": "2"} {
		if got := content(t, dir, name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if mode, uid, _ := stat(t, filepath.Join(dir, "token")); mode.Perm() != 0o600 || uid != 999 {
		t.Errorf("token: %v of user %d", mode, uid)
	}
	if q := r.api.requests[0]; q.Name != "sa" || q.Namespace != "ns" || q.Spec.BoundObjectRef.UID != "u1" {
		t.Errorf("request %+v", q)
	}
	r.now = r.now.Add(799 * time.Second)
	r.setup(t, pod)
	if got := content(t, dir, "token"); got != "token-1" {
		t.Errorf("renewed too early: %s", got)
	}
	r.now = r.now.Add(2 * time.Second)
	r.setup(t, pod)
	if got := content(t, dir, "token"); got != "token-2" {
		t.Errorf("not renewed at 80 %% of its life: %s", got)
	}
}

func TestEmptyDir(t *testing.T) {
	r := newRig(t)
	pod := podWith(volume("disk", corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}),
		volume("mem", corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{Medium: corev1.StorageMediumMemory, SizeLimit: resource.NewQuantity(1<<20, resource.BinarySI)}}))
	pod.Spec.SecurityContext = &corev1.PodSecurityContext{FSGroup: new(int64(4242))}
	paths := r.setup(t, pod)
	for _, p := range paths {
		if mode, _, gid := stat(t, p); mode != fs.ModeDir|fs.ModeSetgid|0o777 || gid != 4242 {
			t.Errorf("%s: %v of group %d", p, mode, gid)
		}
		if err := os.WriteFile(filepath.Join(p, "f"), []byte("kept"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(paths["mem"], "big"), make([]byte, 2<<20), 0o600); err == nil {
		t.Error("sizeLimit of a memory volume does not hold")
	}
	r.setup(t, pod)
	for _, p := range paths {
		if content(t, p, "f") != "kept" {
			t.Error("setting up again lost data")
		}
	}
}

func TestHostPathTypes(t *testing.T) {
	r := newRig(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		path, kind, err string
	}{
		{dir, "Directory", ""}, {file, "Directory", "hostPath type check failed: " + file + " is not a directory"},
		{dir + "/no", "Directory", "is not a directory"}, {dir + "/made", "DirectoryOrCreate", ""},
		{dir + "/no", "File", "is not a file"}, {file, "File", ""}, {dir + "/new", "FileOrCreate", ""},
		{file, "Socket", "is not a socket file"}, {"/dev/null", "CharDevice", ""}, {"/dev/null", "BlockDevice", "is not a block device"},
	} {
		kind := corev1.HostPathType(c.kind)
		pod := podWith(volume("v", corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: c.path, Type: &kind}}))
		if c.err != "" {
			r.setupError(t, pod, c.err)
		} else if got := r.setup(t, pod)["v"]; got != c.path {
			t.Errorf("%s %s: %s", c.kind, c.path, got)
		}
	}
}

// provisioned puts a bound claim and its volume into the API.
func (r *rig) provisioned(name string, change func(*corev1.PersistentVolume)) *corev1.PersistentVolume {
	claim := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, UID: types.UID("c-" + name)}}
	claim.Spec.VolumeName, claim.Status.Phase = "pv-"+name, corev1.ClaimBound
	r.api.put(builtin.PersistentVolumeClaims.Resource, claim)
	pv := &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: "pv-" + name, UID: types.UID("v-" + name), Finalizers: []string{Finalizer},
		Annotations: map[string]string{provisionedBy: Provisioner}}}
	pv.Spec.ClaimRef = &corev1.ObjectReference{Namespace: "ns", Name: name, UID: claim.UID}
	pv.Spec.Local = &corev1.LocalVolumeSource{Path: filepath.Join(r.VolumesDir, "pv-"+name)}
	pv.Spec.PersistentVolumeReclaimPolicy, pv.Status.Phase = corev1.PersistentVolumeReclaimDelete, corev1.VolumeBound
	if change != nil {
		change(pv)
	}
	r.api.put(builtin.PersistentVolumes.Resource, pv)
	return pv
}

func claimVolume(name string) corev1.Volume {
	return volume("v", corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: name}})
}

func TestClaim(t *testing.T) {
	r := newRig(t)
	r.setupError(t, podWith(claimVolume("data")), `persistentvolumeclaim "data" not found`)
	pv := r.provisioned("data", nil)
	dir := r.setup(t, podWith(claimVolume("data")))["v"]
	if mode, _, _ := stat(t, dir); dir != pv.Spec.Local.Path || mode.Perm() != 0o777 {
		t.Errorf("%s: %v", dir, mode)
	}
	old := filepath.Join(dir, "old")
	if err := os.WriteFile(old, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	pod := podWith(claimVolume("data"))
	pod.Spec.SecurityContext = &corev1.PodSecurityContext{FSGroup: new(int64(4242))}
	r.setup(t, pod)
	if mode, _, gid := stat(t, old); gid != 4242 || mode.Perm() != 0o660 {
		t.Errorf("existing file: %v of group %d", mode, gid)
	}
	if err := r.Teardown(context.Background(), "u1"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(old); err != nil {
		t.Errorf("teardown touched the volume's data: %v", err)
	}

	unbound := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "wait"}}
	r.api.put(builtin.PersistentVolumeClaims.Resource, unbound)
	r.setupError(t, podWith(claimVolume("wait")), `persistentvolumeclaim "wait" is not bound yet`)
	r.provisioned("evil", func(pv *corev1.PersistentVolume) { pv.Spec.Local.Path = r.VolumesDir + "/../elsewhere" })
	r.setupError(t, podWith(claimVolume("evil")), "is not below")
	r.provisioned("far", func(pv *corev1.PersistentVolume) {
		pv.Spec.NodeAffinity = &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{
			MatchExpressions: []corev1.NodeSelectorRequirement{{Key: "kubernetes.io/hostname", Operator: corev1.NodeSelectorOpIn, Values: []string{"n2"}}}}}}}
	})
	r.setupError(t, podWith(claimVolume("far")), "does not lie on node n1")
}

func TestReclaim(t *testing.T) {
	for _, c := range []struct {
		name       string
		policy     corev1.PersistentVolumeReclaimPolicy
		phase      corev1.PersistentVolumePhase
		deleting   bool
		data, kept bool // what is there afterwards
	}{
		{"released", corev1.PersistentVolumeReclaimDelete, corev1.VolumeReleased, false, false, false},
		{"bound", corev1.PersistentVolumeReclaimDelete, corev1.VolumeBound, false, true, true},
		{"retained", corev1.PersistentVolumeReclaimRetain, corev1.VolumeReleased, false, true, true},
		{"deleted by the user", corev1.PersistentVolumeReclaimDelete, corev1.VolumeAvailable, true, false, false},
		{"deleted while bound", corev1.PersistentVolumeReclaimDelete, corev1.VolumeBound, true, true, true},
		{"deleted but retained", corev1.PersistentVolumeReclaimRetain, corev1.VolumeReleased, true, true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			pv := r.provisioned("x", func(pv *corev1.PersistentVolume) {
				pv.Spec.PersistentVolumeReclaimPolicy, pv.Status.Phase = c.policy, c.phase
				if c.deleting {
					pv.DeletionTimestamp = &metav1.Time{Time: r.now}
				}
			})
			if err := os.MkdirAll(filepath.Join(pathOf(pv), "d"), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := r.reclaim(context.Background(), pv.Name); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(pathOf(pv)); (err == nil) != c.data {
				t.Errorf("data: %v", err)
			}
			_, err := builtin.PersistentVolumes.Get(context.Background(), r.api, "", pv.Name)
			if err != nil && !apierrors.IsNotFound(err) || (err == nil) != c.kept {
				t.Errorf("volume: %v", err)
			}
		})
	}
}

func TestReclaimWaitsForPods(t *testing.T) {
	r := newRig(t)
	r.provisioned("x", nil)
	pod := podWith(claimVolume("x"))
	r.api.put(builtin.Pods.Resource, pod)
	dir := r.setup(t, pod)["v"]
	r.provisioned("x", func(pv *corev1.PersistentVolume) { pv.Status.Phase = corev1.VolumeReleased })
	if err := r.reclaim(context.Background(), "pv-x"); err == nil {
		t.Error("reclaimed although a pod has it")
	}
	if _, err := os.Stat(dir); err != nil {
		t.Errorf("data: %v", err)
	}
	if err := r.Teardown(context.Background(), "u1"); err != nil {
		t.Fatal(err)
	}
	if err := r.reclaim(context.Background(), "pv-x"); err != nil {
		t.Error(err)
	}
}

func TestRunReclaims(t *testing.T) {
	r := newRig(t)
	pv := r.provisioned("x", nil)
	if err := os.MkdirAll(pathOf(pv), 0o700); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	r.provisioned("x", func(pv *corev1.PersistentVolume) { pv.Status.Phase = corev1.VolumeReleased })
	deadline := time.Now().Add(10 * time.Second)
	for {
		if _, err := os.Stat(pathOf(pv)); os.IsNotExist(err) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("a released volume's data is still there after 10 s")
		}
		time.Sleep(10 * time.Millisecond) // polling
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run: %v", err)
	}
}

func TestEphemeralClaim(t *testing.T) {
	r := newRig(t)
	pod := podWith(volume("v", corev1.VolumeSource{Ephemeral: &corev1.EphemeralVolumeSource{VolumeClaimTemplate: &corev1.PersistentVolumeClaimTemplate{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"l": "1"}}}}}))
	r.setupError(t, pod, `persistentvolumeclaim "p-v" is not bound yet`)
	c, err := builtin.PersistentVolumeClaims.Get(context.Background(), r.api, "ns", "p-v")
	if err != nil || c.Labels["l"] != "1" || !metav1.IsControlledBy(c, pod) || c.Annotations[selectedNode] != "n1" {
		t.Errorf("claim %+v, %v", c, err)
	}
	stranger := podWith(pod.Spec.Volumes...)
	stranger.UID = "u2"
	r.setupError(t, stranger, "pod is not owner")
	if err := r.Teardown(context.Background(), "u2"); err != nil {
		t.Error(err)
	}
}
