package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/mergepatch"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"k8s.io/apimachinery/pkg/util/validation/field"
	kjson "sigs.k8s.io/json"

	"github.com/seed38700745/pkg/cluster/api/wire"
	"github.com/seed38700745/pkg/cluster/kind"
	"github.com/seed38700745/pkg/cluster/object"
)

// Patch applies a patch; see object.Verbs.
func (s *Server) Patch(ctx context.Context, r object.Resource, key object.Key, t types.PatchType, p []byte, w object.WriteOptions) (object.Object, error) {
	k, ok := s.Kinds.ForResource(r)
	if !ok {
		return nil, notServed()
	}
	if !updatable(k, w.Subresource) {
		return nil, notServed()
	}
	o, _, err := s.patch(ctx, s.inProcess(k, w), key, t, p)
	return o, err
}

// maxPatchOperations bounds a JSON patch (apiserver: handlers/patch.go).
const maxPatchOperations = 10000

// patch changes the object key, and with server-side apply creates it if it is
// missing.
func (s *Server) patch(ctx context.Context, w write, key object.Key, t types.PatchType, p []byte) (o object.Object, created bool, err error) {
	if w.Subresource == "scale" {
		o, err = s.patchScale(ctx, w, key, t, p)
		return o, false, err
	}
	if t == types.ApplyYAMLPatchType {
		return s.apply(ctx, w, key, p)
	}
	w.retry = true // unless the patch names a version; then the conflict is no race
	o, err = s.modify(ctx, w, key, func(old object.Object) (object.Object, error) {
		return s.patched(w, old, t, p)
	})
	return o, false, err
}

// patched applies a patch that is not server-side apply to a copy of old. The
// client's resourceVersion, if it named one, stands in the result; else old's.
func (s *Server) patched(w write, old object.Object, t types.PatchType, p []byte) (object.Object, error) {
	shown, err := toServed(w.served, old)
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	before, err := json.Marshal(shown)
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	after, problems, err := applyPatch(w, before, t, p, shown)
	if err != nil {
		return nil, err
	}
	o := w.served.NewObject()
	more, err := wire.Decode(after, wire.JSON, w.strict(), o)
	if err != nil {
		return nil, invalidPatch(after, err)
	}
	if err := s.report(w.WriteOptions, append(problems, append(more, s.prune(w.served, o)...)...)); err != nil {
		return nil, invalidPatch(after, err)
	}
	if got := o.GetObjectKind().GroupVersionKind(); got != w.served.Version() {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("the patch changes the object's kind to %s", got))
	}
	return fromServed(w.served, o)
}

func invalidPatch(after []byte, err error) error {
	return apierrors.NewInvalid(schema.GroupKind{}, "", field.ErrorList{field.Invalid(field.NewPath("patch"), string(after), err.Error())})
}

// applyPatch works on the JSON of an object. problems are those of strict
// decoding of the patch itself.
func applyPatch(w write, before []byte, t types.PatchType, p []byte, shown object.Object) (after []byte, problems []error, err error) {
	switch t {
	case types.JSONPatchType:
		ops, err := jsonpatch.DecodePatch(p)
		if err != nil {
			return nil, nil, apierrors.NewBadRequest(err.Error())
		}
		if len(ops) > maxPatchOperations {
			return nil, nil, apierrors.NewRequestEntityTooLargeError(
				fmt.Sprintf("The allowed maximum operations in a JSON patch is %d, got %d", maxPatchOperations, len(ops)))
		}
		if after, err = ops.Apply(before); err != nil {
			return nil, nil, unprocessable(err)
		}
		return after, nil, nil
	case types.MergePatchType, types.StrategicMergePatchType:
		var m map[string]any
		if w.strict() {
			problems, err = kjson.UnmarshalStrict(p, &m)
		} else {
			err = kjson.UnmarshalCaseSensitivePreserveInts(p, &m)
		}
		if err != nil {
			return nil, nil, apierrors.NewBadRequest(fmt.Sprintf("error decoding patch: %v", err))
		}
	default:
		return nil, nil, unsupportedPatch(t)
	}
	if t == types.MergePatchType {
		if after, err = jsonpatch.MergePatch(before, p); err != nil {
			return nil, nil, apierrors.NewBadRequest(err.Error())
		}
		return after, problems, nil
	}
	if _, custom := shown.(*unstructured.Unstructured); custom {
		return nil, nil, unsupportedPatch(t)
	}
	after, err = strategicpatch.StrategicMergePatch(before, p, shown)
	switch {
	case err == nil:
		return after, problems, nil
	case errors.Is(err, mergepatch.ErrBadJSONDoc), errors.Is(err, mergepatch.ErrBadPatchFormatForPrimitiveList),
		errors.Is(err, mergepatch.ErrBadPatchFormatForRetainKeys), errors.Is(err, mergepatch.ErrBadPatchFormatForSetElementOrderList),
		errors.Is(err, mergepatch.ErrUnsupportedStrategicMergePatchFormat):
		return nil, nil, apierrors.NewBadRequest(err.Error())
	case errors.Is(err, mergepatch.ErrNoListOfLists), mergepatch.IsConflict(err):
		return nil, nil, unprocessable(err)
	}
	return nil, nil, apierrors.NewBadRequest(err.Error())
}

// unprocessable is a 422 for a patch that does not fit the object.
func unprocessable(err error) error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusUnprocessableEntity, Reason: metav1.StatusReasonInvalid,
		Message: "the patch cannot be applied: " + err.Error(),
	}}
}

// patchTypes are what PATCH understands.
func patchTypes() []string {
	return []string{string(types.JSONPatchType), string(types.MergePatchType), string(types.StrategicMergePatchType), string(types.ApplyYAMLPatchType)}
}

