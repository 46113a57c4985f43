package kind

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/seed38700745/pkg/cluster/object"
)

// TestEveryKind checks what must hold for any entry.
func TestEveryKind(t *testing.T) {
	r := NewRegistry(All())
	for _, k := range r.All() {
		t.Run(k.Resource().String(), func(t *testing.T) {
			for _, s := range []struct {
				o    runtime.Object
				want schema.GroupVersionKind
			}{{k.New(), k.GVK}, {k.NewList(), k.GVK.GroupVersion().WithKind(k.GVK.Kind + "List")}} {
				gvks, _, err := r.Scheme().ObjectKinds(s.o)
				if err != nil || !slices.Contains(gvks, s.want) {
					t.Errorf("%T is %v (%v), want %v", s.o, gvks, err, s.want)
				}
			}
			if k.Plural != strings.ToLower(k.Plural) || k.Singular != strings.ToLower(k.GVK.Kind) {
				t.Errorf("names %q and %q", k.Plural, k.Singular)
			}
			// Nothing may depend on optional fields being there.
			o := k.New()
			prepared(k, o)
			if k.Default != nil {
				once := o.DeepCopyObject()
				k.Default(o)
				if d := cmp.Diff(once, o, cmp.Exporter(func(reflect.Type) bool { return true })); d != "" {
					t.Errorf("defaulting twice changes: %s", d)
				}
			}
			if k.Validate != nil {
				k.Validate(o)
			}
			if k.ValidateUpdate != nil {
				if errs := k.ValidateUpdate(o, o.DeepCopyObject().(object.Object)); len(errs) > 0 {
					t.Errorf("an update without a change: %v", errs)
				}
			}
			checkTable(t, k, o)
			checkFields(t, k, o)
		})
	}
}

func checkTable(t *testing.T, k *Kind, o object.Object) {
	if k.Columns == nil {
		t.Fatal("no columns")
	}
	cells := k.Row(o, now)
	if len(cells) != len(k.Columns) {
		t.Errorf("%d cells for %d columns", len(cells), len(k.Columns))
	}
	for i, cell := range cells {
		switch cell.(type) {
		case string, int64, bool:
		default:
			t.Errorf("cell %d is a %T", i, cell)
		}
	}
	for _, c := range k.Columns {
		if c.Name == "" || c.Type == "" {
			t.Errorf("column %+v", c)
		}
	}
}

func checkFields(t *testing.T, k *Kind, o object.Object) {
	if k.Fields == nil {
		if k.FieldNames != nil {
			t.Error("FieldNames without Fields")
		}
		return
	}
	set := k.Fields(o)
	for _, name := range k.FieldNames {
		if !set.Has(name) {
			t.Errorf("no field %q", name)
		}
	}
	if len(set) != len(k.FieldNames) {
		t.Errorf("%d fields, %d names", len(set), len(k.FieldNames))
	}
}

// TestAPIResources pins what kubectl api-resources would list.
func TestAPIResources(t *testing.T) {
	var got []string
	for _, k := range NewRegistry(All()).All() {
		var sub []string
		if k.HasStatus {
			sub = append(sub, "status")
		}
		if k.Scale != nil {
			sub = append(sub, "scale")
		}
		for _, m := range k.More {
			sub = append(sub, m.Name)
		}
		slices.Sort(sub)
		got = append(got, strings.Join([]string{
			k.Resource().String(), strings.Join(k.ShortNames, ","), k.GVK.Version, fmt.Sprint(k.Namespaced),
			k.GVK.Kind, strings.Join(k.Categories, ","), strings.Join(sub, ","),
		}, " "))
	}
	for _, want := range []string{
		"configmaps cm v1 true ConfigMap  ",
		"endpoints ep v1 true Endpoints  ",
		"events ev v1 true Event  ",
		"namespaces ns v1 false Namespace  finalize,status",
		"nodes no v1 false Node  proxy,status",
		"persistentvolumeclaims pvc v1 true PersistentVolumeClaim  status",
		"pods po v1 true Pod all attach,binding,ephemeralcontainers,eviction,exec,log,portforward,proxy,resize,status",
		"replicationcontrollers rc v1 true ReplicationController all scale,status",
		"serviceaccounts sa v1 true ServiceAccount  token",
		"services svc v1 true Service all proxy,status",
		"customresourcedefinitions.apiextensions.k8s.io crd,crds v1 false CustomResourceDefinition api-extensions status",
		"deployments.apps deploy v1 true Deployment all scale,status",
		"statefulsets.apps sts v1 true StatefulSet all scale,status",
		"daemonsets.apps ds v1 true DaemonSet all status",
		"horizontalpodautoscalers.autoscaling hpa v2 true HorizontalPodAutoscaler all status",
		"cronjobs.batch cj v1 true CronJob all status",
		"jobs.batch  v1 true Job all status",
		"ingresses.networking.k8s.io ing v1 true Ingress  status",
		"storageclasses.storage.k8s.io sc v1 false StorageClass  ",
		"priorityclasses.scheduling.k8s.io pc v1 false PriorityClass  ",
		"leases.coordination.k8s.io  v1 true Lease  ",
	} {
		if !slices.Contains(got, want) {
			t.Errorf("missing %q in\n%s", want, strings.Join(got, "\n"))
		}
	}
}

