package api

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/seed38700745/pkg/cluster/kind"
	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/store"
)

// Get returns the stored object; see object.Verbs.
func (s *Server) Get(_ context.Context, r object.Resource, k object.Key) (object.Object, error) {
	kd, ok := s.Kinds.ForResource(r)
	if !ok {
		return nil, notServed()
	}
	o, err := s.Store.Get(kd.Resource(), k)
	return o, storeError(err, r, k.Name)
}

// List returns a consistent page; see object.Verbs.
func (s *Server) List(ctx context.Context, r object.Resource, o object.ListOptions) (*object.List, error) {
	k, ok := s.Kinds.ForResource(r)
	if !ok {
		return nil, notServed()
	}
	match, err := newMatcher(k, o.Labels, o.Fields)
	if err != nil {
		return nil, err
	}
	snap, after, err := s.snapshotFor(ctx, o)
	if err != nil {
		return nil, err
	}
	l := &object.List{ResourceVersion: strconv.FormatInt(snap.Revision(), 10)}
	if o.Namespace != "" && match.name != "" { // one object by name: no scan
		if x, ok := snap.Get(k.Resource(), object.Key{Namespace: o.Namespace, Name: match.name}); ok && match.matches(x) {
			l.Items = []object.Object{x}
		}
		return l, nil
	}
	var last object.Key
	more := false
	snap.Ascend(k.Resource(), o.Namespace, after, func(x object.Object) bool {
		if !match.matches(x) {
			return true
		}
		if o.Limit > 0 && int64(len(l.Items)) == o.Limit {
			more = true
			return false
		}
		l.Items = append(l.Items, x)
		last = object.KeyOf(x)
		return true
	})
	if more {
		l.Continue = encodeContinue(continueToken{Revision: snap.Revision(), Namespace: last.Namespace, Name: last.Name})
		s.snapshots.keep(snap, s.Now())
		if match.everything() {
			l.Remaining = remaining(snap, k, o, last)
		}
	}
	return l, nil
}

// remaining counts what follows the key.
func remaining(snap store.Snapshot, k *kind.Kind, o object.ListOptions, after object.Key) *int64 {
	var n int64
	snap.Ascend(k.Resource(), o.Namespace, after, func(object.Object) bool { n++; return true })
	return &n
}

// futureWait is how long a list waits for a revision that is not there yet
// (Kubernetes: storage/cacher, blockTimeout).
const futureWait = 3 * time.Second

// snapshotFor returns the view that o asks for and the key to start after.
func (s *Server) snapshotFor(ctx context.Context, o object.ListOptions) (store.Snapshot, object.Key, error) {
	if o.Continue != "" {
		t, err := decodeContinue(o.Continue)
		if err != nil {
			return nil, object.Key{}, apierrors.NewBadRequest(err.Error())
		}
		if o.ResourceVersion != "" && o.ResourceVersion != "0" {
			return nil, object.Key{}, apierrors.NewBadRequest("specifying resource version is not allowed when using continue")
		}
		after := object.Key{Namespace: t.Namespace, Name: t.Name}
		if t.Revision < 0 { // the inconsistent continuation of an expired list
			return s.Store.Snapshot(), after, nil
		}
		snap := s.snapshots.get(t.Revision)
		if snap == nil {
			if snap = s.Store.Snapshot(); snap.Revision() != t.Revision {
				t.Revision = -1
				return nil, after, continueExpired(encodeContinue(t))
			}
		}
		return snap, after, nil
	}
	if o.ResourceVersion == "" || o.ResourceVersion == "0" {
		return s.Store.Snapshot(), object.Key{}, nil
	}
	rev, err := parseRevision(o.ResourceVersion)
	if err != nil {
		return nil, object.Key{}, err
	}
	if err := s.waitFor(ctx, rev); err != nil {
		return nil, object.Key{}, err
	}
	snap := s.Store.Snapshot()
	if o.Match == metav1.ResourceVersionMatchExact && snap.Revision() != rev {
		if snap = s.snapshots.get(rev); snap == nil {
			return nil, object.Key{}, apierrors.NewResourceExpired("The resourceVersion for the provided list is too old.")
		}
	}
	return snap, object.Key{}, nil
}

// waitFor waits until the store has reached a revision.
func (s *Server) waitFor(ctx context.Context, rev int64) error {
	deadline := time.Now().Add(futureWait)
	for s.Store.Revision() < rev {
		if time.Now().After(deadline) {
			err := apierrors.NewTimeoutError(fmt.Sprintf("Too large resource version: %d, current: %d", rev, s.Store.Revision()), 1)
			err.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: metav1.CauseTypeResourceVersionTooLarge, Message: "Too large resource version"}}
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil
}

