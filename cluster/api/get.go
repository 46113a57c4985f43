package api

import (
	"net/http"
	"net/url"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/seed38700745/pkg/cluster/api/wire"
	"github.com/seed38700745/pkg/cluster/object"
)

// get answers with one object, or one of its subresources.
func (q *request) get() error {
	o, err := q.server.Store.Get(q.served.Resource(), q.key)
	if err != nil {
		return storeError(err, q.gvr.GroupResource(), q.key.Name)
	}
	switch q.sub {
	case "":
	case "status":
		if !q.served.HasStatus {
			return notServed()
		}
	case "scale":
		if q.served.Scale == nil {
			return notServed()
		}
		return q.answerPlain(http.StatusOK, scaleOf(q.served.Kind, o))
	case "ephemeralcontainers", "resize":
		if q.gvr.GroupResource() != pods {
			return notServed()
		}
	default:
		return notServed()
	}
	return q.answer(http.StatusOK, o)
}

// answer writes a stored object as the client wants to see it.
func (q *request) answer(code int, o object.Object) error {
	a, err := q.accept(wire.CanProtobuf(o))
	if err != nil {
		return err
	}
	if o, err = toServed(q.served, o); err != nil {
		return apierrors.NewInternalError(err)
	}
	switch a.As {
	case "":
		q.write(code, a, o)
	case "Table":
		t, err := q.table([]object.Object{o}, metav1.ListMeta{ResourceVersion: o.GetResourceVersion()}, a.Version)
		if err != nil {
			return err
		}
		q.write(code, a, t)
	case "PartialObjectMetadata":
		q.write(code, a, partial(o, a.Version))
	default:
		return notAcceptable()
	}
	return nil
}

// answerPlain writes an object that knows no transformations.
func (q *request) answerPlain(code int, o runtime.Object) error {
	a, ok := wire.Negotiate(q.Header.Get("Accept"), func(a wire.Accepted) bool {
		return a.Plain() && (a.Format != wire.Protobuf || wire.CanProtobuf(o))
	})
	if !ok {
		return notAcceptable()
	}
	a.Pretty = a.Pretty || q.pretty()
	q.write(code, a, o)
	return nil
}

// partial is an object's metadata alone.
func partial(o object.Object, version string) *metav1.PartialObjectMetadata {
	p := &metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{APIVersion: metav1.GroupName + "/" + version, Kind: "PartialObjectMetadata"}}
	if m, ok := o.(metav1.ObjectMetaAccessor); ok {
		if meta, ok := m.GetObjectMeta().(*metav1.ObjectMeta); ok {
			p.ObjectMeta = *meta
			return p
		}
	}
	p.Name, p.GenerateName, p.Namespace, p.UID = o.GetName(), o.GetGenerateName(), o.GetNamespace(), o.GetUID()
	p.ResourceVersion, p.Generation = o.GetResourceVersion(), o.GetGeneration()
	p.CreationTimestamp, p.DeletionTimestamp = o.GetCreationTimestamp(), o.GetDeletionTimestamp()
	p.DeletionGracePeriodSeconds = o.GetDeletionGracePeriodSeconds()
	p.Labels, p.Annotations, p.OwnerReferences = o.GetLabels(), o.GetAnnotations(), o.GetOwnerReferences()
	p.Finalizers, p.ManagedFields = o.GetFinalizers(), o.GetManagedFields()
	return p
}

// list answers with a page of a collection.
func (q *request) list() error {
	o, _, err := q.listOptions()
	if err != nil {
		return err
	}
	l, err := q.server.List(q.Context(), q.gvr.GroupResource(), o)
	if err != nil {
		return err
	}
	return q.answerList(l)
}

