package randomchart

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// node is one chart of a tree.
type node struct {
	name    string // in Chart.yaml
	files   map[string]string
	subs    []*node
	packed  bool     // lies in its parent's charts/ as an archive
	known   []string // names under which subcharts' values lie
	library bool
}

var chartNames = strings.Fields("alpha beta gamma delta epsilon")

// tree draws a chart and its subcharts.
func (g *gen) tree(name string, depth int) *node {
	n := &node{name: name, files: map[string]string{}, packed: depth > 0 && g.oneIn(3)}
	n.library = depth > 0 && g.oneIn(8) || depth == 0 && g.odd() && g.oneIn(4)
	if count := g.IntN(4 - depth); depth < 3 {
		names := slices.Clone(chartNames)
		g.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
		for _, sub := range names[:count] {
			n.subs = append(n.subs, g.tree(sub, depth+1))
		}
	}
	vals := g.table(chartNest)
	if g.oneIn(3) {
		vals["global"] = g.table(2)
	}
	if g.oneIn(6) {
		vals["exports"] = map[string]any{"data": g.table(2), "other": g.table(1)}
	}
	v1 := g.metadata(n, vals, depth)
	for _, sub := range n.known {
		if g.oneIn(2) {
			t := g.table(2)
			if g.oneIn(4) {
				t["enabled"] = g.oneIn(2)
			}
			if g.oneIn(5) {
				t["global"] = g.table(1)
			}
			vals[sub] = t
		}
		if g.odd() {
			vals[sub] = g.value(1)
		}
	}
	if g.oneIn(4) {
		vals["tags"] = map[string]any{"front": g.oneIn(2), "back": g.oneIn(3)}
	}
	if !g.oneIn(12) {
		n.files["values.yaml"] = g.yamlText(vals)
	}
	g.extras(n, vals, v1)
	g.templates(n, depth)
	return n
}

// metadata writes Chart.yaml (and requirements.yaml of charts v1) and notes under
// which names subcharts are known.
func (g *gen) metadata(n *node, vals map[string]any, depth int) (v1 bool) {
	v1 = g.oneIn(6)
	api := "v2"
	if v1 {
		api = "v1"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "apiVersion: %s\nname: %s\nversion: %s\n", api, n.name, pick(g, "1.2.3", "1.2.3", "0.1.0", "1.0.0-rc.1", "2.0.0+b1"))
	if n.library {
		b.WriteString("type: library\n")
	} else if !v1 && g.oneIn(6) {
		b.WriteString("type: application\n")
	}
	if g.oneIn(3) {
		fmt.Fprintf(&b, "appVersion: %s\n", pick(g, `"1.16"`, "1.16", "v2", "2024", "'1e3'"))
	}
	if g.oneIn(4) {
		b.WriteString("description: a chart\nkeywords: [x, y]\nhome: https://example.com\nmaintainers:\n- name: me\n  email: me@example.com\nannotations:\n  k: v\n")
	}
	if g.oneIn(8) {
		fmt.Fprintf(&b, "kubeVersion: %q\n", pick(g, ">=1.20", ">= 1.20.0-0", "^1.0", "<1.99", "1.x || 2.x"))
	}
	if g.oneIn(30) {
		b.WriteString("deprecated: true\n")
	}
	if g.odd() {
		b.WriteString(pick(g, "kubeVersion: '>=2'\n", "type: odd\n", "unknown: 1\n", "version: x\n", "dependencies: [{}]\n", "maintainers: [null]\n", "name: a/b\n", "name: ..\n", "appVersion: [1]\n"))
	}
	deps := g.dependencies(n)
	if v1 && deps != "" {
		n.files["requirements.yaml"] = deps
	} else {
		b.WriteString(deps)
	}
	n.files["Chart.yaml"] = b.String()
	return v1
}

