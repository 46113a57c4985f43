package kind

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/seed38700745/pkg/cluster/object"
)

func list(cpu, memory string) corev1.ResourceList {
	l := corev1.ResourceList{}
	if cpu != "" {
		l[corev1.ResourceCPU] = resource.MustParse(cpu)
	}
	if memory != "" {
		l[corev1.ResourceMemory] = resource.MustParse(memory)
	}
	return l
}

func TestQOSClass(t *testing.T) {
	for name, test := range map[string]struct {
		pod        *corev1.ResourceRequirements
		containers []corev1.ResourceRequirements
		want       corev1.PodQOSClass
	}{
		"nothing":         {containers: []corev1.ResourceRequirements{{}}, want: corev1.PodQOSBestEffort},
		"request":         {containers: []corev1.ResourceRequirements{{Requests: list("1", "")}}, want: corev1.PodQOSBurstable},
		"limits":          {containers: []corev1.ResourceRequirements{{Limits: list("1", "1Gi"), Requests: list("1", "1Gi")}}, want: corev1.PodQOSGuaranteed},
		"lower request":   {containers: []corev1.ResourceRequirements{{Limits: list("1", "1Gi"), Requests: list("500m", "1Gi")}}, want: corev1.PodQOSBurstable},
		"one of two":      {containers: []corev1.ResourceRequirements{{Limits: list("1", "1Gi")}, {}}, want: corev1.PodQOSBurstable},
		"zero":            {containers: []corev1.ResourceRequirements{{Requests: list("0", "0")}}, want: corev1.PodQOSBestEffort},
		"memory only":     {containers: []corev1.ResourceRequirements{{Limits: list("", "1Gi")}}, want: corev1.PodQOSBurstable},
		"pod as a whole":  {pod: &corev1.ResourceRequirements{Limits: list("1", "1Gi")}, containers: []corev1.ResourceRequirements{{}}, want: corev1.PodQOSGuaranteed},
		"pod, cpu only":   {pod: &corev1.ResourceRequirements{Limits: list("1", "")}, containers: []corev1.ResourceRequirements{{}}, want: corev1.PodQOSBurstable},
		"no container":    {want: corev1.PodQOSBestEffort},
		"extended no cpu": {containers: []corev1.ResourceRequirements{{Limits: corev1.ResourceList{"example.com/gpu": resource.MustParse("1")}}}, want: corev1.PodQOSBestEffort},
	} {
		p := &corev1.Pod{Spec: corev1.PodSpec{Resources: test.pod}}
		for _, r := range test.containers {
			p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Resources: r})
		}
		if got := QOSClass(p); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
}

func TestPodRequestsOfThePodAsAWhole(t *testing.T) {
	p := &corev1.Pod{Spec: corev1.PodSpec{
		Resources:  &corev1.ResourceRequirements{Limits: list("2", "2Gi")},
		Containers: []corev1.Container{{Name: "a", Resources: corev1.ResourceRequirements{Requests: list("500m", "")}}, {Name: "b"}},
	}}
	pod().Default(p)
	// CPU is what the containers ask for, memory the limit.
	if d := cmp.Diff(list("500m", "2Gi"), p.Spec.Resources.Requests); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

func TestWarnings(t *testing.T) {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{"scheduler.alpha.kubernetes.io/critical-pod": ""}},
		Spec: corev1.PodSpec{
			NodeSelector: map[string]string{"beta.kubernetes.io/os": "linux"},
			Containers: []corev1.Container{{
				Ports: []corev1.ContainerPort{{ContainerPort: 80}, {ContainerPort: 80}},
				Env:   []corev1.EnvVar{{Name: "A"}, {Name: "A"}},
			}},
		},
	}
	want := []string{
		`spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use "kubernetes.io/os" instead`,
		`metadata.annotations[scheduler.alpha.kubernetes.io/critical-pod]: non-functional in v1.16+; use the "priorityClassName" field instead`,
		`spec.containers[0].ports[1]: duplicate port definition with spec.containers[0].ports[0]`,
		`spec.containers[0].env[1]: hides previous definition of "A", which may be unexpected`,
	}
	if d := cmp.Diff(want, pod().Warnings(p)); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	i := &networkingv1.Ingress{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{"kubernetes.io/ingress.class": "x"}}}
	if got := ingress().Warnings(i); len(got) != 1 {
		t.Errorf("ingress: %v", got)
	}
	if got := service().Warnings(&corev1.Service{}); got != nil {
		t.Errorf("service without deprecated fields: %v", got)
	}
}

