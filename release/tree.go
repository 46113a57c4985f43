package release

import (
	"context"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/seed38700745/pkg/cluster/object"
)

// Tree is what runs of a release: its objects, and below them what controllers
// made of them.
type Tree struct {
	Objects []*Branch
	// Cause is the first thing to look at when something is not ready: the way
	// from an object to the innermost reason. Empty when all is ready.
	Cause string
	// Events are the latest about anything in the tree, newest first: warnings,
	// and all kinds while something is not ready.
	Events []Notice
	// Hidden says what the user may not see, "pods: ... is forbidden ...".
	Hidden []string
}

// Branch is an object, or a container of a pod.
type Branch struct {
	Name     string    // "Deployment/web", "container mysql"
	Facts    []string  // "1 of 3 ready", "10.42.0.5", in the order to be read
	Phase    Phase     // Ready, Waiting or Failed
	Cause    string    // why it is not ready, where it knows better than its children
	Created  time.Time // zero for what has no age
	Children []*Branch
}

// Notice is an Event.
type Notice struct {
	Time                          time.Time
	Object, Type, Reason, Message string
	Count                         int64
}

// maxNotices is how many events a Tree has.
const maxNotices = 6

// Tree looks at everything that a release has on the cluster.
func (r *Releases) Tree(ctx context.Context, rel *Release) (*Tree, error) {
	items, err := load(ctx, r.Cluster, rel.Namespace, rel.Manifest, func(*Item, error) {})
	if err != nil {
		return nil, err
	}
	f := &forest{objects: map[Ref]*unstructured.Unstructured{}, owned: map[types.UID][]*unstructured.Unstructured{},
		slices: map[object.Key][]*unstructured.Unstructured{}, claims: map[object.Key]*unstructured.Unstructured{},
		warnings: map[types.UID]string{}, shown: map[types.UID]bool{}}
	if f.objects, err = live(ctx, r.Cluster, items); err != nil {
		return nil, err
	}
	t := &Tree{}
	if err := f.read(ctx, r.Cluster, items, t); err != nil {
		return nil, err
	}
	for _, i := range items {
		o := f.objects[i.Ref]
		if o == nil {
			t.Objects = append(t.Objects, &Branch{Name: i.Ref.full(rel.Namespace), Phase: Failed, Cause: "is not there"})
			continue
		}
		b := f.branch(o)
		b.Name = i.Ref.full(rel.Namespace)
		t.Objects = append(t.Objects, b)
	}
	slices.SortStableFunc(t.Objects, func(a, b *Branch) int { return weight(a) - weight(b) })
	t.Cause = firstCause(t.Objects)
	t.Events = f.notices(t.Cause != "")
	return t, nil
}

// weight puts what runs before what it needs.
func weight(b *Branch) int {
	kind, _, _ := strings.Cut(b.Name, "/")
	switch kind {
	case "Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Job", "CronJob", "Pod":
		return 0
	case "Service":
		return 1
	case "Ingress":
		return 2
	case "PersistentVolumeClaim":
		return 3
	}
	return 4
}

// firstCause follows what is not ready to the innermost branch that says why.
func firstCause(all []*Branch) string {
	for _, b := range all {
		if b.Phase == Ready {
			continue
		}
		if inner := firstCause(b.Children); inner != "" {
			if strings.HasPrefix(b.Name, "ReplicaSet/") && strings.Contains(inner, ": ") {
				return inner // its name says no more than its pod's
			}
			return b.Name + ": " + inner
		}
		text := b.Cause
		if text == "" && len(b.Facts) > 0 {
			text = b.Facts[0]
		}
		if text != "" {
			return b.Name + ": " + text
		}
	}
	return ""
}

// forest is what the tree is made of.
type forest struct {
	objects  map[Ref]*unstructured.Unstructured
	owned    map[types.UID][]*unstructured.Unstructured // by their controller
	slices   map[object.Key][]*unstructured.Unstructured
	claims   map[object.Key]*unstructured.Unstructured
	events   []*unstructured.Unstructured
	warnings map[types.UID]string
	shown    map[types.UID]bool // what is in the tree
}

