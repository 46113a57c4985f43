package api_test

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestPodAdmission(t *testing.T) {
	t.Parallel()
	cs := start(t, nil).client(t)
	pods := cs.CoreV1().Pods("default")
	p, err := pods.Create(t.Context(), pod("p"), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if p.Spec.ServiceAccountName != "default" || p.Status.Phase != corev1.PodPending || p.Status.QOSClass != corev1.PodQOSBestEffort ||
		*p.Spec.Priority != 0 || len(p.Spec.Tolerations) != 2 || *p.Spec.Tolerations[0].TolerationSeconds != 300 {
		t.Errorf("pod %+v %+v", p.Spec, p.Status)
	}
	m, v := p.Spec.Containers[0].VolumeMounts, p.Spec.Volumes
	if len(m) != 1 || len(v) != 1 || m[0].Name != v[0].Name || !strings.HasPrefix(v[0].Name, "kube-api-access-") ||
		m[0].MountPath != "/var/run/secrets/kubernetes.io/serviceaccount" || !m[0].ReadOnly ||
		*v[0].Projected.Sources[0].ServiceAccountToken.ExpirationSeconds != 3607 || v[0].Projected.Sources[1].ConfigMap.Name != "kube-root-ca.crt" {
		t.Errorf("mounts %+v, volumes %+v", m, v)
	}

	no, critical := false, pod("critical")
	critical.Spec.AutomountServiceAccountToken, critical.Spec.PriorityClassName = &no, "system-node-critical"
	limits := corev1.ResourceList{"cpu": resource.MustParse("1"), "memory": resource.MustParse("1Gi")}
	critical.Spec.Containers[0].Resources.Limits = limits
	critical.Spec.Tolerations = []corev1.Toleration{{Operator: corev1.TolerationOpExists}}
	if p, err = pods.Create(t.Context(), critical, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if len(p.Spec.Volumes) != 0 || *p.Spec.Priority != 2000001000 || p.Status.QOSClass != corev1.PodQOSGuaranteed || len(p.Spec.Tolerations) != 1 {
		t.Errorf("critical pod %+v %+v", p.Spec, p.Status)
	}

	stray := pod("stray")
	stray.Spec.ServiceAccountName = "nobody"
	if _, err := pods.Create(t.Context(), stray, metav1.CreateOptions{}); !apierrors.IsForbidden(err) ||
		!strings.Contains(err.Error(), `pods "stray" is forbidden: error looking up service account default/nobody: serviceaccount "nobody" not found`) {
		t.Errorf("no such account: %v", err)
	}
	classless := pod("classless")
	classless.Spec.PriorityClassName = "none"
	if _, err := pods.Create(t.Context(), classless, metav1.CreateOptions{}); !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "no PriorityClass with name none was found") {
		t.Errorf("no such class: %v", err)
	}
	if _, err := cs.SchedulingV1().PriorityClasses().Create(t.Context(), &schedulingv1.PriorityClass{
		ObjectMeta: metav1.ObjectMeta{Name: "usual"}, Value: 7, GlobalDefault: true}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if p, err = pods.Create(t.Context(), pod("usual"), metav1.CreateOptions{}); err != nil || p.Spec.PriorityClassName != "usual" || *p.Spec.Priority != 7 {
		t.Errorf("the default class: %+v, %v", p.Spec.Priority, err)
	}
}

func TestAccountGivesPullSecrets(t *testing.T) {
	t.Parallel()
	cs := start(t, nil).client(t)
	no := false
	sa := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "robot"}, AutomountServiceAccountToken: &no,
		ImagePullSecrets: []corev1.LocalObjectReference{{Name: "pull"}}}
	if _, err := cs.CoreV1().ServiceAccounts("default").Create(t.Context(), sa, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	p := pod("p")
	p.Spec.ServiceAccountName = "robot"
	p, err := cs.CoreV1().Pods("default").Create(t.Context(), p, metav1.CreateOptions{})
	if err != nil || len(p.Spec.ImagePullSecrets) != 1 || p.Spec.ImagePullSecrets[0].Name != "pull" || len(p.Spec.Volumes) != 0 {
		t.Errorf("pod %+v, %v", p.Spec, err)
	}
}

func TestClaimGetsDefaultClass(t *testing.T) {
	t.Parallel()
	cs := start(t, nil).client(t)
	claim := func(name string) *corev1.PersistentVolumeClaim {
		t.Helper()
		c := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{"storage": resource.MustParse("1Gi")}}}}
		c, err := cs.CoreV1().PersistentVolumeClaims("default").Create(t.Context(), c, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	if c := claim("before"); c.Spec.StorageClassName != nil {
		t.Errorf("class %q without any", *c.Spec.StorageClassName)
	}
	class := &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: "local", Annotations: map[string]string{"storageclass.kubernetes.io/is-default-class": "true"}}, Provisioner: "pkg.internal/local"}
	if _, err := cs.StorageV1().StorageClasses().Create(t.Context(), class, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if c := claim("after"); c.Spec.StorageClassName == nil || *c.Spec.StorageClassName != "local" || c.Status.Phase != corev1.ClaimPending {
		t.Errorf("claim %+v", c)
	}
}

func TestSecretStringData(t *testing.T) {
	t.Parallel()
	cs := start(t, nil).client(t)
	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "s"}, StringData: map[string]string{"a": "1"}}
	s, err := cs.CoreV1().Secrets("default").Create(t.Context(), s, metav1.CreateOptions{})
	if err != nil || string(s.Data["a"]) != "1" || s.StringData != nil {
		t.Fatalf("secret %+v, %v", s, err)
	}
	s.StringData = map[string]string{"b": "2"}
	if s, err = cs.CoreV1().Secrets("default").Update(t.Context(), s, metav1.UpdateOptions{}); err != nil || len(s.Data) != 2 {
		t.Errorf("secret %+v, %v", s, err)
	}
}

func TestEphemeralContainers(t *testing.T) {
	t.Parallel()
	pods := start(t, nil).client(t).CoreV1().Pods("default")
	p, err := pods.Create(t.Context(), pod("p"), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	debugger := func(name, target string) *corev1.Pod {
		o := p.DeepCopy()
		o.Spec.EphemeralContainers = append(o.Spec.EphemeralContainers, corev1.EphemeralContainer{TargetContainerName: target,
			EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: name, Image: "busybox"}})
		return o
	}
	if _, err := pods.UpdateEphemeralContainers(t.Context(), "p", debugger("d", "nobody"), metav1.UpdateOptions{}); !apierrors.IsInvalid(err) ||
		!strings.Contains(err.Error(), "targetContainerName") {
		t.Errorf("a target that is not there: %v", err)
	}
	if p, err = pods.UpdateEphemeralContainers(t.Context(), "p", debugger("d", p.Spec.Containers[0].Name), metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if c := p.Spec.EphemeralContainers[0]; c.ImagePullPolicy != corev1.PullAlways || c.TerminationMessagePath == "" {
		t.Errorf("without defaults: %+v", c)
	}
	p.Labels = map[string]string{"still": "changeable"}
	if p, err = pods.Update(t.Context(), p, metav1.UpdateOptions{}); err != nil {
		t.Errorf("a pod with a debugger cannot be changed: %v", err)
	}
	gone := p.DeepCopy()
	gone.Spec.EphemeralContainers = nil
	if _, err := pods.UpdateEphemeralContainers(t.Context(), "p", gone, metav1.UpdateOptions{}); !apierrors.IsInvalid(err) ||
		!strings.Contains(err.Error(), `existing ephemeral containers "d" may not be removed`) {
		t.Errorf("a debugger is taken away: %v", err)
	}
}
