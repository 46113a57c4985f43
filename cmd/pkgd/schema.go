package main

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/seed38700745/pkg/chart/schema/library"
	"github.com/seed38700745/pkg/cmd/internal/schemacheck"
)

// checkSchema checks a chart's values for pkg, which starts too often to link the
// library for it.
func checkSchema(in io.Reader, out io.Writer) error {
	var request schemacheck.Request
	dec := json.NewDecoder(in)
	dec.UseNumber()
	if err := dec.Decode(&request); err != nil {
		return fmt.Errorf("request on stdin: %w", err)
	}
	var response schemacheck.Response
	warn := func(format string, args ...any) {
		response.Warnings = append(response.Warnings, fmt.Sprintf(format, args...))
	}
	if err := library.Validate(request.Values, request.Schema, warn); err != nil {
		response.Error = err.Error()
	}
	return json.NewEncoder(out).Encode(response)
}
