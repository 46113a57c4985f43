package release

import (
	"encoding/base64"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"sort"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/seed38700745/pkg/engine"
)

// What an operation does besides the steps of its plan.
const (
	RunHook Action = "hook"
	Await   Action = "wait" // until everything is ready, or gone
)

// Difference is one step of an operation as it is shown: what becomes of an object.
type Difference struct {
	Action     Action `json:"action"`
	APIVersion string `json:"apiVersion,omitempty"`
	Kind       string `json:"kind,omitempty"`
	Namespace  string `json:"namespace,omitempty"`
	Name       string `json:"name,omitempty"`
	Event      string `json:"event,omitempty"` // of a hook: "pre-upgrade"
	// ReadyBefore names what has to be ready before the step is done.
	ReadyBefore []string `json:"readyBefore,omitempty"`
	// Before is nil for what does not exist, After for what goes. What only the
	// server writes (status, uid, managedFields...) is left out.
	Before map[string]any `json:"before,omitempty"`
	After  map[string]any `json:"after,omitempty"`
	Fields []FieldChange  `json:"fields,omitempty"` // of updates, by path
}

// FieldChange is the change of one field, nil standing for none.
type FieldChange struct {
	Path   string `json:"path"` // "spec.template.spec.containers[0].image"
	Before any    `json:"before"`
	After  any    `json:"after"`
}

// Changes tells whether the step alters an object of the plan.
func (d Difference) Changes() bool {
	switch d.Action {
	case Create, Update, Adopt, Recreate, Delete:
		return true
	}
	return false
}

// Object is "Deployment/web".
func (d Difference) Object() string { return d.Kind + "/" + d.Name }

// Steps are the differences of the whole operation in the order in which they are
// done: hooks, objects, waiting. Values of Secrets are masked unless showSecrets.
func (res *Result) Steps(showSecrets bool) []Difference {
	pre, post := hookEventsOf(res.Verb)
	var out []Difference
	hooks := func(event string) {
		if res.options.NoHooks {
			return
		}
		for _, h := range hooksOn(res.Release.Hooks, event) {
			out = append(out, Difference{Action: RunHook, Event: event, Kind: h.Kind, Name: h.Name})
		}
	}
	out = append(out, res.CRDs.Differences(showSecrets)...)
	hooks(pre)
	out = append(out, res.Plan.Differences(showSecrets)...)
	if res.options.Wait == WaitBefore {
		out = append(out, Difference{Action: Await})
	}
	hooks(post)
	if res.options.Wait == WaitAfter {
		out = append(out, Difference{Action: Await})
	}
	return out
}

// Differences shows the steps of a plan. Those of a dry run know what the server
// would make of each object; for others the manifest stands.
func (p Plan) Differences(showSecrets bool) []Difference {
	out := make([]Difference, 0, len(p.Steps))
	for _, s := range p.Steps {
		d := Difference{
			Action: s.Action, APIVersion: s.Item.Body.GetAPIVersion(), Kind: s.Item.Kind,
			Namespace: s.Item.Namespace, Name: s.Item.Name,
		}
		for _, i := range s.After {
			d.ReadyBefore = append(d.ReadyBefore, i.Ref.String())
		}
		switch s.Action {
		case Create:
			d.After = shown(s.Item.Body)
		case Delete:
			d.Before = shown(s.Item.Body)
		case Update, Adopt:
			d.Before, d.After = shown(s.Live), shown(s.Item.Body)
			if s.Result != nil {
				d.After = shown(s.Result)
			}
		case Recreate:
			d.Before, d.After = shown(s.Live), shown(s.Item.Body)
		}
		if d.Kind == "Secret" && s.Item.Group == "" && !showSecrets {
			maskSecret(d.Before, d.After)
		}
		if d.Before != nil && d.After != nil {
			d.Fields = fieldChanges("", d.Before, d.After)
		}
		out = append(out, d)
	}
	return out
}

// shown is an object without what only the server writes. The rest is shared with it,
// but for the tables that maskSecret changes.
func shown(u *unstructured.Unstructured) map[string]any {
	if u == nil {
		return nil
	}
	out := withoutMetadata(u, "managedFields", "resourceVersion", "generation", "uid", "creationTimestamp", "selfLink")
	delete(out, "status")
	if isSecret := u.GetKind() == "Secret"; isSecret {
		ownTables(out, "data", "stringData")
		if meta, ok := out["metadata"].(map[string]any); ok {
			ownTables(meta, "annotations")
		}
	}
	return out
}

// withoutMetadata is an object without some fields of its metadata, sharing the rest.
func withoutMetadata(u *unstructured.Unstructured, fields ...string) map[string]any {
	out := maps.Clone(u.Object)
	if meta, ok := out["metadata"].(map[string]any); ok {
		meta = maps.Clone(meta)
		for _, field := range fields {
			delete(meta, field)
		}
		out["metadata"] = meta
	}
	return out
}

