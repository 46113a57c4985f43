// Package objectlint is what `pkg lint` and `pkgd lint-objects` say to each other:
// one Request as JSON on stdin, one Response as JSON on stdout.
package objectlint

import "encoding/json"

// Command is pkgd's subcommand.
const Command = "lint-objects"

// Request asks for a check of the objects of one chart.
type Request struct {
	Namespace string            `json:"namespace"` // of objects that name none
	Documents []json.RawMessage `json:"documents"` // objects and Lists
	// Definitions are the CustomResourceDefinitions of crds/ folders; those among
	// Documents count, too.
	Definitions []json.RawMessage `json:"definitions,omitempty"`
}

// Response has what was found, in the order of the documents.
type Response struct {
	Findings []Finding `json:"findings"`
}

// Finding is one thing to mend.
type Finding struct {
	Document int    `json:"document"`        // index in the request
	Field    string `json:"field,omitempty"` // path, "spec.ports[0].name"; "" for the whole
	Severity string `json:"severity"`        // INFO, WARNING or ERROR
	Message  string `json:"message"`
}
