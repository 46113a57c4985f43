package manifest

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/validation"
	pathvalidation "k8s.io/apimachinery/pkg/api/validation/path"
	"k8s.io/apimachinery/pkg/util/validation/field"
	kjson "sigs.k8s.io/json"

	"github.com/seed38700745/pkg/cluster/kind"
	"github.com/seed38700745/pkg/cluster/object"
)

// decode reads an object in the version that it says, strictly, and returns it in
// the stored one; nil when it cannot be read.
func (c *checker) decode(s kind.Served, doc []byte) object.Object {
	o := s.NewObject()
	problems, err := kjson.UnmarshalStrict(doc, o)
	for _, p := range problems {
		path, text := fieldOf(p.Error())
		c.add(c.at, Error, path, "%s", text)
	}
	if err != nil {
		c.wrongTypes(o, doc, err)
		return nil
	}
	if s.Alias != nil {
		if o, err = s.Alias.From(o); err != nil {
			c.add(c.at, Error, "", "%v", err)
			return nil
		}
	}
	o.GetObjectKind().SetGroupVersionKind(s.GVK)
	return o
}

var quotedField = regexp.MustCompile(`^(unknown|duplicate) field "([^"]+)"$`)

// fieldOf parts a strict decoder's message into field and text.
func fieldOf(message string) (path, text string) {
	m := quotedField.FindStringSubmatch(message)
	if m == nil {
		return "", message
	}
	return m[2], m[1] + " field"
}

// wrongTypes finds every value in doc that o's Go type does not take; the decoder
// names the first only, and not always its place.
func (c *checker) wrongTypes(o object.Object, doc []byte, err error) {
	var tree any
	if json.Unmarshal(doc, &tree) != nil {
		c.add(c.at, Error, "", "%v", err)
		return
	}
	before := len(c.findings)
	c.fit(reflect.TypeOf(o).Elem(), tree, "")
	if len(c.findings) == before {
		c.add(c.at, Error, "", "%v", err)
	}
}

var unmarshaler = reflect.TypeFor[json.Unmarshaler]()

// fit walks a value beside the type that it is meant for.
func (c *checker) fit(t reflect.Type, v any, path string) {
	if v == nil {
		return
	}
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if !reflect.PointerTo(t).Implements(unmarshaler) {
		switch t.Kind() {
		case reflect.Struct:
			if m, ok := v.(map[string]any); ok {
				c.fitStruct(t, m, path)
				return
			}
		case reflect.Map:
			if m, ok := v.(map[string]any); ok {
				for _, key := range slices.Sorted(maps.Keys(m)) {
					c.fit(t.Elem(), m[key], join(path, key))
				}
				return
			}
		case reflect.Slice:
			if list, ok := v.([]any); ok && t.Elem().Kind() != reflect.Uint8 {
				for i, value := range list {
					c.fit(t.Elem(), value, fmt.Sprintf("%s[%d]", path, i))
				}
				return
			}
		}
	}
	data, err := json.Marshal(v)
	if err == nil {
		err = kjson.UnmarshalCaseSensitivePreserveInts(data, reflect.New(t).Interface())
	}
	if err != nil {
		c.add(c.at, Error, path, "wrong type: %s", typeProblem(t, v, err))
	}
}

func (c *checker) fitStruct(t reflect.Type, m map[string]any, path string) {
	for f := range fieldsOf(t) {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "" && (f.Anonymous || strings.Contains(options, "inline")):
			c.fitStruct(f.Type, m, path)
		case name != "" && name != "-":
			c.fit(f.Type, m[name], join(path, name))
		}
	}
}

// fieldsOf yields the fields of a struct.
func fieldsOf(t reflect.Type) func(func(reflect.StructField) bool) {
	return func(yield func(reflect.StructField) bool) {
		for i := range t.NumField() {
			if !yield(t.Field(i)) {
				return
			}
		}
	}
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// typeProblem says what is there and what should be.
func typeProblem(t reflect.Type, v any, err error) string {
	var mismatch *json.UnmarshalTypeError
	if !errors.As(err, &mismatch) && !strings.Contains(err.Error(), "cannot unmarshal") {
		return strings.TrimPrefix(err.Error(), "json: ")
	}
	return fmt.Sprintf("%s where %s is expected", shape(v), wanted(t))
}

// shape names the JSON type of a value.
func shape(v any) string {
	switch v := v.(type) {
	case string:
		return fmt.Sprintf("the string %q", v)
	case bool:
		return fmt.Sprintf("the boolean %t", v)
	case float64:
		return fmt.Sprintf("the number %v", v)
	case []any:
		return "a list"
	case map[string]any:
		return "a map"
	}
	return "null"
}

func wanted(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "a boolean"
	case reflect.Int, reflect.Int32, reflect.Int64:
		return "an integer"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return "a string in base64"
		}
		return "a list"
	case reflect.Struct, reflect.Map:
		return "a map"
	}
	return t.String()
}

// validate defaults and checks an object as the API server does at its creation.
func (c *checker) validate(k *kind.Kind, o object.Object) {
	if k.Default != nil {
		k.Default(o)
	}
	if k.PrepareCreate != nil {
		k.PrepareCreate(o)
	}
	name := func(name string, prefix bool) []string {
		msgs := pathvalidation.ValidatePathSegmentName(name, prefix)
		if k.ValidateName != nil {
			return append(msgs, k.ValidateName(name, prefix)...)
		}
		return append(msgs, validation.NameIsDNSSubdomain(name, prefix)...)
	}
	errs := validation.ValidateObjectMetaAccessor(o, k.Namespaced, name, field.NewPath("metadata"))
	if k.Validate != nil {
		errs = append(errs, k.Validate(o)...)
	}
	for _, e := range errs {
		c.add(c.at, Error, e.Field, "%s", e.ErrorBody())
	}
	if k.Warnings != nil {
		for _, w := range slices.Compact(k.Warnings(o)) {
			c.add(c.at, Warning, "", "%s", w)
		}
	}
}
