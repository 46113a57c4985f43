package api

import (
	"context"
	"net/http"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/seed38700745/pkg/cluster/api/auth"
	"github.com/seed38700745/pkg/cluster/kind"
	"github.com/seed38700745/pkg/cluster/object"
)

// Virtual is a resource that is served but not stored: the kinds that ask
// about users and permissions, and read-only ones such as metrics. The
// functions that are set are the verbs it has.
type Virtual struct {
	GVK        schema.GroupVersionKind
	Plural     string
	Singular   string
	ShortNames []string
	Namespaced bool
	New        func() object.Object

	// Columns and Row make the table that kubectl get shows, as a Kind's do.
	Columns []metav1.TableColumnDefinition
	Row     func(o object.Object, now time.Time) []any
	// Warning, if any, goes with every answer.
	Warning string

	// Create answers a question. o belongs to it.
	Create func(ctx context.Context, u auth.User, o object.Object) (object.Object, error)
	// Get returns one object, or an API error.
	Get func(ctx context.Context, k object.Key) (object.Object, error)
	// List returns the objects of a namespace or (empty) all.
	List func(ctx context.Context, namespace string, l labels.Selector) ([]object.Object, error)
}

// verbs lists what v can do, for discovery.
func (v *Virtual) verbs() (out []string) {
	if v.Create != nil {
		out = append(out, "create")
	}
	if v.Get != nil {
		out = append(out, "get")
	}
	if v.List != nil {
		out = append(out, "list")
	}
	return out
}

// serveVirtual serves a request to a virtual resource.
func (q *request) serveVirtual(v *Virtual) error {
	gr := q.gvr.GroupResource()
	q.served = kind.Served{Kind: &kind.Kind{GVK: v.GVK, New: v.New, Columns: v.Columns, Row: v.Row}}
	if v.Warning != "" {
		q.warn(v.Warning)
	}
	switch {
	case q.sub != "":
		return notServed()
	case q.verb == "create" && v.Create != nil:
		return q.createVirtual(v)
	case q.verb == "get" && v.Get != nil:
		o, err := v.Get(q.Context(), q.key)
		if err != nil {
			return asStatus(err)
		}
		o.GetObjectKind().SetGroupVersionKind(v.GVK)
		return q.answer(http.StatusOK, o)
	case q.verb == "list" && v.List != nil:
		return q.listVirtual(v)
	}
	return apierrors.NewMethodNotSupported(gr, q.verb)
}

func (q *request) createVirtual(v *Virtual) error {
	w, err := q.writeOptions(nil, "", q.URL.Query().Get("fieldValidation"))
	if err != nil {
		return err
	}
	o := v.New()
	o.GetObjectKind().SetGroupVersionKind(v.GVK)
	if err := q.decode(o, w); err != nil {
		return err
	}
	if v.Namespaced {
		if ns := o.GetNamespace(); ns != "" && ns != q.key.Namespace {
			return apierrors.NewBadRequest("the namespace of the provided object does not match the namespace sent on the request")
		}
		o.SetNamespace(q.key.Namespace)
	}
	out, err := v.Create(q.Context(), q.user, o)
	if err != nil {
		return asStatus(err)
	}
	out.GetObjectKind().SetGroupVersionKind(v.GVK)
	return q.answerPlain(http.StatusCreated, out)
}

func (q *request) listVirtual(v *Virtual) error {
	o, _, err := q.listOptions()
	if err != nil {
		return err
	}
	items, err := v.List(q.Context(), q.key.Namespace, o.Labels)
	if err != nil {
		return asStatus(err)
	}
	for _, x := range items {
		x.GetObjectKind().SetGroupVersionKind(v.GVK)
	}
	return q.answerList(&object.List{ResourceVersion: strconv.FormatInt(q.server.Store.Revision(), 10), Items: items})
}