func (g *gen) dependencies(n *node) string {
	var b strings.Builder
	for _, sub := range n.subs {
		if g.oneIn(5) { // vendored without a word
			n.known = append(n.known, sub.name)
			continue
		}
		for copies := 1 + g.IntN(8)/7; copies > 0; copies-- {
			known := sub.name
			fmt.Fprintf(&b, "- name: %s\n  version: %s\n", sub.name, pick(g, "'>=0.0.0-0'", "'>=0.0.0-0'", "'>0.0.0-0'", "'*'", "~1.2.0", "x.x.x"))
			if g.oneIn(2) {
				b.WriteString("  repository: https://example.com/charts\n")
			}
			if copies > 1 || g.oneIn(5) {
				known = fmt.Sprintf("%s-%d", pick(g, "one", "cache"), len(n.known))
				fmt.Fprintf(&b, "  alias: %s\n", known)
			}
			if g.oneIn(3) {
				fmt.Fprintf(&b, "  condition: %s\n", pick(g, known+".enabled", "enabled", "nope.enabled,"+known+".enabled", "global.enabled", " a.enabled , enabled", known+".text"))
			}
			if g.oneIn(4) {
				fmt.Fprintf(&b, "  tags: [%s]\n", pick(g, "front", "back", "front, back", "none"))
			}
			if g.oneIn(4) {
				b.WriteString("  import-values:\n" + g.some(1, 2, "", func() string {
					return pick(g, "  - data\n", "  - other\n", "  - child: map\n    parent: a\n", "  - child: image\n    parent: .\n",
						"  - child: a.map\n    parent: map.a\n", "  - child: exports.data\n    parent: global\n", "  - child: global\n    parent: d\n")
				}))
			}
			n.known = append(n.known, known)
		}
	}
	if g.odd() {
		b.WriteString(pick(g, "- name: missing\n  version: 1.0.0\n", "- name: ''\n  version: 1\n", "- null\n", "- name: alpha\n  version: 1.x\n  alias: 'a b'\n"))
	}
	if b.Len() == 0 {
		return ""
	}
	return "dependencies:\n" + b.String()
}

// extras draws what a chart may hold beside templates.
func (g *gen) extras(n *node, vals map[string]any, v1 bool) {
	if g.oneIn(3) {
		n.files["config/app.conf"] = "port = 80\nname = x\n"
		n.files["config/b.json"] = `{"k": [1, 2]}`
		n.files["config/deep/c.yaml"] = "x: 1\n"
		n.files["bin.dat"] = "\x00\x01\xff"
	}
	if g.oneIn(5) {
		n.files["crds/crd.yaml"] = "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata:\n  name: " + n.name + "s.example.com\n"
		if g.oneIn(2) {
			n.files["crds/sub/two.yaml"] = "---\nkind: CustomResourceDefinition\n---\nkind: Other\n"
		}
	}
	if g.oneIn(6) {
		n.files["README.md"] = "# " + n.name + "\n"
	}
	if g.oneIn(6) {
		n.files[".helmignore"] = "# ignored\n" + g.some(1, 3, "\n", func() string {
			return pick(g, "*.dat", "config/deep/", "/README.md", "config/*.json", "*.bak", "b.json", "/config/app.conf", "deep", "nothing/here", "?in.dat", "[b]in.dat", "  *.md  ")
		}) + "\n"
		if g.odd() {
			n.files[".helmignore"] += pick(g, "**/x\n", "!config\n", "[\n", "/\n", "templates/\n")
		}
	}
	if g.oneIn(8) {
		n.files["values.schema.json"] = g.schema(vals)
	}
	if !v1 && g.oneIn(10) {
		n.files["Chart.lock"] = "dependencies: []\ndigest: sha256:0\ngenerated: \"2024-01-01T00:00:00Z\"\n"
	}
}

// schema draws one that mostly fits.
func (g *gen) schema(vals map[string]any) string {
	props := map[string]any{}
	for _, key := range slices.Sorted(maps.Keys(vals)) {
		if g.oneIn(2) {
			props[key] = g.property(vals[key])
		}
	}
	s := map[string]any{"type": "object", "properties": props}
	if draft := pick(g, "", "http://json-schema.org/draft-04/schema#", "http://json-schema.org/draft-06/schema#",
		"http://json-schema.org/draft-07/schema#", "https://json-schema.org/draft/2019-09/schema", "https://json-schema.org/draft/2020-12/schema"); draft != "" {
		s["$schema"] = draft
	}
	if g.oneIn(12) {
		s["required"] = []string{pick(g, keys...)}
	}
	if g.oneIn(4) {
		s["definitions"] = map[string]any{"word": map[string]any{"type": "string", "pattern": "^[a-z]"}}
		props["text"] = map[string]any{"$ref": "#/definitions/word"}
	}
	if g.oneIn(12) {
		s["additionalProperties"] = g.oneIn(3)
	}
	return jsonText(s)
}

