// Package schemacheck is what pkg and `pkgd check-schema` say to each other when a
// chart's values.schema.json has rare features: one Request as JSON on stdin, one
// Response as JSON on stdout.
package schemacheck

// Command is pkgd's subcommand.
const Command = "check-schema"

// Request asks whether values satisfy a schema.
type Request struct {
	Schema []byte         `json:"schema"`
	Values map[string]any `json:"values"`
}

// Response has the violations, one a line, and what Helm logs meanwhile.
type Response struct {
	Error    string   `json:"error,omitempty"`
	Warnings []string `json:"warnings,omitempty"`
}
