package wire

import (
	"mime"
	"sort"
	"strconv"
	"strings"
)

// Accepted is the outcome of negotiation: a format, and the kind into which
// the answer is to be transformed, such as Table of meta.k8s.io/v1; empty for
// the object as it is.
type Accepted struct {
	Format             Format
	As, Group, Version string // as=Table;g=meta.k8s.io;v=v1
	Pretty             bool
	Profile            string
}

// Plain tells that no transformation is asked for.
func (a Accepted) Plain() bool { return a.As == "" }

// ContentType is the media type for the answer, with the parameters of the
// transformation that clients look for.
func (a Accepted) ContentType() string {
	if a.As != "" && a.Group == "apidiscovery.k8s.io" {
		return a.Format.ContentType() + ";g=" + a.Group + ";v=" + a.Version + ";as=" + a.As
	}
	return a.Format.ContentType()
}

// Negotiate returns the first acceptable form that an Accept header asks for,
// in the client's order of preference. can tells whether a form is possible.
func Negotiate(header string, can func(Accepted) bool) (Accepted, bool) {
	if header == "" {
		header = "*/*"
	}
	type clause struct {
		a Accepted
		q float64
	}
	var clauses []clause
	for _, part := range strings.Split(header, ",") {
		t, params, err := mime.ParseMediaType(strings.TrimSpace(part))
		if err != nil {
			continue
		}
		c := clause{q: 1}
		switch t {
		case "*/*", "application/*", "application/json":
			c.a.Format = JSON
		case "application/yaml":
			c.a.Format = YAML
		case "application/vnd.kubernetes.protobuf":
			c.a.Format = Protobuf
		default:
			continue
		}
		c.a.As, c.a.Group, c.a.Version = params["as"], params["g"], params["v"]
		c.a.Pretty, c.a.Profile = params["pretty"] == "1", params["profile"]
		if q, err := strconv.ParseFloat(params["q"], 64); err == nil {
			c.q = q
		}
		if stream := params["stream"]; stream != "" && stream != "watch" {
			continue
		}
		clauses = append(clauses, c)
	}
	sort.SliceStable(clauses, func(i, j int) bool { return clauses[i].q > clauses[j].q })
	for _, c := range clauses {
		if c.q > 0 && can(c.a) {
			return c.a, true
		}
	}
	return Accepted{}, false
}