// TestActed pins the kinds on which the cluster acts.
func TestActed(t *testing.T) {
	var got []string
	for _, k := range NewRegistry(All()).All() {
		if k.Acted {
			got = append(got, k.GVK.Kind)
		}
		if k.Volatile != (k.GVK.Kind == "Lease") || k.Lazy != (k.GVK.Kind == "Event") {
			t.Errorf("%s: volatile %v, lazy %v", k.GVK.Kind, k.Volatile, k.Lazy)
		}
	}
	want := []string{
		"ConfigMap", "Endpoints", "Event", "LimitRange", "Namespace", "Node", "PersistentVolumeClaim", "PersistentVolume", "Pod", "ResourceQuota", "Secret",
		"ServiceAccount", "Service", "CustomResourceDefinition", "ControllerRevision", "DaemonSet", "Deployment", "ReplicaSet",
		"StatefulSet", "HorizontalPodAutoscaler", "CronJob", "Job", "Lease", "EndpointSlice", "PodDisruptionBudget", "ClusterRoleBinding", "ClusterRole", "RoleBinding", "Role", "PriorityClass", "StorageClass",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

func TestRegistry(t *testing.T) {
	r := NewRegistry(All())
	hpa := schema.GroupVersionKind{Group: "autoscaling", Version: "v1", Kind: "HorizontalPodAutoscaler"}
	s, ok := r.ForKind(hpa)
	if !ok || s.Alias == nil || s.GVK.Version != "v2" || s.Version() != hpa {
		t.Errorf("ForKind(%v) = %+v, %v", hpa, s, ok)
	}
	if _, ok := s.NewObject().(*autoscalingv1.HorizontalPodAutoscaler); !ok {
		t.Errorf("NewObject is a %T", s.NewObject())
	}
	if k, ok := r.ForResource(object.Resource{Group: "events.k8s.io", Resource: "events"}); !ok || k.GVK.Group != "" {
		t.Error("events.k8s.io does not lead to core events")
	}
	if s, ok := r.ForGVR(schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}); !ok || s.Alias != nil {
		t.Error("no deployments")
	}

	backup := &Kind{
		GVK:    schema.GroupVersionKind{Group: "example.com", Version: "v2", Kind: "Backup"},
		Plural: "backups",
		Aliases: []Alias{{
			GVK: schema.GroupVersionKind{Group: "example.com", Version: "v1", Kind: "Backup"},
		}},
	}
	if err := r.Add(backup); err != nil {
		t.Fatal(err)
	}
	clash := &Kind{GVK: backup.GVK, Plural: "copies"}
	if err := r.Add(clash); err == nil || !strings.Contains(err.Error(), "already served as backups.example.com") {
		t.Errorf("clash: %v", err)
	}
	if !slices.Contains(r.GroupVersions(), schema.GroupVersion{Group: "example.com", Version: "v1"}) {
		t.Error("alias is not served")
	}
	if !r.Remove(backup.Resource()) || r.Remove(backup.Resource()) {
		t.Error("Remove")
	}
	if _, ok := r.ForKind(backup.Aliases[0].GVK); ok {
		t.Error("removed kind is served")
	}
}

// TestRegistryConcurrently lets readers look things up while kinds come and
// go: they see all of a kind or nothing.
func TestRegistryConcurrently(t *testing.T) {
	r := NewRegistry(All())
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			k := &Kind{GVK: schema.GroupVersionKind{Group: "example.com", Version: "v1", Kind: fmt.Sprint("K", i)}, Plural: fmt.Sprint("k", i)}
			for range 50 {
				if err := r.Add(k); err != nil {
					t.Error(err)
				}
				if _, ok := r.ForKind(k.GVK); !ok {
					t.Errorf("%s is not there after Add", k.GVK)
				}
				r.Remove(k.Resource())
			}
		})
	}
	wg.Wait()
	if n := len(r.All()); n != len(All()) {
		t.Errorf("%d kinds remain, want %d", n, len(All()))
	}
}

// TestScheme: what typed clients exchange besides objects can be decoded.
func TestScheme(t *testing.T) {
	s := NewRegistry(nil).Scheme()
	for _, want := range []schema.GroupVersionKind{
		{Version: "v1", Kind: "Status"}, {Version: "v1", Kind: "WatchEvent"},
		{Group: "apps", Version: "v1", Kind: "DeleteOptions"}, {Group: "apps", Version: "v1", Kind: "ListOptions"},
		{Group: "autoscaling", Version: "v1", Kind: "Scale"}, {Group: "policy", Version: "v1", Kind: "Eviction"},
		{Group: "meta.k8s.io", Version: "v1", Kind: "Table"},
		{Group: "meta.k8s.io", Version: "v1", Kind: "PartialObjectMetadata"},
		{Group: "authentication.k8s.io", Version: "v1", Kind: "TokenRequest"},
		{Group: "authorization.k8s.io", Version: "v1", Kind: "SelfSubjectAccessReview"},
	} {
		if !s.Recognizes(want) {
			t.Errorf("scheme lacks %v", want)
		}
	}
}

