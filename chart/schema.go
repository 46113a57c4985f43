package chart

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// schemaURL is the address under which a chart's schema is compiled; relative
// references in it resolve against this.
const schemaURL = "file:///values.schema.json"

// ValidateValues checks coalesced values against the values.schema.json of the
// chart and of its subcharts. The error's text is Helm's.
func ValidateValues(c *Chart, vals map[string]any, warn Warn) error {
	if text := schemaErrors(c, vals, warn); text != "" {
		return fmt.Errorf("values don't meet the specifications of the schema(s) in the following chart(s):\n%s", text)
	}
	return nil
}

func schemaErrors(c *Chart, vals map[string]any, warn Warn) string {
	var out strings.Builder
	if c.Schema != nil {
		if err := ValidateSchema(vals, c.Schema, warn); err != nil {
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
		out.WriteString(schemaErrors(sub, subVals, warn))
	}
	return out.String()
}

// ValidateSchema checks values against one JSON schema of any draft. The error ends
// with a newline, as Helm prints it.
func ValidateSchema(vals map[string]any, schema []byte, warn Warn) (err error) {
	defer func() { // the compiler panics on some malformed schemas
		if r := recover(); r != nil {
			err = fmt.Errorf("unable to validate schema: %s", r)
		}
	}()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(schema))
	if err != nil {
		return err
	}
	compiler := jsonschema.NewCompiler()
	web := httpLoader{client: &http.Client{Timeout: 15 * time.Second}}
	compiler.UseLoader(jsonschema.SchemeURLLoader{
		"file":  jsonschema.FileLoader{},
		"http":  web,
		"https": web,
		"urn":   urnLoader{warn: warn},
	})
	if err := compiler.AddResource(schemaURL, doc); err != nil {
		return err
	}
	validator, err := compiler.Compile(schemaURL)
	if err != nil {
		return err
	}
	if vals == nil {
		vals = map[string]any{}
	}
	if err := validator.Validate(vals); err != nil {
		return errors.New(strings.TrimPrefix(err.Error(), "jsonschema validation failed with '"+schemaURL+"#'\n") + "\n")
	}
	return nil
}

// httpLoader fetches schemas that a $ref names by URL.
type httpLoader struct{ client *http.Client }

func (l httpLoader) Load(url string) (any, error) {
	resp, err := l.client.Get(url)
	if err != nil {
		return nil, fmt.Errorf("HTTP request failed for %s: %w", url, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("HTTP request to %s returned status %d (%s)", url, resp.StatusCode, http.StatusText(resp.StatusCode))
	}
	return jsonschema.UnmarshalJSON(resp.Body)
}

// urnLoader accepts anything for a urn: reference: nobody can resolve it, and a
// chart is not wrong because of that (Helm's rule).
type urnLoader struct{ warn Warn }

func (l urnLoader) Load(urn string) (any, error) {
	l.warn.printf("WARNING: unresolved URN reference ignored; using permissive schema: %s", urn)
	return true, nil
}
