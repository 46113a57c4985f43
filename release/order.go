package release

import (
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/seed38700745/pkg/chart/spelling"
	"github.com/seed38700745/pkg/engine"
)

// Annotations that override the order in which objects are applied.
const (
	// weightAnnotation holds a whole number, 0 by default: all objects of a smaller one
	// are applied first.
	weightAnnotation = "pkg.internal/weight"
	// dependsAnnotation names objects of the same release, "Kind/name" or
	// "Kind/namespace/name" separated by commas, which have to be ready first.
	dependsAnnotation = "pkg.internal/depends-on"
)

// order sorts steps that make objects, and gives those that may be done side by side
// the same rank. What an object refers to comes before it; a webhook comes after the
// workloads behind its Service are ready, and before the custom resources that it is
// asked about; a custom resource comes after its definition is established. Objects
// that have to wait for something come as late as possible. Where nothing of this
// decides, Helm's order of kinds does. References that go in a circle are left aside.
// Errors: of the annotations.
func order(steps []Step) error {
	g, err := newGraph(steps)
	if err != nil {
		return err
	}
	rank := 0
	for _, n := range g.weights() {
		for group := g.ofWeight(n); len(group) > 0; rank++ {
			var next []*node
			next, group = g.next(group)
			for _, x := range next {
				x.placed = true
				x.step.rank = rank
				for _, a := range x.after {
					if a.ready {
						x.step.After = append(x.step.After, a.node.step.Item)
					}
				}
			}
		}
	}
	sort.SliceStable(steps, func(i, j int) bool { return steps[i].rank < steps[j].rank })
	return nil
}

// node is a step in the graph of what has to come after what.
type node struct {
	step   *Step
	weight int
	after  []edge
	placed bool
	late   bool // it has to wait until something is ready
}

// edge leads to what has to come before. Declared ones are the chart author's and can
// not be left aside.
type edge struct {
	node            *node
	ready, declared bool
}

type graph struct {
	nodes []*node
	byRef map[Ref]*node
}

func newGraph(steps []Step) (*graph, error) {
	g := &graph{byRef: make(map[Ref]*node, len(steps))}
	for n := range steps {
		s := &steps[n]
		x := &node{step: s}
		if text, ok := s.Item.Body.GetAnnotations()[weightAnnotation]; ok {
			var err error
			if x.weight, err = strconv.Atoi(strings.TrimSpace(text)); err != nil {
				return nil, s.Item.invalid(weightAnnotation, fmt.Errorf("%q is not a whole number", text))
			}
		}
		g.nodes = append(g.nodes, x)
		g.byRef[s.Item.Ref] = x
	}
	for _, x := range g.nodes {
		for _, r := range references(x.step.Item) {
			x.follow(g.byRef[r], false)
		}
	}
	g.bindings()
	g.definitions()
	g.webhooks()
	for _, x := range g.nodes {
		if err := g.declared(x); err != nil {
			return nil, err
		}
	}
	return g, g.checkCircles()
}

func (i *Item) invalid(annotation string, err error) error {
	return &ObjectError{Object: i.Ref, Source: i.Source, Err: fmt.Errorf("annotation %s: %w", annotation, err)}
}

// follow makes x come after y, if y is there. What weights say stands above it.
func (x *node) follow(y *node, ready bool) {
	if y == nil || y == x || y.weight > x.weight {
		return
	}
	x.after = append(x.after, edge{node: y, ready: ready})
	x.late = x.late || ready
}

// bindings makes workloads come after what gives their ServiceAccount its rights.
func (g *graph) bindings() {
	byAccount := map[Ref][]*node{}
	for _, x := range g.nodes {
		if i := x.step.Item; i.Group == rbacGroup {
			for _, account := range subjects(i) {
				byAccount[account] = append(byAccount[account], x)
			}
		}
	}
	for _, x := range g.nodes {
		i := x.step.Item
		account := podSpec(i).text("serviceAccountName")
		if account == "" {
			account = "default"
		}
		for _, b := range byAccount[Ref{"", "ServiceAccount", i.Namespace, account}] {
			if podTemplatePath(i) != nil {
				x.follow(b, false)
			}
		}
	}
}

// definitions makes custom resources come after their definitions can be used.
func (g *graph) definitions() {
	byKind := map[[2]string]*node{}
	for _, x := range g.nodes {
		if i := x.step.Item; i.Group == crdGroup && i.Kind == crdKind {
			o := fieldsOf(i.Body)
			byKind[[2]string{o.text("spec", "group"), o.text("spec", "names", "kind")}] = x
		}
	}
	for _, x := range g.nodes {
		x.follow(byKind[[2]string{x.step.Item.Group, x.step.Item.Kind}], true)
	}
}

// webhooks makes them come after the workloads behind their Services are ready, and
// the custom resources that they are asked about after them.
func (g *graph) webhooks() {
	for _, hook := range g.nodes {
		if hook.step.Item.Group != admissionGroup {
			continue
		}
		for _, r := range references(hook.step.Item) {
			for _, w := range g.behind(g.byRef[r]) {
				hook.follow(w, true)
			}
		}
		for _, w := range fieldsOf(hook.step.Item.Body).maps("webhooks") {
			for _, rule := range w.maps("rules") {
				for _, x := range g.nodes {
					if i := x.step.Item; !builtInGroup(i.Group) && rule.names("apiGroups", i.Group) &&
						(rule.names("resources", i.Where.Resource.Resource) || rule.names("resources", "*")) {
						x.follow(hook, false)
					}
				}
			}
		}
	}
}