func (q *request) answerList(l *object.List) error {
	a, err := q.accept(wire.CanProtobuf(q.served.NewObject()))
	if err != nil {
		return err
	}
	meta := metav1.ListMeta{ResourceVersion: l.ResourceVersion, Continue: l.Continue, RemainingItemCount: l.Remaining}
	items := l.Items
	if q.served.Alias != nil {
		items = make([]object.Object, len(l.Items))
		for i := range l.Items {
			if items[i], err = toServed(q.served, l.Items[i]); err != nil {
				return apierrors.NewInternalError(err)
			}
		}
	}
	switch a.As {
	case "":
		gvk := q.served.Version()
		head := wire.ListHead{TypeMeta: metav1.TypeMeta{APIVersion: gvk.GroupVersion().String(), Kind: gvk.Kind + "List"}, ListMeta: meta}
		q.w.Header().Set("Content-Type", a.ContentType())
		out := q.respond(http.StatusOK)
		defer out.Close()
		if err := wire.EncodeList(out, a.Format, a.Pretty, head, items); err != nil {
			q.server.Logger.Debug("write a list", "path", q.URL.Path, "error", err)
		}
	case "Table":
		t, err := q.table(items, meta, a.Version)
		if err != nil {
			return err
		}
		q.write(http.StatusOK, a, t)
	case "PartialObjectMetadataList":
		out := &metav1.PartialObjectMetadataList{
			TypeMeta: metav1.TypeMeta{APIVersion: metav1.GroupName + "/" + a.Version, Kind: "PartialObjectMetadataList"},
			ListMeta: meta, Items: make([]metav1.PartialObjectMetadata, len(items)),
		}
		for i := range items {
			out.Items[i] = *partial(items[i], a.Version)
		}
		q.write(http.StatusOK, a, out)
	default:
		return notAcceptable()
	}
	return nil
}

// listOptions reads the query of lists, watches and deletecollection.
func (q *request) listOptions() (object.ListOptions, metav1.ListOptions, error) {
	var in metav1.ListOptions
	o := object.ListOptions{Namespace: q.key.Namespace}
	if q.URL.RawQuery != "" {
		values := q.URL.Query()
		if err := metav1.Convert_url_Values_To_v1_ListOptions((*url.Values)(&values), &in, nil); err != nil {
			return o, in, apierrors.NewBadRequest(err.Error())
		}
	}
	var err error
	if in.LabelSelector != "" {
		if o.Labels, err = labels.Parse(in.LabelSelector); err != nil {
			return o, in, apierrors.NewBadRequest("unable to parse requirement: " + err.Error())
		}
	}
	if in.FieldSelector != "" {
		if o.Fields, err = fields.ParseSelector(in.FieldSelector); err != nil {
			return o, in, apierrors.NewBadRequest(err.Error())
		}
	}
	if q.key.Name != "" { // a watch of one object by its path
		own := fields.OneTermEqualSelector("metadata.name", q.key.Name)
		if o.Fields != nil {
			own = fields.AndSelectors(own, o.Fields)
		}
		o.Fields = own
	}
	o.Limit, o.Continue = in.Limit, in.Continue
	o.ResourceVersion, o.Match = in.ResourceVersion, in.ResourceVersionMatch
	if err := checkVersionMatch(in, q.verb == "watch"); err != nil {
		return o, in, err
	}
	return o, in, nil
}

// checkVersionMatch is apimachinery's validation of ListOptions
// (meta/internalversion/validation), which works on an internal type.
func checkVersionMatch(in metav1.ListOptions, watching bool) error {
	m := in.ResourceVersionMatch
	switch {
	case in.SendInitialEvents != nil && !watching:
		return apierrors.NewBadRequest("sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list")
	case in.SendInitialEvents != nil && m != metav1.ResourceVersionMatchNotOlderThan:
		return apierrors.NewBadRequest("resourceVersionMatch: Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan")
	case watching && in.SendInitialEvents == nil && m != "":
		return apierrors.NewBadRequest("resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided")
	case watching:
		return nil
	case m == "":
		return nil
	case m != metav1.ResourceVersionMatchExact && m != metav1.ResourceVersionMatchNotOlderThan:
		return apierrors.NewBadRequest("resourceVersionMatch: Unsupported value: \"" + string(m) + "\": supported values: \"Exact\", \"NotOlderThan\"")
	case in.ResourceVersion == "":
		return apierrors.NewBadRequest("resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided")
	case in.Continue != "":
		return apierrors.NewBadRequest("resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden when continue is provided")
	case in.ResourceVersion == "0" && m == metav1.ResourceVersionMatchExact:
		return apierrors.NewBadRequest("resourceVersionMatch: Forbidden: resourceVersionMatch \"Exact\" is forbidden for resourceVersion \"0\"")
	}
	return nil
}

// timeout of a watch: the client's, else half an hour to an hour would do;
// kube-apiserver's minimum is 30 minutes.
func watchTimeout(in metav1.ListOptions) time.Duration {
	const usual = 45 * time.Minute
	if in.TimeoutSeconds == nil || *in.TimeoutSeconds <= 0 {
		return usual
	}
	return time.Duration(*in.TimeoutSeconds) * time.Second
}
