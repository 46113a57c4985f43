package release

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/seed38700745/pkg/engine"
)

func item(kind, name string, notes map[string]string) *Item {
	u := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": kind}}
	u.SetName(name)
	u.SetNamespace("default")
	u.SetAnnotations(notes)
	return &Item{Ref: refOf(u), Body: u}
}

// liveFor is the object in a cluster; owner "" belongs to nobody.
func liveFor(i *Item, owner string) *unstructured.Unstructured {
	u := i.Body.DeepCopy()
	if owner != "" {
		mark([]*Item{{Body: u}}, owner, "default")
	}
	return u
}

// simulate does what executing a plan does to live.
func simulate(p Plan, live map[Ref]*unstructured.Unstructured) map[Ref]*unstructured.Unstructured {
	after := map[Ref]*unstructured.Unstructured{}
	for r, u := range live {
		after[r] = u
	}
	for _, s := range p.Steps {
		switch s.Action {
		case Delete:
			delete(after, s.Item.Ref)
		case Keep:
		default:
			after[s.Item.Ref] = liveFor(s.Item, "db")
		}
	}
	return after
}

// TestPlanProperties checks over random revisions and clusters: the plan ends in
// the new state, planning again does nothing new, and strangers are left alone.
func TestPlanProperties(t *testing.T) {
	kinds := []string{"Service", "ConfigMap", "Deployment", "Secret", "Custom"}
	for seed := range uint64(500) {
		r := rand.New(rand.NewPCG(seed, 1))
		in := planInput{Name: "db", Namespace: "default", Live: map[Ref]*unstructured.Unstructured{}}
		strangers := 0
		for n := range 12 {
			i := item(kinds[r.IntN(len(kinds))], fmt.Sprint("o", n), nil)
			if r.IntN(4) == 0 {
				i.Body.SetAnnotations(map[string]string{policyAnnotation: "keep"})
			}
			old, wanted := r.IntN(2) == 0, r.IntN(2) == 0
			if old {
				in.Old = append(in.Old, i)
			}
			if wanted {
				in.New = append(in.New, i)
			}
			switch {
			case r.IntN(3) == 0: // not there
			case old || wanted:
				in.Live[i.Ref] = liveFor(i, "db")
			default:
				in.Live[i.Ref] = liveFor(i, "other")
				strangers++
			}
		}
		p, err := plan(in)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		after := simulate(p, in.Live)
		for _, i := range in.New {
			if after[i.Ref] == nil {
				t.Errorf("seed %d: %s is missing", seed, i.Ref)
			}
		}
		for r, u := range after {
			wanted := slicesContains(in.New, r)
			if !wanted && u.GetAnnotations()[policyAnnotation] != "keep" && !othersRelease(u, "db", "default") {
				t.Errorf("seed %d: %s is left over", seed, r)
			}
			if othersRelease(u, "db", "default") {
				strangers--
			}
		}
		if strangers != 0 {
			t.Errorf("seed %d: objects of others were touched", seed)
		}
		checkOrder(t, seed, p)
		again, err := plan(planInput{Name: "db", Namespace: "default", Old: in.New, New: in.New, Live: after})
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		for _, s := range again.Steps {
			if s.Action != Update {
				t.Errorf("seed %d: planned again: %s", seed, s)
			}
		}
	}
}

func slicesContains(items []*Item, r Ref) bool {
	for _, i := range items {
		if i.Ref == r {
			return true
		}
	}
	return false
}

func checkOrder(t *testing.T, seed uint64, p Plan) {
	t.Helper()
	for n := 1; n < len(p.Steps); n++ {
		a, b := p.Steps[n-1], p.Steps[n]
		switch {
		case removes(a) && !removes(b):
			t.Errorf("seed %d: %s before %s", seed, a, b)
		case !removes(b) && engine.InstallsBefore(b.Item.Kind, a.Item.Kind):
			t.Errorf("seed %d: %s before %s", seed, a, b)
		case removes(a) && engine.UninstallsBefore(b.Item.Kind, a.Item.Kind):
			t.Errorf("seed %d: %s before %s", seed, a, b)
		}
	}
}

func TestPlanAdoption(t *testing.T) {
	i := item("ConfigMap", "a", nil)
	for _, x := range []struct {
		owner string
		take  bool
		want  string // of the error
	}{
		{"db", false, ""},
		{"", false, `missing key "app.kubernetes.io/managed-by": must be set to "Helm"`},
		{"other", false, `annotation validation error: key "meta.helm.sh/release-name" must equal "db": current value is "other"`},
		{"other", true, ""},
	} {
		p, err := plan(planInput{Name: "db", Namespace: "default", New: []*Item{i}, TakeOwnership: x.take,
			Live: map[Ref]*unstructured.Unstructured{i.Ref: liveFor(i, x.owner)}})
		var conflict *ConflictError
		switch {
		case x.want == "" && (err != nil || p.Steps[0].Action != Adopt):
			t.Errorf("owner %q: %v, %v", x.owner, p, err)
		case x.want != "" && (!errors.As(err, &conflict) || !strings.Contains(err.Error(), x.want)):
			t.Errorf("owner %q: %v", x.owner, err)
		}
	}
}

func TestPlanRefusesTwice(t *testing.T) {
	a, b := item("ConfigMap", "a", nil), item("ConfigMap", "a", nil)
	b.Source = "db/templates/b.yaml"
	if _, err := plan(planInput{New: []*Item{a, b}}); err == nil || !strings.Contains(err.Error(), "db/templates/b.yaml") {
		t.Errorf("got %v", err)
	}
}

func TestParse(t *testing.T) {
	items, err := parse(`---
# Source: db/templates/a.yaml
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: Secret, metadata: {name: a}}
- {apiVersion: v1, kind: Secret, metadata: {name: b, labels: , annotations: {x: null}}}
---
# only a comment
---
# Source: db/templates/c.yaml
apiVersion: apps/v1
kind: Deployment
metadata: {name: c}
`)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, i := range items {
		got = append(got, i.String()+" "+i.Source)
	}
	want := []string{"Secret/a db/templates/a.yaml", "Secret/b db/templates/a.yaml", "Deployment/c db/templates/c.yaml"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, bad := range []string{
		"apiVersion: v1\nkind: Secret\nmetadata: {}",
		"kind: Secret\nmetadata: {name: a}",
		"apiVersion: v1\nkind: Secret\nmetadata: {name: a, labels: {x: 1}}",
		"a: [",
	} {
		if _, err := parse("# Source: db/templates/x.yaml\n" + bad); err == nil || !strings.Contains(err.Error(), "db/templates/x.yaml") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
