package release

import (
	"context"
	"io"
	"net/netip"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/seed38700745/pkg/cluster/api"
	"github.com/seed38700745/pkg/cluster/api/auth"
	"github.com/seed38700745/pkg/cluster/kind"
	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/store"
)

// inProcess is a real API as a Cluster, without HTTP so that it works in synctest
// bubbles. No controller runs.
type inProcess struct {
	*api.Server
	kinds *kind.Registry
}

var _ Cluster = (*inProcess)(nil)

func newCluster(t *testing.T) *inProcess {
	t.Helper()
	kinds := kind.NewRegistry(kind.All())
	db, err := store.Open(filepath.Join(t.TempDir(), "db"), store.Options{Codec: api.NewCodec(kinds)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	s, err := api.New(api.Config{Store: db, Kinds: kinds,
		Authorize: func(context.Context, auth.Attributes) (bool, string, error) { return true, "", nil }})
	if err != nil {
		t.Fatal(err)
	}
	if err := api.Bootstrap(t.Context(), s, netip.AddrPort{}); err != nil {
		t.Fatal(err)
	}
	return &inProcess{s, kinds}
}

// loose is the object as clients get it.
func (c *inProcess) loose(o object.Object, err error) (object.Object, error) {
	if err != nil {
		return nil, err
	}
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
	if err != nil {
		return nil, err
	}
	u := &unstructured.Unstructured{Object: content}
	for _, k := range c.kinds.All() {
		if made := k.New(); u.GetKind() == "" && typeOf(made) == typeOf(o) {
			u.SetGroupVersionKind(k.GVK)
		}
	}
	return u, nil
}

// strict is the object as the API wants it.
func (c *inProcess) strict(r object.Resource, o object.Object) (object.Object, error) {
	u, ok := o.(*unstructured.Unstructured)
	if !ok {
		return o, nil
	}
	for _, k := range c.kinds.All() {
		if k.Resource() == r {
			made := k.New()
			return made, runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, made)
		}
	}
	return u, nil
}

func (c *inProcess) Get(ctx context.Context, r object.Resource, k object.Key) (object.Object, error) {
	return c.loose(c.Server.Get(ctx, r, k))
}

func (c *inProcess) List(ctx context.Context, r object.Resource, o object.ListOptions) (*object.List, error) {
	l, err := c.Server.List(ctx, r, o)
	if err != nil {
		return nil, err
	}
	out := *l
	out.Items = nil
	for _, item := range l.Items {
		u, err := c.loose(item, nil)
		if err != nil {
			return nil, err
		}
		out.Items = append(out.Items, u)
	}
	return &out, nil
}

func (c *inProcess) Create(ctx context.Context, r object.Resource, o object.Object, w object.WriteOptions) (object.Object, error) {
	s, err := c.strict(r, o)
	if err != nil {
		return nil, err
	}
	return c.loose(c.Server.Create(ctx, r, s, w))
}

func (c *inProcess) Update(ctx context.Context, r object.Resource, o object.Object, w object.WriteOptions) (object.Object, error) {
	s, err := c.strict(r, o)
	if err != nil {
		return nil, err
	}
	return c.loose(c.Server.Update(ctx, r, s, w))
}

func (c *inProcess) Patch(ctx context.Context, r object.Resource, k object.Key, t types.PatchType, p []byte, w object.WriteOptions) (object.Object, error) {
	return c.loose(c.Server.Patch(ctx, r, k, t, p, w))
}

func (c *inProcess) Delete(ctx context.Context, r object.Resource, k object.Key, o object.DeleteOptions) (object.Object, error) {
	return c.loose(c.Server.Delete(ctx, r, k, o))
}

func (c *inProcess) Watch(ctx context.Context, r object.Resource, o object.WatchOptions) (watch.Interface, error) {
	w, err := c.Server.Watch(ctx, r, o)
	if err != nil {
		return nil, err
	}
	return watch.Filter(w, func(e watch.Event) (watch.Event, bool) {
		if o, ok := e.Object.(object.Object); ok {
			if u, err := c.loose(o, nil); err == nil {
				e.Object = u
			}
		}
		return e, true
	}), nil
}

func (c *inProcess) Metadata(ctx context.Context, r object.Resource, o object.ListOptions) (*object.List, error) {
	return c.List(ctx, r, o)
}

func (c *inProcess) Names(ctx context.Context, r object.Resource, o object.ListOptions) (names []string, whole bool, err error) {
	l, err := c.List(ctx, r, o)
	if err != nil {
		return nil, false, err
	}
	for _, o := range l.Items {
		names = append(names, o.GetName())
	}
	return names, l.Continue == "", nil
}

func (c *inProcess) At(string) object.Verbs { return c }
func (c *inProcess) Refresh()               {}

func (c *inProcess) Kind(_ context.Context, gvk schema.GroupVersionKind) (Kind, error) {
	for _, k := range c.kinds.All() {
		if k.GVK == gvk {
			return Kind{k.Resource(), k.Namespaced}, nil
		}
	}
	return Kind{}, &meta.NoKindMatchError{GroupKind: gvk.GroupKind()}
}

func (c *inProcess) KubeVersion(context.Context) (string, error)   { return "v1.36.3", nil }
func (c *inProcess) APIVersions(context.Context) ([]string, error) { return []string{"v1"}, nil }

func (c *inProcess) Logs(context.Context, object.Key, LogOptions) (io.ReadCloser, error) {
	return io.NopCloser(strings.NewReader("a log\n")), nil
}

func typeOf(o object.Object) reflect.Type { return reflect.TypeOf(o) }
