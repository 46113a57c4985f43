package api

import (
	"fmt"
	"mime"
	"net/http"
	"net/url"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/conversion"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/seed38700745/pkg/cluster/api/auth"
	"github.com/seed38700745/pkg/cluster/api/wire"
	"github.com/seed38700745/pkg/cluster/object"
)

// query decodes the query into options with one of meta/v1's generated
// functions.
func query[T any](q *request, convert func(*url.Values, *T, conversion.Scope) error) (T, error) {
	var out T
	if q.URL.RawQuery == "" {
		return out, nil
	}
	values := q.URL.Query()
	if err := convert(&values, &out, nil); err != nil {
		return out, apierrors.NewBadRequest(err.Error())
	}
	return out, nil
}

// decode reads the body into o, which is empty and of the version served.
func (q *request) decode(o object.Object, w object.WriteOptions) error {
	f, ok := wire.FormatOf(q.Header.Get("Content-Type"))
	if !ok {
		return unsupportedMedia("the body of the request was in an unknown format - accepted media types include: ", wire.Supported())
	}
	data, err := q.body()
	if err != nil {
		return err
	}
	want := o.GetObjectKind().GroupVersionKind()
	o.GetObjectKind().SetGroupVersionKind(want.GroupVersion().WithKind(""))
	strict := write{WriteOptions: w}.strict()
	unusable := func(err error) error {
		return apierrors.NewBadRequest(fmt.Sprintf("%s in version %q cannot be handled as a %s: %v", want.Kind, want.Version, want.Kind, err))
	}
	problems, err := wire.Decode(data, f, strict, o)
	if err != nil {
		return unusable(err)
	}
	got := o.GetObjectKind().GroupVersionKind()
	if got.Kind != "" && got.Kind != want.Kind {
		return apierrors.NewBadRequest(fmt.Sprintf("the object provided is unrecognized (must be of type %s): got %s", want.Kind, got.Kind))
	}
	if got.Version != "" && got.GroupVersion() != want.GroupVersion() {
		return apierrors.NewBadRequest(fmt.Sprintf("the API version in the data (%s) does not match the expected API version (%s)", got.GroupVersion(), want.GroupVersion()))
	}
	o.GetObjectKind().SetGroupVersionKind(want)
	problems = append(problems, q.server.prune(q.served, o)...)
	if err := q.server.report(w, problems); err != nil {
		return unusable(err)
	}
	return nil
}

// newServed is an empty object of the version served.
func (q *request) newServed() object.Object {
	o := q.served.NewObject()
	o.GetObjectKind().SetGroupVersionKind(q.served.Version())
	return o
}

// placed checks name and namespace in o against the URL's and fills them in.
func (q *request) placed(o object.Object) error {
	switch {
	case o.GetNamespace() == "":
		o.SetNamespace(q.key.Namespace)
	case q.key.Namespace == "" && !q.served.Namespaced:
		return apierrors.NewBadRequest("namespace field may not be set for cluster-scoped resources: " + o.GetNamespace())
	case o.GetNamespace() != q.key.Namespace:
		return apierrors.NewBadRequest(fmt.Sprintf("the namespace of the provided object does not match the namespace sent on the request (%s != %s)", o.GetNamespace(), q.key.Namespace))
	}
	if q.key.Name == "" {
		return nil
	}
	if o.GetName() == "" {
		o.SetName(q.key.Name)
	}
	if o.GetName() != q.key.Name {
		return apierrors.NewBadRequest(fmt.Sprintf("the name of the object (%s) does not match the name on the URL (%s)", o.GetName(), q.key.Name))
	}
	return nil
}

// writing makes the core's write from the options.
func (q *request) writing(w object.WriteOptions) write {
	w.FieldManager = q.manager(w.FieldManager)
	out := write{served: q.served, WriteOptions: w}
	if check := q.server.CheckWrite; check != nil {
		user := q.user
		out.check = func(o, old object.Object) error { return check(q.Context(), user, o, old) }
	}
	return out
}