func TestAutoscalerV1RoundTrip(t *testing.T) {
	five, percent := resource.MustParse("5"), int32(60)
	h := &autoscalingv2.HorizontalPodAutoscaler{
		ObjectMeta: metav1.ObjectMeta{Name: "web", Annotations: map[string]string{}},
		Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
			MaxReplicas: 3,
			Metrics: []autoscalingv2.MetricSpec{
				{Type: "External", External: &autoscalingv2.ExternalMetricSource{
					Metric: autoscalingv2.MetricIdentifier{Name: "queue"},
					Target: autoscalingv2.MetricTarget{Type: "Value", Value: &five},
				}},
				{Type: "Resource", Resource: &autoscalingv2.ResourceMetricSource{
					Name: "cpu", Target: autoscalingv2.MetricTarget{Type: "Utilization", AverageUtilization: &percent},
				}},
			},
			Behavior: &autoscalingv2.HorizontalPodAutoscalerBehavior{ScaleDown: &autoscalingv2.HPAScalingRules{}},
		},
	}
	k, _ := NewRegistry(All()).ForResource(object.Resource{Group: "autoscaling", Resource: "horizontalpodautoscalers"})
	v1, err := k.Aliases[0].To(h.DeepCopy())
	if err != nil {
		t.Fatal(err)
	}
	if got := v1.(*autoscalingv1.HorizontalPodAutoscaler).Spec.TargetCPUUtilizationPercentage; got == nil || *got != 60 {
		t.Errorf("targetCPUUtilizationPercentage = %v", got)
	}
	back, err := k.Aliases[0].From(v1)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(h, back); d != "" {
		t.Errorf("v2 -> v1 -> v2 (-want +got)\n%s", d)
	}
}

func TestEventAlias(t *testing.T) {
	k := event()
	e := &corev1.Event{
		ObjectMeta: metav1.ObjectMeta{Name: "e"}, Message: "hello", Reason: "R", Count: 3,
		InvolvedObject: corev1.ObjectReference{Kind: "Pod", Name: "p"},
		Source:         corev1.EventSource{Component: "kubelet"},
		Series:         &corev1.EventSeries{Count: 2},
	}
	v1, err := k.Aliases[0].To(e.DeepCopy())
	if err != nil {
		t.Fatal(err)
	}
	if got := v1.(*eventsv1.Event); got.Note != "hello" || got.Regarding.Name != "p" || got.DeprecatedCount != 3 {
		t.Errorf("events.k8s.io/v1: %+v", got)
	}
	back, err := k.Aliases[0].From(v1)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(e, back); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

func TestScale(t *testing.T) {
	k := deployment()
	d := &appsv1.Deployment{}
	d.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"b": "2", "a": "1"}}
	d.Status.Replicas = 2
	k.Scale.Set(d, 5)
	spec, status, selector := k.Scale.Get(d)
	if spec != 5 || status != 2 || selector != "a=1,b=2" {
		t.Errorf("scale = %d, %d, %q", spec, status, selector)
	}
}

func TestServiceKeepsWhatWasAllocated(t *testing.T) {
	old := &corev1.Service{Spec: corev1.ServiceSpec{
		Type: corev1.ServiceTypeNodePort, ClusterIP: "10.0.0.1", ClusterIPs: []string{"10.0.0.1"},
		IPFamilies: []corev1.IPFamily{corev1.IPv4Protocol},
		Ports:      []corev1.ServicePort{{Name: "a", Port: 80, NodePort: 30080, Protocol: "TCP"}},
	}}
	k := service()
	// A manifest that leaves out what was allocated keeps it.
	s := &corev1.Service{Spec: corev1.ServiceSpec{
		Type:  corev1.ServiceTypeNodePort,
		Ports: []corev1.ServicePort{{Name: "b", Port: 443, Protocol: "TCP"}, {Name: "a", Port: 80, Protocol: "TCP"}},
	}}
	k.PrepareUpdate(s, old)
	if s.Spec.ClusterIP != "10.0.0.1" || len(s.Spec.ClusterIPs) != 1 || s.Spec.Ports[1].NodePort != 30080 || s.Spec.Ports[0].NodePort != 0 {
		t.Errorf("kept: %+v", s.Spec)
	}
	// A type without cluster IP and node ports drops them.
	s = old.DeepCopy()
	s.Spec.Type, s.Spec.ExternalName = corev1.ServiceTypeExternalName, "example.com"
	k.PrepareUpdate(s, old)
	if s.Spec.ClusterIP != "" || s.Spec.ClusterIPs != nil || s.Spec.Ports[0].NodePort != 0 || s.Spec.IPFamilies != nil {
		t.Errorf("dropped: %+v", s.Spec)
	}
}
