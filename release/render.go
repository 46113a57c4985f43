package release

import (
	"context"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/seed38700745/pkg/chart"
	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/engine"
)

// Chart is what is installed and how it is rendered.
type Chart struct {
	Chart  *chart.Chart
	Source Source // where it came from, for later upgrades
	Values map[string]any

	SubchartNotes bool
	EnableDNS     bool
	SkipSchema    bool
	SchemaLibrary chart.SchemaLibrary // see engine.Input
	Limits        engine.Limits
	CRDs          CRDPolicy
	// Images are run in place of those that manifests and hooks name; may be nil.
	Images map[string]string
	// PostRender changes the manifests (not the hooks); may be nil.
	PostRender func(ctx context.Context, manifests []byte) ([]byte, error)
}

// rendered is a chart made into manifests.
type rendered struct {
	chart    *chart.Chart
	manifest string
	hooks    []*Hook
	notes    string
}

// render runs the templates against the cluster: with its versions, and with
// lookups unless offline.
func (r *Releases) render(ctx context.Context, c Chart, rel engine.Release, offline bool) (*rendered, error) {
	caps, err := r.Capabilities(ctx)
	if err != nil {
		return nil, err
	}
	in := engine.Input{
		Chart: c.Chart, Values: c.Values, Release: rel, Capabilities: caps,
		EnableDNS: c.EnableDNS, SubchartNotes: c.SubchartNotes, SkipSchemaValidation: c.SkipSchema,
		SchemaLibrary: c.SchemaLibrary, Limits: c.Limits,
		Warn: func(format string, args ...any) { r.Warn(fmt.Sprintf(format, args...)) },
	}
	if !offline {
		in.Lookup = r.lookup(ctx)
	}
	out, err := engine.Render(ctx, in)
	if err != nil {
		return nil, err
	}
	text := []byte(out.Manifest())
	if c.PostRender != nil {
		if text, err = c.PostRender(ctx, text); err != nil {
			return nil, err
		}
	}
	manifest, err := pinImages(string(text), c.Images)
	if err != nil {
		return nil, err
	}
	hooks := newHooks(out.Hooks)
	for _, h := range hooks {
		if h.Manifest, err = pinImages(h.Manifest, c.Images); err != nil {
			return nil, err
		}
	}
	return &rendered{chart: recordSource(out.Chart, c.Source), manifest: manifest, hooks: hooks, notes: out.Notes}, nil
}

// Capabilities asks the cluster what it is.
func (r *Releases) Capabilities(ctx context.Context) (*engine.Capabilities, error) {
	caps := engine.DefaultCapabilities()
	text, err := r.Cluster.KubeVersion(ctx)
	if err != nil {
		return nil, err
	}
	if caps.KubeVersion, err = engine.ParseKubeVersion(text); err != nil {
		return nil, err
	}
	caps.KubeVersion.Version = text
	if caps.APIVersions, err = r.Cluster.APIVersions(ctx); err != nil {
		return nil, err
	}
	return caps, nil
}

// lookup answers the template function of that name from the cluster. Nothing
// found is an empty table.
func (r *Releases) lookup(ctx context.Context) engine.Lookup {
	return func(apiVersion, kind, namespace, name string) (map[string]any, error) {
		gv, err := schema.ParseGroupVersion(apiVersion)
		if err != nil {
			return nil, err
		}
		where, err := r.Cluster.Kind(ctx, gv.WithKind(kind))
		if isNoMatch(err) {
			return r.lookupUnknown(ctx, apiVersion, err)
		}
		if err != nil {
			return nil, err
		}
		if !where.Namespaced {
			namespace = ""
		}
		verbs := r.Cluster.At(gv.Version)
		if name == "" {
			return lookupAll(ctx, verbs, where.Resource, apiVersion, kind, namespace)
		}
		o, err := verbs.Get(ctx, where.Resource, object.Key{Namespace: namespace, Name: name})
		if apierrors.IsNotFound(err) {
			return map[string]any{}, nil
		}
		if err != nil {
			return nil, err
		}
		u, err := asUnstructured(o)
		if err != nil {
			return nil, err
		}
		return u.DeepCopy().Object, nil
	}
}

// lookupUnknown answers for a kind that the cluster does not have: there are none if
// it has the group and version, and that is the error cause if not (Helm's rule).
func (r *Releases) lookupUnknown(ctx context.Context, apiVersion string, cause error) (map[string]any, error) {
	versions, err := r.Cluster.APIVersions(ctx)
	if err != nil {
		return nil, err
	}
	if slices.Contains(versions, apiVersion) {
		return map[string]any{}, nil
	}
	return nil, cause
}

func lookupAll(ctx context.Context, verbs object.Verbs, where object.Resource, apiVersion, kind, namespace string) (map[string]any, error) {
	l, err := verbs.List(ctx, where, object.ListOptions{Namespace: namespace})
	if err != nil {
		return nil, err
	}
	items := make([]any, 0, len(l.Items))
	for _, o := range l.Items {
		u, err := asUnstructured(o)
		if err != nil {
			return nil, err
		}
		items = append(items, u.DeepCopy().Object)
	}
	return map[string]any{
		"apiVersion": apiVersion, "kind": kind + "List", "items": items,
		"metadata": map[string]any{"resourceVersion": l.ResourceVersion},
	}, nil
}
