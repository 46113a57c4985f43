// Package library validates values with the JSON schema library that Helm uses, all
// drafts and everything in them. Linking it costs 4 ms at every start of a program:
// pkg does not, and asks pkgd where package schema is not certain.
package library

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

// Validate checks values against one JSON schema of any draft. The error is one
// line for each violation. Warn, which may be nil, receives what Helm logs.
func Validate(vals map[string]any, schema []byte, warn func(format string, args ...any)) (err error) {
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
		text := strings.TrimPrefix(err.Error(), "jsonschema validation failed with '"+schemaURL+"#'\n")
		return errors.New(text)
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
type urnLoader struct {
	warn func(format string, args ...any)
}

func (l urnLoader) Load(urn string) (any, error) {
	if l.warn != nil {
		l.warn("WARNING: unresolved URN reference ignored; using permissive schema: %s", urn)
	}
	return true, nil
}