func TestFields(t *testing.T) {
	p := &corev1.Pod{
		Spec: corev1.PodSpec{NodeName: "n1", HostNetwork: true, RestartPolicy: corev1.RestartPolicyNever},
		Status: corev1.PodStatus{
			Phase: corev1.PodRunning, PodIPs: []corev1.PodIP{{IP: "10.0.0.1"}},
		},
	}
	got := pod().Fields(p)
	for name, want := range map[string]string{
		"spec.nodeName": "n1", "spec.hostNetwork": "true", "spec.restartPolicy": "Never",
		"status.phase": "Running", "status.podIP": "10.0.0.1", "status.nominatedNodeName": "",
	} {
		if got[name] != want {
			t.Errorf("%s = %q, want %q", name, got[name], want)
		}
	}
	e := &corev1.Event{ReportingController: "c", InvolvedObject: corev1.ObjectReference{UID: "u"}}
	if f := event().Fields(e); f["source"] != "c" || f["involvedObject.uid"] != "u" {
		t.Errorf("event: %v", f)
	}
}

func TestStatus(t *testing.T) {
	p := &corev1.Pod{Status: corev1.PodStatus{QOSClass: corev1.PodQOSBurstable}}
	pod().CopyStatus(p, &corev1.Pod{Status: corev1.PodStatus{Phase: corev1.PodRunning}})
	if p.Status.Phase != corev1.PodRunning || p.Status.QOSClass != corev1.PodQOSBurstable {
		t.Errorf("pod: %+v", p.Status)
	}

	// A definition that changes its storage version remembers the old one.
	c := &apiextensionsv1.CustomResourceDefinition{Spec: apiextensionsv1.CustomResourceDefinitionSpec{
		Versions: []apiextensionsv1.CustomResourceDefinitionVersion{{Name: "v1"}, {Name: "v2", Storage: true}},
	}}
	old := &apiextensionsv1.CustomResourceDefinition{Status: apiextensionsv1.CustomResourceDefinitionStatus{StoredVersions: []string{"v1"}}}
	customResourceDefinition().CopyStatus(c, old)
	if d := cmp.Diff([]string{"v1", "v2"}, c.Status.StoredVersions); d != "" {
		t.Errorf("stored versions (-want +got)\n%s", d)
	}
	if len(old.Status.StoredVersions) != 1 {
		t.Error("the source of the status was changed")
	}
}

// TestGeneratedName: a namespace gets its label even when its name was made
// after defaulting.
func TestGeneratedName(t *testing.T) {
	k := namespace()
	n := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "shop-"}}
	k.Default(n)
	n.Name = "shop-x7k2p"
	k.PrepareCreate(n)
	if n.Labels[corev1.LabelMetadataName] != "shop-x7k2p" {
		t.Errorf("labels %v", n.Labels)
	}
	// The finalizers of a namespace change through their subresource only.
	update := n.DeepCopy()
	update.Spec.Finalizers = nil
	k.PrepareUpdate(update, n)
	if len(update.Spec.Finalizers) != 1 {
		t.Errorf("finalizers %v", update.Spec.Finalizers)
	}
}

func TestValidateName(t *testing.T) {
	for _, test := range []struct {
		k    *Kind
		name string
		ok   bool
	}{
		{service(), "web", true}, {service(), "1web", false}, {service(), "a.b", false},
		{namespace(), "1shop", true}, {namespace(), "a.b", false},
		{statefulSet(), "a.b", false},
		{role(), "system:node", true}, {role(), "a/b", false}, {clusterRoleBinding(), "system:basic-user", true},
	} {
		if got := len(test.k.ValidateName(test.name, false)) == 0; got != test.ok {
			t.Errorf("%s %q: valid %v", test.k.GVK.Kind, test.name, got)
		}
	}
}

// BenchmarkPod is the work on one new pod: defaults and validation.
func BenchmarkPod(b *testing.B) {
	k := pod()
	template := &corev1.Pod{Spec: corev1.PodSpec{
		Containers: []corev1.Container{{
			Name: "a", Image: "nginx:1", Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 80}},
			Resources:    corev1.ResourceRequirements{Limits: list("1", "1Gi")},
			VolumeMounts: []corev1.VolumeMount{{Name: "v", MountPath: "/v"}},
		}},
		Volumes: []corev1.Volume{{Name: "v"}},
	}}
	for b.Loop() {
		o := template.DeepCopyObject().(object.Object)
		prepared(k, o)
		if errs := k.Validate(o); len(errs) > 0 {
			b.Fatal(errs)
		}
	}
}

// BenchmarkNewRegistry is part of every start of pkgd.
func BenchmarkNewRegistry(b *testing.B) {
	for b.Loop() {
		NewRegistry(All())
	}
}