func parseRevision(rv string) (int64, error) {
	rev, err := strconv.ParseUint(rv, 10, 63)
	if err != nil {
		return 0, apierrors.NewBadRequest(fmt.Sprintf("Invalid value: %q: resourceVersion: Invalid value: %q: %v", rv, rv, err))
	}
	return int64(rev), nil
}

// continueToken says where a list goes on. Revision -1 means the latest state.
type continueToken struct {
	Revision  int64  `json:"rv"`
	Namespace string `json:"ns,omitempty"`
	Name      string `json:"name"`
}

func encodeContinue(t continueToken) string {
	b, _ := json.Marshal(t) // of strings and numbers: cannot fail
	return base64.RawURLEncoding.EncodeToString(b)
}

func decodeContinue(s string) (t continueToken, err error) {
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err == nil {
		err = json.Unmarshal(b, &t)
	}
	if err != nil || t.Name == "" {
		return t, fmt.Errorf("continue key is not valid: %q", s)
	}
	return t, nil
}

// continueExpired is the 410 for a page of a list that is gone. It carries a
// token that goes on inconsistently, as Kubernetes' does.
func continueExpired(token string) error {
	err := apierrors.NewResourceExpired("The provided continue parameter is too old " +
		"to display a consistent list result. You can start a new list without " +
		"the continue parameter, or use the continue token in this response to " +
		"retrieve the remainder of the results. Continuing with the provided " +
		"token results in an inconsistent list - objects that were created, " +
		"modified, or deleted between the time the first chunk was returned " +
		"and now may show up in the list.")
	err.ErrStatus.ListMeta.Continue = token
	return err
}

// Lists that are read in pages keep their view this long, and so many of them.
const (
	snapshotAge  = 5 * time.Minute
	maxSnapshots = 64
)

// snapshots are the views of unfinished paged lists.
type snapshots struct {
	mu    sync.Mutex
	views []keptView // oldest first
}

type keptView struct {
	view  store.Snapshot
	since time.Time
}

func (c *snapshots) keep(v store.Snapshot, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	kept := c.views[:0]
	for _, k := range c.views {
		if k.view.Revision() != v.Revision() && now.Sub(k.since) < snapshotAge {
			kept = append(kept, k)
		}
	}
	if len(kept) >= maxSnapshots {
		kept = append(kept[:0], kept[1:]...)
	}
	clear(c.views[len(kept):])
	c.views = append(kept, keptView{v, now})
}

func (c *snapshots) get(rev int64) store.Snapshot {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, k := range c.views {
		if k.view.Revision() == rev {
			return k.view
		}
	}
	return nil
}

// matcher decides which objects a list or watch selects.
type matcher struct {
	kind   *kind.Kind
	labels labels.Selector
	fields fields.Selector
	name   string // when the fields name exactly one object
	own    bool   // the fields need the kind's Fields
}

// newMatcher checks that the kind has the fields.
func newMatcher(k *kind.Kind, l labels.Selector, f fields.Selector) (*matcher, error) {
	m := &matcher{kind: k}
	if l != nil && !l.Empty() {
		m.labels = l
	}
	if f == nil || f.Empty() {
		return m, nil
	}
	m.fields = f
	for _, req := range f.Requirements() {
		switch req.Field {
		case "metadata.name", "metadata.namespace":
		default:
			if !hasField(k, req.Field) {
				return nil, apierrors.NewBadRequest(fmt.Sprintf("field label not supported: %s", req.Field))
			}
			m.own = true
		}
	}
	m.name, _ = f.RequiresExactMatch("metadata.name")
	return m, nil
}

func hasField(k *kind.Kind, name string) bool {
	for _, n := range k.FieldNames {
		if n == name {
			return true
		}
	}
	return false
}

func (m *matcher) everything() bool { return m.labels == nil && m.fields == nil }

func (m *matcher) matches(o object.Object) bool {
	if m.labels != nil && !m.labels.Matches(labels.Set(o.GetLabels())) {
		return false
	}
	if m.fields == nil {
		return true
	}
	if m.name != "" && o.GetName() != m.name {
		return false
	}
	set := fields.Set{}
	if m.own && m.kind.Fields != nil {
		set = m.kind.Fields(o)
	}
	set["metadata.name"], set["metadata.namespace"] = o.GetName(), o.GetNamespace()
	return m.fields.Matches(set)
}
