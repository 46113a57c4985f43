package lint

import (
	"context"
	"errors"
	"fmt"
	"strings"

	goyaml "sigs.k8s.io/yaml/goyaml.v3"

	"github.com/seed38700745/pkg/chart"
	"github.com/seed38700745/pkg/engine"
)

// ObjectFinding is what somebody who knows objects says of a rendered document.
type ObjectFinding struct {
	Document int    // index of the document
	Field    string // path of the field, "spec.ports[0].targetPort"; may be ""
	Severity Severity
	Message  string
}

// Rules that findings beyond Helm's belong to.
const (
	RuleObject     = "object"      // what the cluster's validation says
	RuleDuplicate  = "duplicate"   // a key that occurs twice
	RuleRemovedAPI = "removed-api" // a kind that Kubernetes no longer serves
)

// objects checks rendered documents beyond Helm's rules. Each finding gets the
// template that the document came from, and the line in it.
func (l *linter) objects(ctx context.Context, c *chart.Chart, out *engine.Output) {
	documents := append([]engine.Manifest(nil), out.Manifests...)
	for _, h := range out.Hooks {
		documents = append(documents, engine.Manifest{Name: h.Path, Content: h.Manifest, Kind: h.Kind})
	}
	sources := map[string]string{}
	templateSources(c, sources)
	for i := range documents {
		l.duplicateKeys(c, sources, out, documents[i])
		l.removedAPI(c, sources, out, documents[i])
	}
	var definitions []string
	for _, crd := range out.CRDs {
		definitions = append(definitions, engine.SplitManifests(string(crd.File.Data))...)
	}
	findings, err := l.in.Objects(ctx, documents, definitions)
	if err != nil {
		l.check(Error, "templates/", fmt.Errorf("the rendered objects cannot be checked: %w", err))
		return
	}
	for _, f := range findings {
		m := documents[f.Document]
		l.addObject(c, sources, out, m, yamlLine(m.Content, f.Field), Finding{
			Severity: f.Severity, Rule: RuleObject, Field: f.Field, Message: f.Message,
		})
	}
}

// addObject completes a finding about a line of a document with its place.
func (l *linter) addObject(c *chart.Chart, sources map[string]string, out *engine.Output, m engine.Manifest, line int, f Finding) {
	f.Path = strings.TrimPrefix(m.Name, c.Name()+"/")
	rendered := out.Files[m.Name]
	if at := strings.Index(rendered, m.Content); at >= 0 {
		f.Line = templateLine(sources[m.Name], rendered, strings.Count(rendered[:at], "\n")+line)
	}
	l.findings = append(l.findings, f)
}

// templateSources collects the text of every template by its path.
func templateSources(c *chart.Chart, into map[string]string) {
	for _, t := range c.Templates {
		into[c.ChartFullPath()+"/"+t.Name] = string(t.Data)
	}
	for _, sub := range c.Dependencies() {
		templateSources(sub, into)
	}
}

// removedAPI reports kinds that the Kubernetes version in question does not have
// any more; Helm only warns of them.
func (l *linter) removedAPI(c *chart.Chart, sources map[string]string, out *engine.Output, m engine.Manifest) {
	var head struct {
		APIVersion string `yaml:"apiVersion"`
		Kind       string `yaml:"kind"`
	}
	if goyaml.Unmarshal([]byte(m.Content), &head) != nil {
		return
	}
	gone, ok := findDeprecation(head.APIVersion, head.Kind)
	if !ok || !gone.removedIn(l.kubeVersion()) {
		return
	}
	text := fmt.Sprintf("%s %s is gone since Kubernetes v%s", head.APIVersion, head.Kind, gone.removed)
	if gone.successor != "" {
		text += "; use " + gone.successor
	}
	l.addObject(c, sources, out, m, yamlLine(m.Content, "apiVersion"), Finding{
		Severity: Error, Rule: RuleRemovedAPI, Field: "apiVersion", Message: text,
	})
}

// duplicateKeys reports keys that occur twice in a map: the last one wins silently.
func (l *linter) duplicateKeys(c *chart.Chart, sources map[string]string, out *engine.Output, m engine.Manifest) {
	var doc goyaml.Node
	if goyaml.Unmarshal([]byte(m.Content), &doc) != nil {
		return
	}
	var walk func(n *goyaml.Node, path string)
	walk = func(n *goyaml.Node, path string) {
		seen := map[string]int{}
		for i, child := range n.Content {
			switch n.Kind {
			case goyaml.MappingNode:
				if i%2 == 0 {
					continue
				}
				key := n.Content[i-1]
				at := joinPath(path, key.Value)
				if first, twice := seen[key.Value]; twice && key.Value != "<<" {
					l.addObject(c, sources, out, m, key.Line, Finding{
						Severity: Warning, Rule: RuleDuplicate, Field: at,
						Message: fmt.Sprintf("occurs twice (first %d lines above); the last one counts", key.Line-first),
					})
				}
				seen[key.Value] = key.Line
				walk(child, at)
			case goyaml.SequenceNode:
				walk(child, fmt.Sprintf("%s[%d]", path, i))
			default:
				walk(child, path)
			}
		}
	}
	walk(&doc, "")
}

func joinPath(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// yamlLine returns the 1-based line of a field in a YAML document: the line of its
// key, or of the nearest parent that is there.
func yamlLine(content, field string) int {
	var doc goyaml.Node
	if err := goyaml.Unmarshal([]byte(content), &doc); err != nil || len(doc.Content) == 0 {
		return 1
	}
	at, line := doc.Content[0], doc.Content[0].Line
	for field != "" {
		next, nextLine, rest, err := step(at, field)
		if err != nil {
			break
		}
		at, line, field = next, nextLine, rest
	}
	return line
}

var errNoField = errors.New("no such field")

// step goes one element of a field path down: ".key", "[n]" or "[key]". Keys may
// have dots themselves, so the longest that fits is taken.
func step(n *goyaml.Node, field string) (next *goyaml.Node, line int, rest string, err error) {
	if n.Kind == goyaml.AliasNode {
		n = n.Alias
	}
	field = strings.TrimPrefix(field, ".")
	if strings.HasPrefix(field, "[") {
		end := strings.IndexByte(field, ']')
		if end < 0 {
			return nil, 0, "", errNoField
		}
		key := field[1:end]
		if n.Kind == goyaml.SequenceNode {
			var i int
			if _, err := fmt.Sscanf(key, "%d", &i); err != nil || i < 0 || i >= len(n.Content) {
				return nil, 0, "", errNoField
			}
			return n.Content[i], n.Content[i].Line, field[end+1:], nil
		}
		return mapStep(n, key, field[end+1:])
	}
	if n.Kind != goyaml.MappingNode {
		return nil, 0, "", errNoField
	}
	best := -1
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i].Value
		if key != "" && strings.HasPrefix(field, key) && (len(field) == len(key) || strings.ContainsRune(".[", rune(field[len(key)]))) &&
			(best < 0 || len(key) > len(n.Content[best].Value)) {
			best = i
		}
	}
	if best < 0 {
		return nil, 0, "", errNoField
	}
	return n.Content[best+1], n.Content[best].Line, field[len(n.Content[best].Value):], nil
}

func mapStep(n *goyaml.Node, key, rest string) (*goyaml.Node, int, string, error) {
	for i := 0; n.Kind == goyaml.MappingNode && i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1], n.Content[i].Line, rest, nil
		}
	}
	return nil, 0, "", errNoField
}
