package managed

import (
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/seed38700745/pkg/cluster/kind"
	"github.com/seed38700745/pkg/cluster/object"
)

// versions converts one kind's objects between the versions that show it, as
// apimachinery's field managers ask for it. It is their creater and defaulter,
// too.
type versions struct{ kind *kind.Kind }

var (
	_ runtime.ObjectConvertor = versions{}
	_ runtime.ObjectCreater   = versions{}
	_ runtime.ObjectDefaulter = versions{}
)

func (c versions) served(gv schema.GroupVersion) (kind.Served, bool) {
	if gv == c.kind.GVK.GroupVersion() {
		return kind.Served{Kind: c.kind}, true
	}
	for i := range c.kind.Aliases {
		if c.kind.Aliases[i].GVK.GroupVersion() == gv {
			return kind.Served{Kind: c.kind, Alias: &c.kind.Aliases[i]}, true
		}
	}
	return kind.Served{}, false
}

// New makes an empty object of the version.
func (c versions) New(gvk schema.GroupVersionKind) (runtime.Object, error) {
	v, ok := c.served(gvk.GroupVersion())
	if !ok {
		return nil, runtime.NewNotRegisteredErrForKind("versions", gvk)
	}
	o := v.NewObject()
	o.GetObjectKind().SetGroupVersionKind(v.Version())
	return o, nil
}

// Default sets the defaults of objects in the stored version; others are
// defaulted when they are converted to it and written.
func (c versions) Default(in runtime.Object) {
	if o, ok := in.(object.Object); ok && c.kind.Default != nil && in.GetObjectKind().GroupVersionKind() == c.kind.GVK {
		c.kind.Default(o)
	}
}

// ConvertToVersion converts through the stored version. Objects that are in
// the version already are returned as they are, except that unstructured ones
// of typed kinds become typed.
func (c versions) ConvertToVersion(in runtime.Object, target runtime.GroupVersioner) (runtime.Object, error) {
	gvk := in.GetObjectKind().GroupVersionKind()
	to, ok := target.KindForGroupVersionKinds([]schema.GroupVersionKind{gvk})
	if gv, isGV := target.(schema.GroupVersion); isGV {
		to, ok = gv.WithKind(gvk.Kind), true
	}
	if !ok {
		return nil, runtime.NewNotRegisteredErrForTarget("versions", nil, target)
	}
	from, ok := c.served(gvk.GroupVersion())
	if !ok {
		return nil, runtime.NewNotRegisteredErrForKind("versions", gvk)
	}
	goal, ok := c.served(to.GroupVersion())
	if !ok {
		return nil, runtime.NewNotRegisteredErrForKind("versions", to)
	}
	o, err := structured(from, in)
	if err != nil || from.Version() == goal.Version() {
		return o, err
	}
	if from.Alias != nil {
		if o, err = from.Alias.From(o.DeepCopyObject().(object.Object)); err != nil {
			return nil, err
		}
		o.GetObjectKind().SetGroupVersionKind(c.kind.GVK)
	}
	if goal.Alias != nil {
		if o, err = goal.Alias.To(o.DeepCopyObject().(object.Object)); err != nil {
			return nil, err
		}
		o.GetObjectKind().SetGroupVersionKind(goal.Version())
	}
	return o, nil
}

// structured returns in as the Go type of v.
func structured(v kind.Served, in runtime.Object) (object.Object, error) {
	u, ok := in.(*unstructured.Unstructured)
	if ok {
		o := v.NewObject()
		if _, same := o.(*unstructured.Unstructured); same {
			return u, nil
		}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, o); err != nil {
			return nil, err
		}
		o.GetObjectKind().SetGroupVersionKind(v.Version())
		return o, nil
	}
	o, ok := in.(object.Object)
	if !ok {
		return nil, fmt.Errorf("%T is no object", in)
	}
	return o, nil
}

// Convert is not used by field managers.
func (c versions) Convert(in, out, _ any) error {
	return fmt.Errorf("cannot convert %T to %T", in, out)
}

// ConvertFieldLabel is not used by field managers.
func (c versions) ConvertFieldLabel(_ schema.GroupVersionKind, label, value string) (string, string, error) {
	return label, value, nil
}