func unsupportedPatch(t types.PatchType) error {
	return unsupportedMedia(fmt.Sprintf("the body of the request was in an unknown format (%s) - accepted media types include: ", t), patchTypes())
}

// apply is server-side apply.
func (s *Server) apply(ctx context.Context, w write, key object.Key, p []byte) (object.Object, bool, error) {
	if w.FieldManager == "" {
		return nil, false, apierrors.NewInvalid(schema.GroupKind{Group: "meta.k8s.io", Kind: "PatchOptions"}, "", field.ErrorList{
			field.Required(field.NewPath("fieldManager"), "is required for apply patch")})
	}
	content, problems, err := wire.DecodeMap(p, w.strict())
	if err != nil {
		return nil, false, apierrors.NewBadRequest(fmt.Sprintf("error decoding YAML: %v", err))
	}
	if err := s.report(w.WriteOptions, problems); err != nil {
		return nil, false, apierrors.NewBadRequest(fmt.Sprintf("error strict decoding YAML: %v", err))
	}
	patch := &unstructured.Unstructured{Object: content}
	if patch.GetName() != "" && patch.GetName() != key.Name {
		return nil, false, apierrors.NewBadRequest(fmt.Sprintf("the name of the object (%s) does not match the name on the URL (%s)", patch.GetName(), key.Name))
	}
	if ns := patch.GetNamespace(); ns != "" && ns != key.Namespace {
		return nil, false, apierrors.NewBadRequest("the namespace of the provided object does not match the namespace sent on the request")
	}
	s.managed.Prepare()
	w.fields, w.retry = appliedFields, patch.GetResourceVersion() == ""
	for try := 1; ; try++ {
		o, err := s.modify(ctx, w, key, func(old object.Object) (object.Object, error) {
			return s.applied(w, old, patch)
		})
		if !apierrors.IsNotFound(err) || w.Subresource != "" {
			return o, false, err
		}
		if patch.GetUID() != "" {
			return nil, false, apierrors.NewConflict(w.served.Resource(), key.Name,
				fmt.Errorf("uid mismatch: the provided object specified uid %s, and no existing object was found", patch.GetUID()))
		}
		if w.mayCreate != nil {
			if err := w.mayCreate(); err != nil {
				return nil, false, err
			}
		}
		o, err = s.applyNew(ctx, w, key, patch)
		if apierrors.IsAlreadyExists(err) && try < maxTries {
			continue
		}
		return o, err == nil, err
	}
}

func (s *Server) applied(w write, old object.Object, patch *unstructured.Unstructured) (object.Object, error) {
	in := patch.DeepCopy()
	if unknown := s.prune(w.served, in); len(unknown) > 0 {
		if err := s.report(w.WriteOptions, unknown); err != nil {
			return nil, apierrors.NewBadRequest(err.Error())
		}
	}
	o, err := s.managed.Apply(w.served, w.Subresource, old, in, w.FieldManager, w.Force)
	if err != nil {
		st := apierrors.APIStatus(nil)
		if errors.As(err, &st) {
			return nil, err
		}
		return nil, apierrors.NewBadRequest(err.Error())
	}
	return o, nil
}

// applyNew creates what an apply found missing.
func (s *Server) applyNew(ctx context.Context, w write, key object.Key, patch *unstructured.Unstructured) (object.Object, error) {
	o, ok := object.Object(nil), false
	if w.Subresource == "" {
		o, ok = s.managed.ApplyNew(w.served, patch, w.FieldManager)
	}
	if !ok {
		empty := w.served.Kind.New()
		empty.GetObjectKind().SetGroupVersionKind(w.served.GVK)
		var err error
		if o, err = s.applied(w, empty, patch); err != nil {
			return nil, err
		}
	}
	o.SetName(key.Name)
	o.SetNamespace(key.Namespace)
	o.SetResourceVersion("")
	return s.create(ctx, w, o)
}

// strict tells whether unknown and duplicate fields are to be looked for.
func (w write) strict() bool { return w.FieldValidation == "Strict" || w.FieldValidation == "Warn" }

// report handles the problems that strict decoding found: an error or
// warnings, as fieldValidation says.
func (s *Server) report(o object.WriteOptions, problems []error) error {
	if len(problems) == 0 {
		return nil
	}
	switch o.FieldValidation {
	case "Strict":
		return runtime.NewStrictDecodingError(problems)
	case "Warn":
		for _, p := range problems {
			if o.Warn != nil {
				o.Warn(p.Error())
			}
		}
	}
	return nil
}

// prune removes from a custom resource what its schema does not know.
func (s *Server) prune(v kind.Served, o object.Object) []error {
	u, ok := o.(*unstructured.Unstructured)
	if !ok || s.Config.Prune == nil {
		return nil
	}
	var problems []error
	for _, path := range s.Config.Prune(v.Version(), u) {
		problems = append(problems, fmt.Errorf("unknown field %q", path))
	}
	return problems
}

// toServed shows a stored object in the version of v; without an alias it is
// the stored object itself.
func toServed(v kind.Served, o object.Object) (object.Object, error) {
	if v.Alias == nil {
		return o, nil
	}
	out, err := v.Alias.To(o.DeepCopyObject().(object.Object))
	if err != nil {
		return nil, err
	}
	out.GetObjectKind().SetGroupVersionKind(v.Alias.GVK)
	return out, nil
}

// fromServed is the inverse of toServed; it may change o.
func fromServed(v kind.Served, o object.Object) (object.Object, error) {
	if v.Alias == nil {
		return o, nil
	}
	out, err := v.Alias.From(o)
	if err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	out.GetObjectKind().SetGroupVersionKind(v.GVK)
	return out, nil
}
