package release

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/seed38700745/pkg/chart"
	"github.com/seed38700745/pkg/cluster/object"
)

// summaryAnnotation of a revision's Secret is what a list shows of it, so that
// listing reads metadata only. helm drops it when it rewrites a Secret, so that it
// is never out of date.
const summaryAnnotation = "pkg.internal/summary"

// summary is the annotation's JSON; the rest is in the labels.
type summary struct {
	Chart      string `json:"chart,omitempty"`
	Version    string `json:"version,omitempty"`
	AppVersion string `json:"appVersion,omitempty"`
	Updated    Time   `json:"updated"`
}

func summarize(r *Release) (string, error) {
	s := summary{Updated: r.Info.LastDeployed}
	if r.Chart != nil && r.Chart.Metadata != nil {
		s.Chart, s.Version, s.AppVersion = r.Chart.Metadata.Name, r.Chart.Metadata.Version, r.Chart.Metadata.AppVersion
	}
	data, err := json.Marshal(s)
	return string(data), err
}

// summarized makes a Release of a Secret's metadata: name, namespace, revision,
// status, time, the chart's name and versions, labels. ok is false without a
// summary.
func summarized(o object.Object) (r *Release, ok bool) {
	var s summary
	if json.Unmarshal([]byte(o.GetAnnotations()[summaryAnnotation]), &s) != nil {
		return nil, false
	}
	marks := o.GetLabels()
	revision, err := strconv.Atoi(marks["version"])
	if err != nil || marks["name"] == "" {
		return nil, false
	}
	r = &Release{
		Name: marks["name"], Namespace: o.GetNamespace(), Revision: revision,
		Info: &Info{Status: Status(marks["status"]), LastDeployed: s.Updated},
	}
	if s.Chart != "" {
		r.Chart = &chart.Chart{Metadata: &chart.Metadata{Name: s.Chart, Version: s.Version, AppVersion: s.AppVersion}}
	}
	r.readMeta(o)
	return r, true
}

// summaries lists the revisions whose Secrets fit. Those that pkg wrote last are
// only summarized; the others are read whole, and left out if they cannot be
// decoded, as helm does.
func (s storage) summaries(ctx context.Context, which labels.Selector) ([]*Release, error) {
	l, err := s.cluster.Metadata(ctx, secrets(), object.ListOptions{Namespace: s.namespace, Labels: which})
	if err != nil {
		return nil, fmt.Errorf("read releases: %w", err)
	}
	found := make([]*Release, len(l.Items))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	for n, o := range l.Items {
		if r, ok := summarized(o); ok {
			found[n] = r
			continue
		}
		g.Go(func() error {
			whole, err := s.cluster.Get(ctx, secrets(), object.KeyOf(o))
			if err == nil {
				found[n], _ = s.read(ctx, whole)
			}
			return ctx.Err()
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	out := found[:0]
	for _, r := range found {
		if r != nil {
			out = append(out, r)
		}
	}
	return out, nil
}