func (g *gen) property(v any) map[string]any {
	if g.oneIn(20) {
		return pick(g, map[string]any{"enum": []any{"one", 1, true}}, map[string]any{"minimum": 5, "maximum": 70}, map[string]any{"maxLength": 3, "minLength": 1},
			map[string]any{"anyOf": []any{map[string]any{"type": "string"}, map[string]any{"type": "null"}}}, map[string]any{"const": "x"},
			map[string]any{"not": map[string]any{"type": "string"}}, map[string]any{"uniqueItems": true, "maxItems": 2}, map[string]any{"multipleOf": 2},
			map[string]any{"type": []string{"string", "integer"}}, map[string]any{"oneOf": []any{map[string]any{"type": "number"}, map[string]any{"type": "integer"}}})
	}
	switch v := v.(type) {
	case map[string]any:
		return map[string]any{"type": "object", "minProperties": g.IntN(2)}
	case []any:
		return map[string]any{"type": "array", "items": map[string]any{}}
	case string:
		return map[string]any{"type": "string"}
	case bool:
		return map[string]any{"type": "boolean"}
	case nil:
		return map[string]any{}
	case int:
		return map[string]any{"type": pick(g, "integer", "number")}
	default:
		return map[string]any{"type": "number", "default": v}
	}
}

// write puts a tree's files below path.
func (g *gen) write(path string, n *node) {
	maps.Copy(g.files, below(path, n.all()))
}

// all is the files of a chart with those of its subcharts.
func (n *node) all() map[string]string {
	files := maps.Clone(n.files)
	for _, sub := range n.subs {
		if sub.packed {
			files["charts/"+sub.name+"-1.2.3.tgz"] = pack(sub.name, sub.all())
		} else {
			maps.Copy(files, below("charts/"+sub.name, sub.all()))
		}
	}
	return files
}

func below(path string, files map[string]string) map[string]string {
	out := make(map[string]string, len(files))
	for name, text := range files {
		out[path+"/"+name] = text
	}
	return out
}

// arguments draws the command line.
func (g *gen) arguments(n *node) []string {
	args := []string{"$DIR/top"}
	switch g.IntN(6) {
	case 0:
		args = append(args, "--name-template", pick(g, "x-{{ lower \"ABC\" }}", "fixed", "{{ \"a\" | repeat 3 }}"))
	case 1:
	default:
		args = append([]string{"rel"}, args...)
	}
	flag := func(odds int, draw func() []string) {
		if g.oneIn(odds) {
			args = append(args, draw()...)
		}
	}
	for i := range g.IntN(3) {
		name := fmt.Sprintf("v%d.yaml", i)
		g.files[name] = g.yamlText(g.userValues(n))
		args = append(args, "-f", "$DIR/"+name)
	}
	for range g.IntN(3) {
		flag(2, func() []string { return []string{"--set", g.setExpression(n.known)} })
		flag(5, func() []string { return []string{"--set-string", g.setExpression(n.known)} })
		flag(6, func() []string {
			return []string{"--set-json", pick(g, g.setPath(n.known)+"="+jsonText(g.table(1)), g.setPath(n.known)+"="+jsonText(g.value(2)), "a=[1,{\"x\":null}],b=\"s\"")}
		})
		flag(8, func() []string { return []string{"--set-literal", g.setPath(n.known) + "=" + g.text()} })
		flag(8, func() []string { return []string{"--set-file", g.setPath(n.known) + "=$DIR/top/Chart.yaml"} })
	}
	flag(4, func() []string { return []string{"--namespace", pick(g, "ns1", "kube-system")} })
	flag(4, func() []string { return []string{"--include-crds"} })
	flag(6, func() []string { return []string{"--is-upgrade"} })
	flag(6, func() []string { return []string{"--skip-tests"} })
	flag(8, func() []string { return []string{"--no-hooks"} })
	flag(8, func() []string { return []string{"--render-subchart-notes"} })
	flag(10, func() []string { return []string{"--skip-schema-validation"} })
	flag(5, func() []string {
		return []string{"--kube-version", pick(g, "1.30", "v1.29.3", "1.31.0+k3s1", "1.25.0-0")}
	})
	flag(4, func() []string {
		return []string{"--api-versions", pick(g, "monitoring.coreos.com/v1", "a/v1,b/v1/Kind", "networking.k8s.io/v1/Ingress")}
	})
	if g.odd() {
		args = append(args, pick(g, "--kube-version=x", "--name-template={{ fail \"x\" }}", "--set-json=a={", "--set-file=a=$DIR/none", "-f=$DIR/none.yaml"))
	}
	return args
}

// userValues are like the chart's, with parts for its subcharts.
func (g *gen) userValues(n *node) map[string]any {
	vals := g.table(chartNest)
	for _, sub := range n.known {
		if g.oneIn(2) {
			vals[sub] = g.table(2)
		}
	}
	if g.oneIn(3) {
		vals["global"] = g.table(2)
	}
	if g.oneIn(4) {
		vals["tags"] = map[string]any{"front": g.oneIn(2), "back": g.oneIn(2)}
	}
	for _, key := range keys {
		if g.oneIn(12) {
			vals[key] = nil
		}
	}
	return vals
}