// read lists what controllers make of the items' kinds, in the items' namespaces.
// What the user may not see is noted in t.
func (f *forest) read(ctx context.Context, c Cluster, items []*Item, t *Tree) error {
	namespaces := map[string]bool{}
	kinds := map[string]bool{}
	for _, i := range items {
		kinds[i.Kind] = true
		if i.Namespace != "" {
			namespaces[i.Namespace] = true
		}
	}
	works := kinds["Deployment"] || kinds["ReplicaSet"] || kinds["StatefulSet"] || kinds["DaemonSet"] || kinds["Job"] || kinds["CronJob"] || kinds["Pod"] || kinds["ReplicationController"]
	lists := []struct {
		wanted bool
		where  object.Resource
		keep   func(u *unstructured.Unstructured)
	}{
		{kinds["Deployment"], object.Resource{Group: "apps", Resource: "replicasets"}, f.own},
		{kinds["CronJob"], object.Resource{Group: "batch", Resource: "jobs"}, f.own},
		{works, pods(), f.own},
		{works || kinds["PersistentVolumeClaim"], object.Resource{Resource: "persistentvolumeclaims"}, func(u *unstructured.Unstructured) { f.claims[object.KeyOf(u)] = u }},
		{kinds["Service"], object.Resource{Group: "discovery.k8s.io", Resource: "endpointslices"}, func(u *unstructured.Unstructured) {
			k := object.Key{Namespace: u.GetNamespace(), Name: u.GetLabels()["kubernetes.io/service-name"]}
			f.slices[k] = append(f.slices[k], u)
		}},
		{true, events(), f.event},
	}
	for namespace := range namespaces {
		for _, l := range lists {
			if !l.wanted {
				continue
			}
			found, err := c.List(ctx, l.where, object.ListOptions{Namespace: namespace})
			if apierrors.IsForbidden(err) {
				t.Hidden = append(t.Hidden, err.Error())
				continue
			}
			if apierrors.IsNotFound(err) || isNoMatch(err) {
				continue // an older cluster
			}
			if err != nil {
				return err
			}
			for _, o := range found.Items {
				u, err := asUnstructured(o)
				if err != nil {
					return err
				}
				l.keep(u)
			}
		}
	}
	return nil
}

// own notes an object under its controller.
func (f *forest) own(u *unstructured.Unstructured) {
	for _, ref := range u.GetOwnerReferences() {
		if ref.Controller != nil && *ref.Controller {
			f.owned[ref.UID] = append(f.owned[ref.UID], u)
		}
	}
}

func (f *forest) event(u *unstructured.Unstructured) {
	f.events = append(f.events, u)
	e := fieldsOf(u)
	if e.text("type") == "Warning" {
		f.warnings[types.UID(e.text("involvedObject", "uid"))] = strings.TrimSuffix(e.text("reason")+": "+firstLine(e.text("message")), ": ")
	}
}

// notices are the latest events about what is shown.
func (f *forest) notices(all bool) []Notice {
	var out []Notice
	for _, u := range f.events {
		e := fieldsOf(u)
		if !f.shown[types.UID(e.text("involvedObject", "uid"))] || !all && e.text("type") != "Warning" {
			continue
		}
		out = append(out, Notice{
			Time: eventTime(u), Object: e.text("involvedObject", "kind") + "/" + e.text("involvedObject", "name"),
			Type: e.text("type"), Reason: e.text("reason"), Message: firstLine(e.text("message")),
			Count: max(e.num(1, "count"), e.num(1, "series", "count")),
		})
	}
	slices.SortStableFunc(out, func(a, b Notice) int { return b.Time.Compare(a.Time) })
	return out[:min(len(out), maxNotices)]
}

// eventTime is when an Event happened last; programs fill different fields.
func eventTime(u *unstructured.Unstructured) time.Time {
	e := fieldsOf(u)
	for _, text := range []string{e.text("series", "lastObservedTime"), e.text("lastTimestamp"), e.text("eventTime"), e.text("firstTimestamp")} {
		if t, err := time.Parse(time.RFC3339, text); err == nil {
			return t
		}
	}
	return u.GetCreationTimestamp().Time
}

// branch is an object with what belongs to it.
func (f *forest) branch(u *unstructured.Unstructured) *Branch {
	f.shown[u.GetUID()] = true
	b := &Branch{Name: refOf(u).String(), Created: u.GetCreationTimestamp().Time}
	b.Phase, b.Cause = assess(u, goalReady)
	o := fieldsOf(u)
	kind := u.GroupVersionKind().GroupKind().String()
	b.Facts = facts(kind, o)
	switch kind {
	case "Pod":
		f.pod(b, u)
	case "Service":
		f.service(b, u)
	case "PersistentVolumeClaim":
		if b.Phase != Ready && f.warnings[u.GetUID()] != "" {
			b.Cause += ": " + f.warnings[u.GetUID()]
		}
	default:
		f.children(b, u)
	}
	return b
}

// children adds what an object controls; old ReplicaSets without pods are left out.
func (f *forest) children(b *Branch, u *unstructured.Unstructured) {
	all := slices.Clone(f.owned[u.GetUID()])
	newestFirst(all)
	if u.GetKind() == "StatefulSet" {
		slices.SortFunc(all, func(x, y *unstructured.Unstructured) int { return compareOrdinals(x.GetName(), y.GetName()) })
	}
	for _, c := range all {
		o := fieldsOf(c)
		if c.GetKind() == "ReplicaSet" && o.num(0, "spec", "replicas") == 0 && o.num(0, "status", "replicas") == 0 {
			continue
		}
		b.Children = append(b.Children, f.branch(c))
	}
	if b.Phase != Ready && len(b.Children) == 0 && f.warnings[u.GetUID()] != "" {
		b.Cause = f.warnings[u.GetUID()] // such as FailedCreate
	}
}

// compareOrdinals orders web-2 before web-10.
func compareOrdinals(a, b string) int {
	if len(a) != len(b) {
		return len(a) - len(b)
	}
	return strings.Compare(a, b)
}