func (q *request) create() error {
	in, err := query(q, metav1.Convert_url_Values_To_v1_CreateOptions)
	if err != nil {
		return err
	}
	w, err := q.writeOptions(in.DryRun, in.FieldManager, in.FieldValidation)
	if err != nil {
		return err
	}
	if q.key.Name != "" {
		return q.createSub(w)
	}
	o := q.newServed()
	if err := q.decode(o, w); err != nil {
		return err
	}
	if err := q.placed(o); err != nil {
		return err
	}
	if o, err = fromServed(q.served, o); err != nil {
		return err
	}
	out, err := q.server.create(q.Context(), q.writing(w), o)
	if err != nil {
		return err
	}
	return q.answer(http.StatusCreated, out)
}

// createSub is a POST to pods/binding, pods/eviction, serviceaccounts/token.
func (q *request) createSub(w object.WriteOptions) error {
	body := subresourceBody(q.gvr.GroupResource(), q.sub)
	if body == nil {
		return notServed()
	}
	if err := q.decode(body, w); err != nil {
		return err
	}
	if body.GetName() != "" && body.GetName() != q.key.Name && q.sub != "token" {
		return apierrors.NewBadRequest(fmt.Sprintf("the name of the object (%s) does not match the name on the URL (%s)", body.GetName(), q.key.Name))
	}
	w.FieldManager = q.manager(w.FieldManager)
	out, err := q.server.createSubresource(q.Context(), q.served.Kind, q.key, body, w)
	if err != nil {
		return err
	}
	if q.sub == "token" {
		return q.answerPlain(http.StatusCreated, out)
	}
	return q.answerPlain(http.StatusCreated, &metav1.Status{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: metav1.StatusSuccess, Code: http.StatusCreated,
	})
}

func (q *request) update() error {
	in, err := query(q, metav1.Convert_url_Values_To_v1_UpdateOptions)
	if err != nil {
		return err
	}
	w, err := q.writeOptions(in.DryRun, in.FieldManager, in.FieldValidation)
	if err != nil {
		return err
	}
	if err := q.updatable(); err != nil {
		return err
	}
	if q.sub == "scale" {
		in := &autoscalingv1.Scale{TypeMeta: metav1.TypeMeta{APIVersion: "autoscaling/v1", Kind: "Scale"}}
		if err := q.decode(in, w); err != nil {
			return err
		}
		out, err := q.server.update(q.Context(), q.writing(w), q.key, in)
		if err != nil {
			return err
		}
		return q.answerPlain(http.StatusOK, out)
	}
	o := q.newServed()
	if err := q.decode(o, w); err != nil {
		return err
	}
	if err := q.placed(o); err != nil {
		return err
	}
	if o, err = fromServed(q.served, o); err != nil {
		return err
	}
	out, err := q.server.update(q.Context(), q.writing(w), q.key, o)
	if err != nil {
		return err
	}
	return q.answer(http.StatusOK, out)
}

// updatable tells whether PUT and PATCH make sense here.
func (q *request) updatable() error {
	gr := q.gvr.GroupResource()
	if q.key.Name == "" {
		return apierrors.NewMethodNotSupported(gr, q.verb)
	}
	if !updatable(q.served.Kind, q.sub) {
		return notServed()
	}
	return nil
}

func (q *request) patch() error {
	in, err := query(q, metav1.Convert_url_Values_To_v1_PatchOptions)
	if err != nil {
		return err
	}
	w, err := q.writeOptions(in.DryRun, in.FieldManager, in.FieldValidation)
	if err != nil {
		return err
	}
	if err := q.updatable(); err != nil {
		return err
	}
	mediaType, _, err := mime.ParseMediaType(q.Header.Get("Content-Type"))
	t := types.PatchType(mediaType)
	switch {
	case err != nil:
		return unsupportedPatch(t)
	case t == types.ApplyYAMLPatchType:
		if in.Force != nil {
			w.Force = *in.Force
		}
	case t == types.JSONPatchType, t == types.MergePatchType, t == types.StrategicMergePatchType:
		if in.Force != nil {
			return apierrors.NewInvalid(metav1.SchemeGroupVersion.WithKind("PatchOptions").GroupKind(), "", field.ErrorList{
				field.Forbidden(field.NewPath("force"), "may not be specified for non-apply patch")})
		}
	default:
		return unsupportedPatch(t)
	}
	data, err := q.body()
	if err != nil {
		return err
	}
	wr := q.writing(w)
	if t == types.ApplyYAMLPatchType {
		wr.FieldManager = in.FieldManager // apply must name its manager
		wr.mayCreate = func() error { return q.mayCreate() }
	}
	out, created, err := q.server.patch(q.Context(), wr, q.key, t, data)
	if err != nil {
		return err
	}
	if q.sub == "scale" {
		return q.answerPlain(http.StatusOK, out)
	}
	code := http.StatusOK
	if created {
		code = http.StatusCreated
	}
	return q.answer(code, out)
}

