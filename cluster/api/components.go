package api

import (
	"context"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/seed38700745/pkg/cluster/object"
)

// Components is the virtual resource componentstatuses, which older texts ask
// for with `kubectl get cs`: the parts of the control plane under the names
// that they have in Kubernetes. All run in the process that answers, and it
// ends when one of them does: whoever gets an answer has healthy ones.
func Components() Virtual {
	gvk := corev1.SchemeGroupVersion.WithKind("ComponentStatus")
	statuses := func() (out []object.Object) {
		condition := corev1.ComponentCondition{Type: corev1.ComponentHealthy, Status: corev1.ConditionTrue, Message: "ok"}
		for _, name := range []string{"controller-manager", "etcd-0", "scheduler"} {
			out = append(out, &corev1.ComponentStatus{ObjectMeta: metav1.ObjectMeta{Name: name}, Conditions: []corev1.ComponentCondition{condition}})
		}
		return out
	}
	return Virtual{
		GVK: gvk, Plural: "componentstatuses", ShortNames: []string{"cs"},
		New:     func() object.Object { return &corev1.ComponentStatus{} },
		Columns: componentColumns(), Row: componentRow,
		Warning: "v1 ComponentStatus is deprecated in v1.19+",
		List: func(_ context.Context, _ string, l labels.Selector) ([]object.Object, error) {
			if l != nil && !l.Empty() {
				return nil, nil // they have no labels
			}
			return statuses(), nil
		},
		Get: func(_ context.Context, k object.Key) (object.Object, error) {
			all := statuses()
			i := slices.IndexFunc(all, func(o object.Object) bool { return o.GetName() == k.Name })
			if i < 0 {
				return nil, apierrors.NewNotFound(schema.GroupResource{Resource: "componentstatuses"}, k.Name)
			}
			return all[i], nil
		},
	}
}

func componentColumns() []metav1.TableColumnDefinition {
	return []metav1.TableColumnDefinition{
		{Name: "Name", Type: "string", Format: "name", Description: metav1.ObjectMeta{}.SwaggerDoc()["name"]},
		{Name: "Status", Type: "string", Description: "Status of the component conditions"},
		{Name: "Message", Type: "string", Description: "Message of the component conditions"},
		{Name: "Error", Type: "string", Description: "Error of the component conditions"},
	}
}

func componentRow(o object.Object, _ time.Time) []any {
	c := o.(*corev1.ComponentStatus).Conditions[0]
	return []any{o.GetName(), string(c.Type), c.Message, c.Error}
}
