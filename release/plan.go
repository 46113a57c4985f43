package release

import (
	"fmt"
	"sort"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/seed38700745/pkg/engine"
)

// Action is what a step does with its object.
type Action string

// Actions. Create, Update, Adopt and Recreate end with the object as the manifest
// says; Keep leaves it alone.
const (
	Create   Action = "create"
	Update   Action = "update"
	Adopt    Action = "adopt"    // an update of an object that was not the release's
	Recreate Action = "recreate" // delete, then create: an immutable field changed
	Delete   Action = "delete"
	Keep     Action = "keep" // no longer in the manifest, but its policy is to stay
	// Leave is an update that would change nothing.
	Leave Action = "leave"
)

// Step is one change of one object.
type Step struct {
	Action Action
	Item   *Item                      // as wanted; for Delete and Keep as it was in the old manifest
	Live   *unstructured.Unstructured // nil if there is none
	Result *unstructured.Unstructured // what the server would make of it; of updates in dry runs
	After  []*Item                    // what has to be ready before

	rank int // steps of one rank may be done side by side
}

// String is "update StatefulSet/mysql".
func (s Step) String() string {
	text := string(s.Action) + " " + s.Item.Ref.String()
	if s.Action == Leave {
		text += " unchanged"
	}
	return text
}

// Plan is what an operation does to objects, in order.
type Plan struct {
	Steps []Step
}

// planInput is everything that a plan depends on.
type planInput struct {
	Name, Namespace string  // of the release
	Old             []*Item // of the revision that is replaced; may be empty
	New             []*Item
	Live            map[Ref]*unstructured.Unstructured // what exists of both
	// TakeOwnership adopts objects whoever they belong to.
	TakeOwnership bool
	// KindsOnly orders by kinds alone, as Helm does.
	KindsOnly bool
	// Settled says that Old is the manifest that was applied last, whole.
	Settled bool
}

// plan compares. It is a pure function. New objects come first, in the order of what
// refers to what and of kinds (see order); then what is no longer wanted goes, in
// Helm's order of removal. Errors: *ConflictError for objects that exist and are not
// the release's, and those of the annotations about order.
func plan(in planInput) (Plan, error) {
	var p Plan
	var conflicts []string
	before := map[Ref]*Item{}
	for _, i := range in.Old {
		before[i.Ref] = i
	}
	wanted := map[Ref]bool{}
	for _, i := range in.New {
		if wanted[i.Ref] {
			return Plan{}, &ObjectError{Object: i.Ref, Source: i.Source, Err: fmt.Errorf("the manifest has this object twice")}
		}
		wanted[i.Ref] = true
		live := in.Live[i.Ref]
		step := Step{Action: Update, Item: i, Live: live}
		switch {
		case live == nil:
			step.Action = Create
		case before[i.Ref] != nil:
			if in.Settled && asDeclared(before[i.Ref], i, live) {
				step.Action = Leave
			}
		case in.TakeOwnership:
			step.Action = Adopt
		default:
			step.Action = Adopt
			if err := ownership(live, in.Name, in.Namespace); err != nil {
				conflicts = append(conflicts, fmt.Sprintf("%s %q in namespace %q exists and cannot be imported into the current release: %v", i.Kind, i.Name, i.Namespace, err))
			}
		}
		p.Steps = append(p.Steps, step)
	}
	if len(conflicts) > 0 {
		return Plan{}, &ConflictError{Objects: conflicts, hint: "--take-ownership makes existing objects part of the release"}
	}
	if in.KindsOnly {
		sortSteps(p.Steps, engine.InstallsBefore)
	} else if err := order(p.Steps); err != nil {
		return Plan{}, err
	}
	p.Steps = append(p.Steps, removals(in.Old, wanted, in.Live, in.Name, in.Namespace)...)
	return p, nil
}

// removals are the steps for old items that are not wanted any more. An object
// that somebody made another release's stays.
func removals(old []*Item, wanted map[Ref]bool, live map[Ref]*unstructured.Unstructured, name, namespace string) []Step {
	var out []Step
	for _, i := range old {
		o := live[i.Ref]
		if wanted[i.Ref] || o == nil {
			continue
		}
		step := Step{Action: Delete, Item: i, Live: o}
		if i.keeps() || (&Item{Body: o}).keeps() || othersRelease(o, name, namespace) {
			step.Action = Keep
		}
		out = append(out, step)
	}
	sortSteps(out, engine.UninstallsBefore)
	return out
}

// othersRelease tells whether a live object carries another release's marks.
func othersRelease(o *unstructured.Unstructured, name, namespace string) bool {
	notes := o.GetAnnotations()
	owner, ok := notes[nameAnnotation]
	return ok && (owner != name || notes[namespaceAnnotation] != namespace)
}

// sortSteps orders by kinds, those of one kind having the same rank.
func sortSteps(steps []Step, before func(a, b string) bool) {
	sort.SliceStable(steps, func(i, j int) bool { return before(steps[i].Item.Kind, steps[j].Item.Kind) })
	for n := 1; n < len(steps); n++ {
		steps[n].rank = steps[n-1].rank
		if steps[n].Item.Kind != steps[n-1].Item.Kind {
			steps[n].rank++
		}
	}
}

// ranks cuts steps into runs that may be done side by side.
func ranks(steps []Step) [][]Step {
	var out [][]Step
	for _, s := range steps {
		if n := len(out); n > 0 && out[n-1][0].rank == s.rank && removes(out[n-1][0]) == removes(s) {
			out[n-1] = append(out[n-1], s)
			continue
		}
		out = append(out, []Step{s})
	}
	return out
}

func removes(s Step) bool { return s.Action == Delete || s.Action == Keep }

// items returns the objects that exist after the plan.
func (p Plan) items() []*Item {
	var out []*Item
	for _, s := range p.Steps {
		if !removes(s) {
			out = append(out, s.Item)
		}
	}
	return out
}

// removed returns the objects that the plan deletes.
func (p Plan) removed() []*Item {
	var out []*Item
	for _, s := range p.Steps {
		if s.Action == Delete {
			out = append(out, s.Item)
		}
	}
	return out
}

// kept returns the objects that the plan leaves behind.
func (p Plan) kept() []*Item {
	var out []*Item
	for _, s := range p.Steps {
		if s.Action == Keep {
			out = append(out, s.Item)
		}
	}
	return out
}
