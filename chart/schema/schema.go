// Package schema validates values against the JSON schemas that charts carry
// (values.schema.json), drafts 4 to 2020-12.
//
// It exists because of start time: the library that Helm uses compiles ten
// metaschemas when a program starts, 4 ms, which is half of what `pkg template`
// takes for a small chart. This package knows the keywords that charts use. What it
// does not know for certain (references to other documents, anchors, unevaluated*,
// formats, a schema that its metaschema would refuse) it does not guess: [Compile]
// or [Schema.Validate] then fail with [ErrUnsupported], and the caller asks the
// library, in a program of its own (see package schema/library).
//
// Verdicts and error texts are the library's; the tests compare the two.
package schema

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"unsafe"
)

// ErrUnsupported is wrapped by everything that this package leaves to the library.
var ErrUnsupported = errors.New("outside of what this validator knows")

// Schema is a compiled schema. It is safe for concurrent use.
type Schema struct{ root *node }

// Compile reads a schema, which must not change afterwards. Every error wraps [ErrUnsupported]: also a malformed
// schema is for the library to name.
func Compile(data []byte) (*Schema, error) {
	doc, err := document(data)
	if err != nil {
		return nil, err
	}
	version, err := draftOf(doc)
	if err != nil {
		return nil, err
	}
	c := &compiler{doc: doc, draft: version, nodes: map[string]*node{}}
	root, err := c.node(doc, nil)
	if err != nil {
		return nil, err
	}
	c.nodes[""] = root
	// References may add nodes while we walk; compile until none is left.
	for len(c.pending) > 0 {
		ref := c.pending[0]
		c.pending = c.pending[1:]
		if ref.target, err = c.lookup(ref.pointer); err != nil {
			return nil, err
		}
	}
	return &Schema{root: root}, nil
}

func document(data []byte) (any, error) {
	if doc, ok := readJSON(unsafe.String(unsafe.SliceData(data), len(data))); ok {
		return doc, nil
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var doc any
	if err := dec.Decode(&doc); err != nil {
		return nil, unsupported("not JSON: %v", err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, unsupported("data after the schema")
	}
	return doc, nil
}

// Drafts, by year or number.
const (
	draft4    = 4
	draft6    = 6
	draft7    = 7
	draft2019 = 2019
	draft2020 = 2020
)

// draftOf reads $schema; without one the latest draft is meant.
func draftOf(doc any) (int, error) {
	obj, _ := doc.(map[string]any)
	url, ok := obj["$schema"]
	if !ok {
		return draft2020, nil
	}
	text, _ := url.(string)
	text = strings.TrimSuffix(text, "#")
	if rest, ok := strings.CutPrefix(text, "http://"); ok {
		text = rest
	} else {
		text = strings.TrimPrefix(text, "https://")
	}
	switch text {
	case "json-schema.org/schema", "json-schema.org/draft/2020-12/schema":
		return draft2020, nil
	case "json-schema.org/draft/2019-09/schema":
		return draft2019, nil
	case "json-schema.org/draft-07/schema":
		return draft7, nil
	case "json-schema.org/draft-06/schema":
		return draft6, nil
	case "json-schema.org/draft-04/schema":
		return draft4, nil
	}
	return 0, unsupported("$schema %v", url)
}

func unsupported(format string, args ...any) error {
	return fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), ErrUnsupported)
}

// node is one compiled subschema. Absent keywords are nil, or -1 for counts. Most schemas
// have few of the rules; those without share one that asks for nothing.
type node struct {
	always *bool // the schemas true and false
	ref    *reference

	types    []string // in the library's order
	constant *any
	enum     []any
	format   string // of those that the draft asserts

	*objectRules
	*arrayRules
	*scalarRules
	*combinedRules
}

type objectRules struct {
	minProperties, maxProperties int
	required                     []string
	dependencies                 []dependency
	properties                   map[string]*node
	patterns                     []patternNode
	additional                   *node
	noAdditional                 bool // additionalProperties: false
	propertyNames                *node
}

type arrayRules struct {
	minItems, maxItems int
	unique             bool
	prefix             []*node // items as a list, or prefixItems
	items              *node   // of the items after prefix
	noMoreItems        bool    // additionalItems: false
	contains           *node
	minContains        int
	maxContains        int
}

type scalarRules struct {
	minLength, maxLength int
	pattern              *regexp.Regexp

	minimum, maximum, above, below, multiple *number
}

type combinedRules struct {
	not                   *node
	allOf, anyOf, oneOf   []*node
	when, then, otherwise *node
}

// Rules that ask for nothing; nobody changes them.
var (
	noObjectRules   = objectRules{minProperties: -1, maxProperties: -1}
	noArrayRules    = arrayRules{minItems: -1, maxItems: -1, minContains: -1, maxContains: -1}
	noScalarRules   = scalarRules{minLength: -1, maxLength: -1}
	noCombinedRules = combinedRules{}
)

// reference is a $ref into the same document, resolved when all is compiled.
type reference struct {
	pointer string
	target  *node
}

type patternNode struct {
	pattern *regexp.Regexp
	node    *node
}

// dependency is what the presence of one property asks for.
type dependency struct {
	property string
	required []string
	node     *node
}