// mayCreate asks whether the user of an apply may create, too.
func (q *request) mayCreate() error {
	a := q.attributes(q.user, q.Request)
	a.Verb = "create"
	allowed, reason, err := q.server.Authorize(q.Context(), a)
	if err != nil {
		return apierrors.NewInternalError(err)
	}
	if !allowed {
		return auth.Forbidden(a, reason)
	}
	return nil
}

// deleteOptions reads options from the body or, without one, the query.
func (q *request) deleteOptions() (object.DeleteOptions, error) {
	in, err := query(q, metav1.Convert_url_Values_To_v1_DeleteOptions)
	if err != nil {
		return object.DeleteOptions{}, err
	}
	data, err := q.body()
	if err != nil {
		return object.DeleteOptions{}, err
	}
	if len(data) > 0 {
		f, ok := wire.FormatOf(q.Header.Get("Content-Type"))
		if !ok {
			return object.DeleteOptions{}, unsupportedMedia("the body of the request was in an unknown format - accepted media types include: ", wire.Supported())
		}
		in = metav1.DeleteOptions{}
		if _, err := wire.Decode(data, f, false, &in); err != nil {
			return object.DeleteOptions{}, apierrors.NewBadRequest(err.Error())
		}
	}
	o := object.DeleteOptions{GracePeriodSeconds: in.GracePeriodSeconds, Preconditions: in.Preconditions, Propagation: in.PropagationPolicy}
	w, err := q.writeOptions(in.DryRun, "", "")
	if err != nil {
		return o, err
	}
	o.DryRun = w.DryRun
	if orphan := in.OrphanDependents; orphan != nil { //nolint:staticcheck // old clients send it
		if in.PropagationPolicy != nil {
			return o, apierrors.NewBadRequest("orphanDependents and deletionPropagation cannot be both set")
		}
		p := metav1.DeletePropagationBackground
		if *orphan {
			p = metav1.DeletePropagationOrphan
		}
		o.Propagation = &p
	}
	if p := o.Propagation; p != nil {
		switch *p {
		case metav1.DeletePropagationBackground, metav1.DeletePropagationForeground, metav1.DeletePropagationOrphan:
		default:
			return o, apierrors.NewInvalid(metav1.SchemeGroupVersion.WithKind("DeleteOptions").GroupKind(), "", field.ErrorList{
				field.NotSupported(field.NewPath("propagationPolicy"), *p, []string{"Background", "Foreground", "Orphan"})})
		}
	}
	return o, nil
}

func (q *request) delete() error {
	o, err := q.deleteOptions()
	if err != nil {
		return err
	}
	if q.sub != "" {
		return apierrors.NewMethodNotSupported(q.gvr.GroupResource(), "delete "+q.sub)
	}
	left, gone, err := q.server.delete(q.Context(), q.served.Kind, q.key, o)
	if err != nil {
		return err
	}
	if !gone || q.gvr.GroupResource() == pods {
		return q.answer(http.StatusOK, left)
	}
	return q.answerPlain(http.StatusOK, deleted(q, left))
}

// deleted is the Status that says that an object is gone.
func deleted(q *request, o object.Object) runtime.Object {
	return &metav1.Status{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: metav1.StatusSuccess,
		Details: &metav1.StatusDetails{Name: o.GetName(), Group: q.gvr.Group, Kind: q.gvr.Resource, UID: o.GetUID()},
	}
}

func (q *request) deleteCollection() error {
	o, err := q.deleteOptions()
	if err != nil {
		return err
	}
	l, _, err := q.listOptions()
	if err != nil {
		return err
	}
	out, err := q.server.deleteCollection(q.Context(), q.served.Kind, l, o)
	if err != nil {
		return err
	}
	return q.answerList(out)
}