// behind returns the workloads whose pods a Service selects.
func (g *graph) behind(service *node) (out []*node) {
	if service == nil {
		return nil
	}
	i := service.step.Item
	which := labels.Set{}
	for k, v := range fieldsOf(i.Body).table("spec", "selector") {
		which[k] = fmt.Sprint(v)
	}
	if i.Kind != "Service" || len(which) == 0 {
		return nil
	}
	for _, x := range g.nodes {
		if w := x.step.Item; w.Namespace == i.Namespace && podTemplatePath(w) != nil && which.AsSelector().Matches(podLabels(w)) {
			out = append(out, x)
		}
	}
	return out
}

// declared adds what an object's annotation says that it depends on.
func (g *graph) declared(x *node) error {
	i := x.step.Item
	for _, text := range strings.Split(i.Body.GetAnnotations()[dependsAnnotation], ",") {
		text = strings.TrimSpace(text)
		if text == "" {
			continue
		}
		parts := strings.Split(text, "/")
		if len(parts) != 2 && len(parts) != 3 {
			return i.invalid(dependsAnnotation, fmt.Errorf("%q is not Kind/name or Kind/namespace/name", text))
		}
		y := g.find(parts, i.Namespace)
		switch {
		case y == nil:
			return i.invalid(dependsAnnotation, fmt.Errorf("the release has no %s%s", text, g.nearest(text)))
		case y.weight > x.weight:
			return i.invalid(dependsAnnotation, fmt.Errorf("%s has a greater %s", text, weightAnnotation))
		}
		x.after = append(x.after, edge{node: y, ready: true, declared: true})
		x.late = true
	}
	return nil
}

// find returns the node of Kind/name, of the namespace or of none.
func (g *graph) find(parts []string, namespace string) *node {
	if len(parts) == 3 {
		namespace = parts[1]
	}
	for _, x := range g.nodes {
		r := x.step.Item.Ref
		if r.Kind == parts[0] && r.Name == parts[len(parts)-1] && (r.Namespace == namespace || len(parts) == 2 && r.Namespace == "") {
			return x
		}
	}
	return nil
}

func (g *graph) nearest(text string) string {
	var all []string
	for _, x := range g.nodes {
		all = append(all, x.step.Item.Ref.String())
	}
	if len(all) == 0 {
		return ""
	}
	return "; nearest: " + slices.MinFunc(all, func(a, b string) int { return spelling.Distance(text, a) - spelling.Distance(text, b) })
}

// checkCircles refuses declared dependencies that go in a circle.
func (g *graph) checkCircles() error {
	done := map[*node]bool{}
	var path []*node
	var visit func(x *node) error
	visit = func(x *node) error {
		if at := slices.Index(path, x); at >= 0 {
			var names []string
			for _, y := range append(path[at:], x) {
				names = append(names, y.step.Item.Ref.String())
			}
			return x.step.Item.invalid(dependsAnnotation, fmt.Errorf("goes in a circle: %s", strings.Join(names, " -> ")))
		}
		if done[x] {
			return nil
		}
		path = append(path, x)
		defer func() { path = path[:len(path)-1] }()
		done[x] = true
		for _, e := range x.after {
			if e.declared {
				if err := visit(e.node); err != nil {
					return err
				}
			}
		}
		return nil
	}
	for _, x := range g.nodes {
		if err := visit(x); err != nil {
			return err
		}
	}
	return nil
}

func (g *graph) weights() (out []int) {
	for _, x := range g.nodes {
		out = append(out, x.weight)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func (g *graph) ofWeight(weight int) (out []*node) {
	for _, x := range g.nodes {
		if x.weight == weight {
			out = append(out, x)
		}
	}
	return out
}

// next splits off the nodes that can be placed now: of those that wait for nothing,
// if there are any, the ones of the kind that Helm installs first.
func (g *graph) next(group []*node) (now, later []*node) {
	free := func(x *node) bool {
		return !slices.ContainsFunc(x.after, func(e edge) bool { return !e.node.placed })
	}
	if !slices.ContainsFunc(group, free) { // in a circle
		free = func(x *node) bool {
			return !slices.ContainsFunc(x.after, func(e edge) bool { return !e.node.placed && e.declared })
		}
	}
	var first *node
	for _, x := range group {
		if free(x) && (first == nil || compareNodes(x, first) < 0) {
			first = x
		}
	}
	for _, x := range group {
		if free(x) && compareNodes(x, first) == 0 {
			now = append(now, x)
		} else {
			later = append(later, x)
		}
	}
	return now, later
}

func compareNodes(a, b *node) int {
	switch {
	case a.late != b.late && b.late, a.late == b.late && engine.InstallsBefore(a.step.Item.Kind, b.step.Item.Kind):
		return -1
	case a.late != b.late, engine.InstallsBefore(b.step.Item.Kind, a.step.Item.Kind):
		return 1
	}
	return 0
}
