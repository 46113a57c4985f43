package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strings"

	"github.com/seed38700745/pkg/chart"
	"github.com/seed38700745/pkg/cmd/internal/schemacheck"
)

// schemaLibrary checks values against a schema with rare features: pkgd links the
// library for that.
func (a *app) schemaLibrary(vals map[string]any, schema []byte, warn chart.Warn) error {
	path, err := program("pkgd")
	if err != nil {
		return fmt.Errorf("%s has features that pkg leaves to pkgd: %w", chart.SchemafileName, err)
	}
	in, err := json.Marshal(schemacheck.Request{Schema: schema, Values: vals})
	if err != nil {
		return err
	}
	var talk bytes.Buffer
	c := exec.Command(path, schemacheck.Command)
	c.Stdin, c.Stderr = bytes.NewReader(in), &talk
	out, err := c.Output()
	if err != nil {
		return fmt.Errorf("%s %s: %w: %s", path, schemacheck.Command, err, strings.TrimSpace(talk.String()))
	}
	var response schemacheck.Response
	if err := json.Unmarshal(out, &response); err != nil {
		return fmt.Errorf("%s %s: %w", path, schemacheck.Command, err)
	}
	for _, text := range response.Warnings {
		if warn != nil {
			warn("%s", text)
		}
	}
	if response.Error != "" {
		return errors.New(response.Error)
	}
	return nil
}
