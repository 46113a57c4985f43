package managed

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/seed38700745/pkg/cluster/kind"
	"github.com/seed38700745/pkg/cluster/object"
)

// ApplyNew is Apply for an object that does not exist, which needs no merging: the
// result is the configuration, all fields of which are manager's. ok is false for what
// takes the long way: other versions than the stored one, custom resources, and all that
// is an error, which Apply words.
func (f *Fields) ApplyNew(v kind.Served, patch *unstructured.Unstructured, manager string) (o object.Object, ok bool) {
	if v.Alias != nil || v.Kind.Types != nil || custom(v.Kind) || patch.GroupVersionKind() != v.Kind.GVK ||
		patch.GetName() == "" || patch.GetManagedFields() != nil || manager == kubectlManager {
		return nil, false
	}
	f.Prepare()
	config, err := f.converter.ObjectToTyped(patch)
	if err != nil {
		return nil, false
	}
	set, err := config.ToFieldSet()
	if err != nil {
		return nil, false
	}
	if o, err = structured(v, patch); err != nil {
		return nil, false
	}
	setOnly(v, o, set, manager, metav1.ManagedFieldsOperationApply, metav1.Time{Time: time.Now().UTC()})
	return o, true
}

// kubectlManager is kubectl's for apply --server-side, of whose objects Apply keeps the
// annotation of client-side apply up to date.
const kubectlManager = "kubectl"