// ownTables replaces some tables of a table by copies.
func ownTables(of map[string]any, fields ...string) {
	for _, field := range fields {
		if table, ok := of[field].(map[string]any); ok {
			of[field] = maps.Clone(table)
		}
	}
}

// lastApplied is where client-side apply keeps the whole object, a Secret's values
// with it.
const lastApplied = "kubectl.kubernetes.io/last-applied-configuration"

// maskSecret replaces the values of a Secret by their length, such that those that
// differ still do.
func maskSecret(before, after map[string]any) {
	for _, field := range []string{"data", "stringData"} {
		a, _ := before[field].(map[string]any)
		b, _ := after[field].(map[string]any)
		for k, v := range a {
			w, both := b[k]
			if both && reflect.DeepEqual(v, w) {
				a[k], b[k] = masked(field, v, ""), masked(field, w, "")
				continue
			}
			a[k] = masked(field, v, "")
			if both {
				a[k], b[k] = masked(field, v, ", before"), masked(field, w, ", after")
			}
		}
		for k, v := range b {
			if _, both := a[k]; !both {
				b[k] = masked(field, v, "")
			}
		}
	}
	for _, side := range []map[string]any{before, after} {
		notes, _, _ := unstructured.NestedMap(side, "metadata", "annotations")
		if _, ok := notes[lastApplied]; ok {
			unstructured.RemoveNestedField(side, "metadata", "annotations", lastApplied)
		}
	}
}

func masked(field string, v any, which string) string {
	text := fmt.Sprint(v)
	if field == "data" {
		if plain, err := base64.StdEncoding.DecodeString(text); err == nil {
			text = string(plain)
		}
	}
	return fmt.Sprintf("*** (%d bytes%s)", len(text), which)
}

// fieldChanges lists what differs between two values, by path. Lists are compared
// place by place.
func fieldChanges(path string, before, after any) []FieldChange {
	if reflect.DeepEqual(before, after) {
		return nil
	}
	var out []FieldChange
	if a, b, ok := tables(before, after); ok {
		keys := map[string]bool{}
		for k := range a {
			keys[k] = true
		}
		for k := range b {
			keys[k] = true
		}
		sorted := make([]string, 0, len(keys))
		for k := range keys {
			sorted = append(sorted, k)
		}
		sort.Strings(sorted)
		for _, k := range sorted {
			out = append(out, fieldChanges(joinPath(path, k), a[k], b[k])...)
		}
		return out
	}
	a, isList := before.([]any)
	b, areLists := after.([]any)
	if isList && areLists {
		for n := range max(len(a), len(b)) {
			out = append(out, fieldChanges(fmt.Sprintf("%s[%d]", path, n), at(a, n), at(b, n))...)
		}
		return out
	}
	return []FieldChange{{Path: path, Before: before, After: after}}
}

// tables returns both values as tables, if both are.
func tables(a, b any) (x, y map[string]any, ok bool) {
	x, okA := a.(map[string]any)
	y, okB := b.(map[string]any)
	return x, y, okA && okB
}

func at(list []any, n int) any {
	if n < len(list) {
		return list[n]
	}
	return nil
}

// joinPath writes keys with dots in brackets: metadata.annotations[a.b/c].
func joinPath(path, key string) string {
	switch {
	case strings.ContainsAny(key, "./[]"):
		return path + "[" + key + "]"
	case path == "":
		return key
	}
	return path + "." + key
}

// compareManifests is the plan from one manifest to another, as if the first one
// were what exists. It asks no cluster.
func compareManifests(before, after, namespace string) (Plan, error) {
	in := planInput{Namespace: namespace, TakeOwnership: true, Live: map[Ref]*unstructured.Unstructured{}}
	var err error
	if in.Old, err = parse(before); err != nil {
		return Plan{}, err
	}
	if in.New, err = parse(after); err != nil {
		return Plan{}, err
	}
	for _, i := range slices.Concat(in.Old, in.New) {
		i.Ref = refOf(i.Body)
	}
	for _, i := range in.Old {
		in.Live[i.Ref] = i.Body
	}
	p, err := plan(in)
	for n := range p.Steps {
		s := &p.Steps[n]
		if s.Action == Update && reflect.DeepEqual(s.Live.Object, s.Item.Body.Object) {
			s.Action = Leave
		}
	}
	return p, err
}

// hookEventsOf are the events before and after an operation.
func hookEventsOf(verb string) (pre, post string) {
	switch verb {
	case "install":
		return engine.HookPreInstall, engine.HookPostInstall
	case "upgrade":
		return engine.HookPreUpgrade, engine.HookPostUpgrade
	case "uninstall":
		return engine.HookPreDelete, engine.HookPostDelete
	case "rollback":
		return engine.HookPreRollback, engine.HookPostRollback
	}
	return "", ""
}
