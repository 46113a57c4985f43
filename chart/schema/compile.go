package schema

import (
	"encoding/json"
	"math/big"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// compiler turns one document into nodes.
type compiler struct {
	doc     any
	draft   int
	nodes   map[string]*node // those that references are likely to name, by JSON pointer
	pending []*reference
}

// place is where a subschema stands: under a keyword of another one, and there perhaps
// under a name or number. It is nil for the whole document.
type place struct {
	up        *place
	key, name string
	named     bool
}

// String returns the place's JSON pointer, escaped as in the document.
func (p *place) String() string {
	if p == nil {
		return ""
	}
	pointer := p.up.String() + "/" + escape(p.key)
	if p.named {
		pointer += "/" + escape(p.name)
	}
	return pointer
}

// localRef are the references that need no thought about URLs.
var localRef = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^#(/[A-Za-z0-9_.$~-]+)*$`) })

// lookup returns the node at a JSON pointer, compiling it when no keyword led there.
func (c *compiler) lookup(pointer string) (*node, error) {
	if n, ok := c.nodes[pointer]; ok {
		return n, nil
	}
	at := c.doc
	for _, token := range strings.Split(pointer, "/")[1:] {
		token = strings.ReplaceAll(strings.ReplaceAll(token, "~1", "/"), "~0", "~")
		switch v := at.(type) {
		case map[string]any:
			next, ok := v[token]
			if !ok {
				return nil, unsupported("reference to nothing, #%s", pointer)
			}
			at = next
		case []any:
			i, err := strconv.Atoi(token)
			if err != nil || i < 0 || i >= len(v) {
				return nil, unsupported("reference to nothing, #%s", pointer)
			}
			at = v[i]
		default:
			return nil, unsupported("reference to nothing, #%s", pointer)
		}
	}
	n, err := c.node(at, &place{key: pointer[1:]})
	c.nodes[pointer] = n
	return n, err
}

func escape(token string) string {
	return strings.ReplaceAll(strings.ReplaceAll(token, "~", "~0"), "/", "~1")
}

// foreign are keywords that change what others mean; they are the library's.
var foreign = []string{
	"$anchor", "$dynamicAnchor", "$dynamicRef", "$recursiveRef", "$recursiveAnchor", "$vocabulary",
	"unevaluatedProperties", "unevaluatedItems", "contentSchema",
}

// groups of keywords that are read together.
const (
	annotations = 1 << iota
	general
	objects
	arrays
	scalars
	combined
)

// groupOf returns the group of a keyword, 0 for one that is not known.
func groupOf(key string) int {
	switch key {
	case "title", "description", "$comment", "contentMediaType", "contentEncoding", "readOnly", "writeOnly", "deprecated", "examples", "definitions", "$defs":
		return annotations
	case "$ref", "type", "const", "enum", "format":
		return general
	case "minProperties", "maxProperties", "required", "properties", "patternProperties", "additionalProperties", "propertyNames",
		"dependencies", "dependentSchemas", "dependentRequired":
		return objects
	case "minItems", "maxItems", "uniqueItems", "items", "prefixItems", "additionalItems", "contains", "minContains", "maxContains":
		return arrays
	case "minLength", "maxLength", "pattern", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf":
		return scalars
	case "allOf", "anyOf", "oneOf", "not", "if", "then", "else":
		return combined
	}
	return 0
}

// node compiles one subschema.
func (c *compiler) node(v any, at *place) (*node, error) {
	n := &node{}
	n.clear()
	obj, ok := v.(map[string]any)
	if !ok {
		b, ok := v.(bool)
		if !ok || c.draft == draft4 && !isAdditional(at) {
			return nil, unsupported("subschema at #%s is not an object", at)
		}
		n.always = &b
		return n, nil
	}
	present := 0
	for key := range obj {
		group := groupOf(key)
		if group == 0 && c.draft >= draft2019 && slices.Contains(foreign, key) {
			return nil, unsupported("keyword %s", key)
		}
		present |= group
	}
	k := &keywords{compiler: c, obj: obj, at: at}
	if at != nil {
		k.absent("$schema", "id", "$id")
	}
	for _, g := range []struct {
		group int
		read  func(*keywords, *node)
	}{
		{annotations, (*keywords).annotations}, {general, (*keywords).general}, {objects, (*keywords).object},
		{arrays, (*keywords).array}, {scalars, (*keywords).scalar}, {combined, (*keywords).combined},
	} {
		if present&g.group != 0 {
			g.read(k, n)
		}
	}
	if k.err != nil {
		return nil, k.err
	}
	if c.draft < draft2019 && n.ref != nil { // its siblings do not count (in the library const does), but were checked
		ref, constant := n.ref, n.constant
		n.clear()
		n.ref, n.constant = ref, constant
	}
	return n, nil
}

// clear makes a node that accepts everything.
func (n *node) clear() {
	*n = node{objectRules: &noObjectRules, arrayRules: &noArrayRules, scalarRules: &noScalarRules, combinedRules: &noCombinedRules}
}

// isAdditional reports whether draft 4 allows a boolean at a place.
func isAdditional(at *place) bool {
	return at != nil && !at.named && (at.key == "additionalProperties" || at.key == "additionalItems")
}

// keywords reads the keywords of one subschema. The first thing that the draft's
// metaschema would refuse stays in err, and later reads return nothing of use.
type keywords struct {
	*compiler
	obj map[string]any
	at  *place
	err error
}

func (k *keywords) refuse(key string) {
	if k.err == nil {
		k.err = unsupported("%s at #%s", key, k.at)
	}
}

func (k *keywords) absent(keys ...string) {
	for _, key := range keys {
		if _, ok := k.obj[key].(string); ok {
			k.refuse(key)
		}
	}
}

// from is the value of a keyword that the draft knows since a version.
func (k *keywords) from(draft int, key string) (any, bool) {
	v, ok := k.obj[key]
	return v, ok && k.draft >= draft
}

func (k *keywords) annotations(*node) {
	for _, a := range []struct {
		key   string
		since int
		text  bool
	}{
		{"title", draft4, true}, {"description", draft4, true}, {"$comment", draft7, true},
		{"contentMediaType", draft7, true}, {"contentEncoding", draft7, true},
		{"readOnly", draft7, false}, {"writeOnly", draft2019, false}, {"deprecated", draft2019, false},
	} {
		v, ok := k.from(a.since, a.key)
		if !ok {
			continue
		}
		_, isText := v.(string)
		_, isBool := v.(bool)
		if a.text && !isText || !a.text && !isBool {
			k.refuse(a.key)
		}
	}
	if v, ok := k.from(draft6, "examples"); ok {
		if _, isList := v.([]any); !isList {
			k.refuse("examples")
		}
	}
	for _, key := range []string{"definitions", "$defs"} {
		if key != "definitions" && k.draft < draft2019 {
			continue
		}
		for name, n := range k.schemas(key) {
			if k.at == nil {
				k.nodes["/"+key+"/"+escape(name)] = n
			}
		}
	}
}

func (k *keywords) general(n *node) {
	if v, ok := k.obj["$ref"]; ok {
		text, _ := v.(string)
		if !localRef().MatchString(text) {
			k.refuse("$ref " + text)
			return
		}
		n.ref = &reference{pointer: text[1:]}
		k.pending = append(k.pending, n.ref)
	}
	if v, ok := k.obj["type"]; ok {
		n.types = k.types(v)
	}
	if v, ok := k.from(draft6, "const"); ok {
		n.constant = &v
	}
	if v, ok := k.obj["enum"]; ok {
		list, isList := v.([]any)
		if !isList || k.draft <= draft7 && (len(list) == 0 || hasDuplicates(list)) {
			k.refuse("enum")
		}
		n.enum = append([]any{}, list...)
	}
	if v, ok := k.obj["format"]; ok {
		name, isText := v.(string)
		if !isText {
			k.refuse("format")
		}
		if k.draft < draft2019 {
			n.format = name
		}
	}
}

// typeNames are the types in the order in which messages list them.
var typeNames = []string{"null", "boolean", "number", "integer", "string", "array", "object"}

func (k *keywords) types(v any) []string {
	if name, ok := v.(string); ok && slices.Contains(typeNames, name) {
		return []string{name}
	}
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	if len(list) == 0 || hasDuplicates(list) {
		k.refuse("type")
	}
	for _, t := range list {
		if name, ok := t.(string); !ok || !slices.Contains(typeNames, name) {
			k.refuse("type")
		}
	}
	var out []string
	for _, name := range typeNames {
		if slices.Contains(list, any(name)) {
			out = append(out, name)
		}
	}
	return out
}

func (k *keywords) object(n *node) {
	rules := noObjectRules
	n.objectRules = &rules
	n.minProperties, n.maxProperties = k.count("minProperties"), k.count("maxProperties")
	if v, ok := k.obj["required"]; ok {
		n.required = k.names("required", v)
	}
	n.properties = k.schemas("properties")
	patterns := k.schemas("patternProperties")
	for _, text := range sortedKeys(patterns) {
		n.patterns = append(n.patterns, patternNode{k.regexp("patternProperties", text), patterns[text]})
	}
	if v, ok := k.obj["additionalProperties"]; ok {
		if b, isBool := v.(bool); isBool {
			n.noAdditional = !b
		} else {
			n.additional = k.schema("additionalProperties")
		}
	}
	if _, ok := k.from(draft6, "propertyNames"); ok {
		n.propertyNames = k.schema("propertyNames")
	}
	k.dependencies(n)
}

func (k *keywords) dependencies(n *node) {
	read := func(key string, lists, schemas bool) {
		v, ok := k.obj[key]
		if !ok {
			return
		}
		obj, isObject := v.(map[string]any)
		if !isObject {
			k.refuse(key)
			return
		}
		for _, name := range sortedKeys(obj) {
			d := dependency{property: name}
			if list, isList := obj[name].([]any); isList && lists {
				d.required = k.names(key, list)
			} else if schemas {
				d.node = k.under(obj[name], key, name)
			} else {
				k.refuse(key)
			}
			n.dependencies = append(n.dependencies, d)
		}
	}
	read("dependencies", true, true)
	if k.draft >= draft2019 {
		read("dependentSchemas", false, true)
		read("dependentRequired", true, false)
	}
}

func (k *keywords) array(n *node) {
	rules := noArrayRules
	n.arrayRules = &rules
	n.minItems, n.maxItems = k.count("minItems"), k.count("maxItems")
	n.unique = k.boolean("uniqueItems")
	items, has := k.obj["items"]
	list, isList := items.([]any)
	switch {
	case k.draft >= draft2020:
		n.prefix = k.list("prefixItems")
		if has {
			n.items = k.schema("items")
		}
	case isList:
		if len(list) == 0 {
			k.refuse("items")
		}
		n.prefix = k.list("items")
		if v, ok := k.obj["additionalItems"]; ok {
			if b, isBool := v.(bool); isBool {
				n.noMoreItems = !b
			} else {
				n.items = k.schema("additionalItems")
			}
		}
	case has:
		n.items = k.schema("items")
	}
	if _, ok := k.obj["additionalItems"]; ok && !isList && k.draft < draft2020 {
		k.schema("additionalItems") // without effect, but it must be a schema
	}
	if _, ok := k.from(draft6, "contains"); ok {
		n.contains = k.schema("contains")
	}
	if k.draft >= draft2019 {
		n.minContains, n.maxContains = k.count("minContains"), k.count("maxContains")
	}
}

func (k *keywords) scalar(n *node) {
	rules := noScalarRules
	n.scalarRules = &rules
	n.minLength, n.maxLength = k.count("minLength"), k.count("maxLength")
	if v, ok := k.obj["pattern"]; ok {
		text, isText := v.(string)
		if !isText {
			k.refuse("pattern")
			return
		}
		n.pattern = k.regexp("pattern", text)
	}
	n.minimum, n.maximum = k.number("minimum"), k.number("maximum")
	if k.draft == draft4 {
		if k.boolean("exclusiveMinimum") {
			n.above, n.minimum = n.minimum, nil
		}
		if k.boolean("exclusiveMaximum") {
			n.below, n.maximum = n.maximum, nil
		}
		for exclusive, limit := range map[string]string{"exclusiveMinimum": "minimum", "exclusiveMaximum": "maximum"} {
			if _, ok := k.obj[exclusive]; ok && k.obj[limit] == nil {
				k.refuse(exclusive) // draft 4 ties the two together
			}
		}
	} else {
		n.above, n.below = k.number("exclusiveMinimum"), k.number("exclusiveMaximum")
	}
	if n.multiple = k.number("multipleOf"); n.multiple != nil && n.multiple.Sign() <= 0 {
		k.refuse("multipleOf")
	}
}

func (k *keywords) combined(n *node) {
	rules := noCombinedRules
	n.combinedRules = &rules
	n.allOf, n.anyOf, n.oneOf = k.list("allOf"), k.list("anyOf"), k.list("oneOf")
	if _, ok := k.obj["not"]; ok {
		n.not = k.schema("not")
	}
	if k.draft < draft7 {
		return
	}
	for key, into := range map[string]**node{"if": &n.when, "then": &n.then, "else": &n.otherwise} {
		if _, ok := k.obj[key]; ok {
			*into = k.schema(key)
		}
	}
}

// schema compiles the subschema under a keyword.
func (k *keywords) schema(key string) *node { return k.child(k.obj[key], &place{up: k.at, key: key}) }

// under compiles a subschema under a name or number below a keyword.
func (k *keywords) under(v any, key, name string) *node {
	return k.child(v, &place{up: k.at, key: key, name: name, named: true})
}

func (k *keywords) child(v any, at *place) *node {
	if k.err != nil {
		return nil
	}
	n, err := k.node(v, at)
	if err != nil {
		k.err = err
	}
	return n
}

// schemas compiles an object of subschemas, nil when the keyword is absent.
func (k *keywords) schemas(key string) map[string]*node {
	v, ok := k.obj[key]
	if !ok {
		return nil
	}
	obj, ok := v.(map[string]any)
	if !ok {
		k.refuse(key)
		return nil
	}
	out := make(map[string]*node, len(obj))
	for name, sub := range obj {
		out[name] = k.under(sub, key, name)
	}
	return out
}

// list compiles a list of subschemas, which must not be empty.
func (k *keywords) list(key string) []*node {
	v, ok := k.obj[key]
	if !ok {
		return nil
	}
	list, ok := v.([]any)
	if !ok || len(list) == 0 {
		k.refuse(key)
		return nil
	}
	out := make([]*node, len(list))
	for i, sub := range list {
		out[i] = k.under(sub, key, strconv.Itoa(i))
	}
	return out
}

// names reads a list of distinct property names.
func (k *keywords) names(key string, v any) []string {
	list, ok := v.([]any)
	if !ok || hasDuplicates(list) || k.draft == draft4 && len(list) == 0 {
		k.refuse(key)
	}
	out := make([]string, 0, len(list))
	for _, name := range list {
		text, ok := name.(string)
		if !ok {
			k.refuse(key)
		}
		out = append(out, text)
	}
	return out
}

func (k *keywords) boolean(key string) bool {
	v, ok := k.obj[key]
	b, isBool := v.(bool)
	if ok && !isBool {
		k.refuse(key)
	}
	return b
}

// count reads a non-negative integer, -1 when the keyword is absent.
func (k *keywords) count(key string) int {
	n := k.number(key)
	if n == nil {
		return -1
	}
	if !n.IsInt() || n.Sign() < 0 || !n.Num().IsInt64() {
		k.refuse(key)
		return -1
	}
	return int(n.Num().Int64())
}

// number is a rational number: schemas compare decimal fractions exactly.
type number = big.Rat

func (k *keywords) number(key string) *number {
	v, ok := k.obj[key]
	if !ok {
		return nil
	}
	text, isNumber := v.(json.Number)
	if !isNumber || len(text) > 40 { // 1e999999999 would fill the memory
		k.refuse(key)
		return nil
	}
	n, ok := rational(text)
	if !ok {
		k.refuse(key)
		return nil
	}
	return n
}

func (k *keywords) regexp(key, text string) *regexp.Regexp {
	re, err := regexp.Compile(text)
	if err != nil {
		k.refuse(key)
		return nil
	}
	return re
}

func hasDuplicates(list []any) bool {
	i, _, _ := duplicates(list)
	return i >= 0
}
