// Package manifest checks the objects that a chart renders as the cluster would
// when they are created, one by one, and then against each other: what is selected,
// referred to or pointed at and not among them.
//
// It answers with findings, never with an error: what cannot be read is a finding,
// too. Objects of kinds that the cluster does not have (custom resources) are judged
// by the definitions that come with them, if there are any; what they name is taken to
// exist.
package manifest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/seed38700745/pkg/cluster/kind"
	"github.com/seed38700745/pkg/cluster/object"
)

// Severity says how bad a finding is.
type Severity string

// An Error keeps the object from being created or from working; a Warning is
// likely a mistake; Info is advice.
const (
	Error   Severity = "ERROR"
	Warning Severity = "WARNING"
	Info    Severity = "INFO"
)

// Finding is one thing to mend.
type Finding struct {
	Document int      // index of the document
	Path     string   // field, "spec.ports[0].targetPort"; "" for the whole document
	Severity Severity // never empty
	Message  string
}

// Definitions know custom resources by the definitions that come with a chart.
type Definitions interface {
	// Served returns the versions of a kind; none: there is no definition of it.
	Served(schema.GroupKind) []string
	// Check returns the paths that would be dropped, and what is invalid.
	Check(content map[string]any) (unknown []string, errs field.ErrorList)
}

// Check checks documents, each the JSON of one object or of a List. Objects
// without namespace are taken to be in namespace. Definitions may be nil.
func Check(documents []json.RawMessage, namespace string, definitions Definitions) []Finding {
	c := &checker{registry: kind.NewRegistry(kind.All()), world: newWorld(), definitions: definitions}
	for i, doc := range documents {
		c.at = place{document: i}
		c.document(doc, namespace)
	}
	c.references()
	slices.SortStableFunc(c.findings, func(a, b Finding) int { return a.Document - b.Document })
	return c.findings
}

// place is an object's place in the input.
type place struct {
	document int
	prefix   string // of field paths: "items[2]." in a List
}

type checker struct {
	registry    *kind.Registry
	definitions Definitions // may be nil
	findings    []Finding
	at          place // of the object that is being checked
	world       *world
}

func (c *checker) add(p place, s Severity, path, format string, args ...any) {
	c.findings = append(c.findings, Finding{
		Document: p.document,
		Path:     strings.TrimSuffix(p.prefix+path, "."),
		Severity: s,
		Message:  fmt.Sprintf(format, args...),
	})
}

// document checks one document.
func (c *checker) document(doc []byte, namespace string) {
	var head struct {
		APIVersion string            `json:"apiVersion"`
		Kind       string            `json:"kind"`
		Items      []json.RawMessage `json:"items"`
	}
	if err := json.Unmarshal(doc, &head); err != nil {
		c.add(c.at, Error, "", "not an object: %v", err)
		return
	}
	if strings.HasSuffix(head.Kind, "List") && head.Items != nil {
		at := c.at
		for i, item := range head.Items {
			c.at = place{document: at.document, prefix: fmt.Sprintf("%sitems[%d].", at.prefix, i)}
			c.document(item, namespace)
		}
		return
	}
	switch {
	case head.Kind == "":
		c.add(c.at, Error, "kind", "missing: no cluster takes an object without it")
		return
	case head.APIVersion == "":
		c.add(c.at, Error, "apiVersion", "missing: no cluster takes an object without it")
		return
	}
	gvk := schema.FromAPIVersionAndKind(head.APIVersion, head.Kind)
	served, ok := c.registry.ForKind(gvk)
	if !ok {
		c.unknownKind(gvk)
		c.custom(gvk, doc)
		c.world.addForeign(doc, namespace)
		return
	}
	o := c.decode(served, doc)
	if o == nil {
		c.world.addForeign(doc, namespace) // it exists, however it looks
		return
	}
	if !served.Namespaced {
		o.SetNamespace("")
	} else if o.GetNamespace() == "" {
		o.SetNamespace(namespace)
	}
	c.validate(served.Kind, o)
	c.world.add(c.at, o)
}

// unknownKind judges a kind that is not served: fine in a group of its own, a
// mistake in a version that Kubernetes defines.
func (c *checker) unknownKind(gvk schema.GroupVersionKind) {
	if !slices.Contains(c.registry.GroupVersions(), gvk.GroupVersion()) || c.registry.Scheme().Recognizes(gvk) {
		return
	}
	text := ""
	for _, k := range c.registry.All() {
		if strings.EqualFold(k.GVK.Kind, gvk.Kind) {
			text = fmt.Sprintf("; %s %s exists", k.GVK.GroupVersion(), k.GVK.Kind)
		}
	}
	c.add(c.at, Error, "kind", "%s has no kind %q%s", gvk.GroupVersion(), gvk.Kind, text)
}

// custom checks a resource whose definition is known.
func (c *checker) custom(gvk schema.GroupVersionKind, doc []byte) {
	if c.definitions == nil {
		return
	}
	served := c.definitions.Served(gvk.GroupKind())
	if len(served) == 0 {
		return
	}
	if !slices.Contains(served, gvk.Version) {
		c.add(c.at, Error, "apiVersion", "the definition of %s serves %s", gvk.GroupKind(), strings.Join(served, ", "))
		return
	}
	content, err := runtime.Decode(unstructured.UnstructuredJSONScheme, doc)
	if err != nil {
		c.add(c.at, Error, "", "not an object: %v", err)
		return
	}
	unknown, errs := c.definitions.Check(content.(*unstructured.Unstructured).Object)
	for _, path := range unknown {
		c.add(c.at, Error, path, "unknown field: the definition of %s has none of this name", gvk.Kind)
	}
	for _, e := range errs {
		c.add(c.at, Error, e.Field, "%s", e.ErrorBody())
	}
}

// kindOf is an object's kind, for messages.
func kindOf(o object.Object) string { return o.GetObjectKind().GroupVersionKind().Kind }
