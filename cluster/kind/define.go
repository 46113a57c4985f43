package kind

import (
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/seed38700745/pkg/cluster/kind/table"
	"github.com/seed38700745/pkg/cluster/object"
)

// All returns the built-in kinds: those of Kubernetes 1.36 that are stable.
func All() []*Kind {
	return []*Kind{
		namespace(), node(), pod(), podTemplate(), replicationController(),
		service(), endpoints(), configMap(), secret(), serviceAccount(),
		persistentVolume(), persistentVolumeClaim(), event(), limitRange(), resourceQuota(),
		deployment(), replicaSet(), statefulSet(), daemonSet(), controllerRevision(),
		job(), cronJob(), horizontalPodAutoscaler(), podDisruptionBudget(),
		ingress(), ingressClass(), networkPolicy(), ipAddress(), serviceCIDR(), endpointSlice(),
		role(), roleBinding(), clusterRole(), clusterRoleBinding(),
		storageClass(), volumeAttachment(), csiDriver(), csiNode(), csiStorageCapacity(), volumeAttributesClass(),
		lease(), priorityClass(), runtimeClass(), certificateSigningRequest(),
		mutatingWebhookConfiguration(), validatingWebhookConfiguration(),
		validatingAdmissionPolicy(), validatingAdmissionPolicyBinding(),
		mutatingAdmissionPolicy(), mutatingAdmissionPolicyBinding(),
		customResourceDefinition(), flowSchema(), priorityLevelConfiguration(),
		deviceClass(), resourceClaim(), resourceClaimTemplate(), resourceSlice(),
	}
}

// define starts the entry of a cluster-wide kind with the Go types T and L.
func define[T, L any, PT interface {
	*T
	object.Object
}, PL interface {
	*L
	runtime.Object
}](gv schema.GroupVersion, kind, plural string, shortNames ...string) *Kind {
	return &Kind{
		GVK:        gv.WithKind(kind),
		Plural:     plural,
		Singular:   strings.ToLower(kind),
		ShortNames: shortNames,
		New:        func() object.Object { return PT(new(T)) },
		NewList:    func() runtime.Object { return PL(new(L)) },
	}
}

// defineNamespaced starts the entry of a kind whose objects live in namespaces.
func defineNamespaced[T, L any, PT interface {
	*T
	object.Object
}, PL interface {
	*L
	runtime.Object
}](gv schema.GroupVersion, kind, plural string, shortNames ...string) *Kind {
	k := define[T, L, PT, PL](gv, kind, plural, shortNames...)
	k.Namespaced = true
	return k
}

// status gives k a "status" subresource; assign copies the status. New objects
// start with an empty one.
func status[T object.Object](k *Kind, assign func(to, from T)) {
	k.HasStatus = true
	k.CopyStatus = func(to, from object.Object) { assign(to.(T), from.(T)) }
	k.PrepareCreate = func(o object.Object) { k.CopyStatus(o, k.New()) }
}

// The following adapt functions on one Go type to Kind's fields.

func on[T object.Object](f func(T)) func(object.Object) {
	return func(o object.Object) { f(o.(T)) }
}

func onBoth[T object.Object](f func(o, old T)) func(o, old object.Object) {
	return func(o, old object.Object) { f(o.(T), old.(T)) }
}

func check[T object.Object](f func(T) field.ErrorList) func(object.Object) field.ErrorList {
	return func(o object.Object) field.ErrorList { return f(o.(T)) }
}

func checkBoth[T object.Object](f func(o, old T) field.ErrorList) func(o, old object.Object) field.ErrorList {
	return func(o, old object.Object) field.ErrorList { return f(o.(T), old.(T)) }
}

func warn[T object.Object](f func(T) []string) func(object.Object) []string {
	return func(o object.Object) []string { return f(o.(T)) }
}

func row[T object.Object](f func(o T, now time.Time) []any) func(object.Object, time.Time) []any {
	return func(o object.Object, now time.Time) []any { return f(o.(T), now) }
}

// selectable sets the fields that selectors may name; names is in the order
// of get's values.
func selectable[T object.Object](k *Kind, names []string, get func(T) []string) {
	k.FieldNames = names
	k.Fields = func(o object.Object) fields.Set {
		set := fields.Set{}
		for i, v := range get(o.(T)) {
			set[names[i]] = v
		}
		return set
	}
}

// scale sets the "scale" subresource.
func scale[T object.Object](k *Kind, get func(T) (spec, status int32, selector string), set func(o T, replicas int32)) {
	k.Scale = &Scale{
		Get: func(o object.Object) (int32, int32, string) { return get(o.(T)) },
		Set: func(o object.Object, replicas int32) { set(o.(T), replicas) },
	}
}

// selectorString renders s as Scale has it; what is not valid selects nothing.
func selectorString(s *metav1.LabelSelector) string {
	sel, err := metav1.LabelSelectorAsSelector(s)
	if err != nil {
		return ""
	}
	return sel.String()
}

// orOne is the default of spec.replicas.
func orOne(n *int32) int32 {
	if n == nil {
		return 1
	}
	return *n
}

// createdTable is for kinds that show when they were created.
func createdTable() ([]metav1.TableColumnDefinition, func(object.Object, time.Time) []any) {
	return table.CreatedColumns(), func(o object.Object, now time.Time) []any { return table.CreatedRow(o, now) }
}

// ageTable is for kinds that show how old they are.
func ageTable() ([]metav1.TableColumnDefinition, func(object.Object, time.Time) []any) {
	return table.AgeColumns(), func(o object.Object, now time.Time) []any { return table.AgeRow(o, now) }
}
