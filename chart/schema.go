package chart

import (
	"errors"
	"fmt"
	"strings"

	"github.com/seed38700745/pkg/chart/schema"
)

// SchemaLibrary checks values against a JSON schema with everything that a schema
// may contain. What package schema is certain of never gets there. Its error has one
// line for each violation.
type SchemaLibrary func(vals map[string]any, schema []byte, warn Warn) error

// ValidateValues checks coalesced values against the values.schema.json of the
// chart and of its subcharts. The error's text is Helm's. Library may be nil, see
// [ValidateSchema].
func ValidateValues(c *Chart, vals map[string]any, library SchemaLibrary, warn Warn) error {
	if text := schemaErrors(c, vals, library, warn); text != "" {
		return fmt.Errorf("values don't meet the specifications of the schema(s) in the following chart(s):\n%s", text)
	}
	return nil
}

func schemaErrors(c *Chart, vals map[string]any, library SchemaLibrary, warn Warn) string {
	var out strings.Builder
	if c.Schema != nil {
		if err := ValidateSchema(vals, c.Schema, library, warn); err != nil {
			fmt.Fprintf(&out, "%s:\n%s", c.Name(), err)
		}
	}
	for _, sub := range c.Dependencies() {
		raw := vals[sub.Name()]
		if raw == nil {
			continue
		}
		subVals, ok := raw.(map[string]any)
		if !ok {
			fmt.Fprintf(&out, "%s:\ninvalid type for values: expected object (map), got %T\n", sub.Name(), raw)
			continue
		}
		out.WriteString(schemaErrors(sub, subVals, library, warn))
	}
	return out.String()
}

// ValidateSchema checks values against one JSON schema of any draft. The error of
// values that do not satisfy it ends with a newline, as Helm prints it. A schema with
// rare features goes to the library; without one (nil) the error says so and wraps
// [schema.ErrUnsupported].
func ValidateSchema(vals map[string]any, text []byte, library SchemaLibrary, warn Warn) error {
	if vals == nil {
		vals = map[string]any{}
	}
	compiled, err := schema.Compile(text)
	if err == nil {
		err = compiled.Validate(vals)
	}
	if errors.Is(err, schema.ErrUnsupported) && library != nil {
		err = library(vals, text, warn)
	}
	var invalid *schema.Invalid
	switch {
	case err == nil:
		return nil
	case errors.As(err, &invalid) || strings.HasPrefix(err.Error(), "- at "):
		return fmt.Errorf("%w\n", err)
	}
	return err
}
