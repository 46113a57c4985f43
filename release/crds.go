package release

import (
	"context"
	"fmt"
	"reflect"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/seed38700745/pkg/chart"
	"github.com/seed38700745/pkg/cluster/object"
)

// CRDPolicy says what becomes of the definitions in a chart's crds/ folders, before
// the chart is rendered. They are never removed.
type CRDPolicy string

// Policies.
const (
	// CRDsCreate creates those that do not exist yet (Helm's way of installing), and
	// warns of those that differ.
	CRDsCreate CRDPolicy = "create"
	// CRDsUpgrade also makes existing ones as the chart has them.
	CRDsUpgrade CRDPolicy = "upgrade"
	// CRDsSkip leaves them alone, as the empty policy does.
	CRDsSkip CRDPolicy = "skip"
)

// planCRDs compares a chart's definitions with the cluster's. Steps that change
// nothing, or that the policy does not allow, are Leave.
func (r *Releases) planCRDs(ctx context.Context, c *chart.Chart, policy CRDPolicy) (Plan, error) {
	if c == nil || policy == "" || policy == CRDsSkip || len(c.CRDObjects()) == 0 {
		return Plan{}, nil
	}
	var text strings.Builder
	for _, crd := range c.CRDObjects() {
		text.WriteString("---\n# Source: " + crd.Filename + "\n" + string(crd.File.Data) + "\n")
	}
	items, err := load(ctx, r.Cluster, r.Namespace, text.String(), nil)
	if err != nil {
		return Plan{}, fmt.Errorf("crds: %w", err)
	}
	there, err := live(ctx, r.Cluster, items)
	if apierrors.IsForbidden(err) {
		return r.usableCRDs(ctx, items, err)
	}
	if err != nil {
		return Plan{}, err
	}
	var p Plan
	for _, i := range items {
		s := Step{Action: Create, Item: i, Live: there[i.Ref]}
		if s.Live != nil {
			s.Action = Update
		}
		p.Steps = append(p.Steps, s)
	}
	if err := r.compare(ctx, p, Options{ForceConflicts: true}); err != nil {
		return Plan{}, err
	}
	if policy == CRDsUpgrade {
		return p, nil
	}
	for n := range p.Steps {
		s := &p.Steps[n]
		if s.Action != Update {
			continue
		}
		s.Action = Leave
		if !reflect.DeepEqual(s.Live.Object["spec"], s.Result.Object["spec"]) {
			r.Warn(fmt.Sprintf("%s of the cluster is not the one of the chart (%s), and stays; --crds upgrade changes it", s.Item.Ref, s.Item.Source))
		}
	}
	return p, nil
}

// usableCRDs is the plan of somebody who may not read definitions: those that the
// cluster serves are left alone, another one is the error refused.
func (r *Releases) usableCRDs(ctx context.Context, items []*Item, refused error) (Plan, error) {
	var p Plan
	for _, i := range items {
		for gvk := range definedKinds([]*Item{i}) {
			if _, err := r.Cluster.Kind(ctx, gvk); isNoMatch(err) {
				return Plan{}, fmt.Errorf("%s is missing, and has to be created by somebody who may: %w", i.Ref, refused)
			} else if err != nil {
				return Plan{}, err
			}
		}
		p.Steps = append(p.Steps, Step{Action: Leave, Item: i})
	}
	return p, nil
}

// prepareCRDs plans a chart's definitions and, unless it is a dry run, applies them.
func (r *Releases) prepareCRDs(ctx context.Context, c Chart, o Options) (Plan, error) {
	p, err := r.planCRDs(ctx, c.Chart, c.CRDs)
	if err != nil || o.DryRun != DryRunNone {
		return p, err
	}
	return p, r.applyCRDs(ctx, p, o)
}

// applyCRDs executes a plan of planCRDs and waits until the definitions can be used.
func (r *Releases) applyCRDs(ctx context.Context, p Plan, o Options) error {
	var changed []*Item
	for _, s := range p.Steps {
		if s.Action == Leave {
			r.say("keeping %s, which exists", s.Item.Ref)
			continue
		}
		changed = append(changed, s.Item)
	}
	if len(changed) == 0 {
		return nil
	}
	a := r.applier(o)
	a.override = true
	if err := a.run(ctx, p); err != nil {
		return err
	}
	w := r.waiter(goalReady)
	return w.wait(ctx, changed, o.Timeout)
}

// definedKinds are the kinds that definitions among the items will bring.
func definedKinds(items []*Item) map[schema.GroupVersionKind]Kind {
	out := map[schema.GroupVersionKind]Kind{}
	for _, i := range items {
		if i.Body.GetKind() != crdKind || i.Body.GroupVersionKind().Group != crdGroup {
			continue
		}
		spec := fieldsOf(i.Body).table("spec")
		for _, v := range spec.maps("versions") {
			if served, found, _ := unstructured.NestedBool(v, "served"); found && !served {
				continue
			}
			gvk := schema.GroupVersionKind{Group: spec.text("group"), Version: v.text("name"), Kind: spec.text("names", "kind")}
			out[gvk] = Kind{
				Resource:   object.Resource{Group: gvk.Group, Resource: spec.text("names", "plural")},
				Namespaced: spec.text("scope") != "Cluster",
			}
		}
	}
	return out
}
