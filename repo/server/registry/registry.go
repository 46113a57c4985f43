// Package registry is an OCI registry (distribution-spec 1.1) over a folder, which
// shows the charts of a depot as well and gives it those that are pushed here.
//
// It is written here rather than taken from CNCF distribution because charts
// have to be in both places at once: there, a chart that was uploaded over HTTP would
// have to be written into the registry's own storage; here its manifest is computed
// from the archive. (Linking distribution also costs 20 to 30 MB.)
//
// A folder for each repository, so that who may not see one does not get its blobs
// by knowing their digest:
//
//	DIR/org/repo/debian/_blobs/HEX      content by sha256
//	DIR/org/repo/debian/_manifests/HEX  manifests by sha256
//	DIR/org/repo/debian/_tags/TAG       the digest that a tag means
//	DIR/_tmp/                           uploads that are not finished
//
// No repository has a segment that begins with "_". Everything is synced before it
// is acknowledged, in the order blob, manifest, tag: a tag never names what
// is not there. Unfinished uploads end with the process.
//
// Chart V of tenant org/repo is org/repo/NAME:V, with "_" for "+" as Helm has it. A
// last folder "charts" is the tenant itself: oci://host/charts/NAME is a chart of the root.
package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/seed38700745/pkg/repo/server/depot"
)

// Limits, in bytes.
const (
	// maxManifest is what the specification asks registries to take at least.
	maxManifest = 4 << 20
	maxBlob     = 32 << 30
)

// Upload sessions that nobody continued for so long are dropped.
const uploadLife = time.Hour

// Registry is safe for concurrent use.
type Registry struct {
	dir    string
	charts *depot.Depot

	mu      sync.Mutex
	uploads map[string]*upload // by id; guarded by mu

	// write is held while manifests and tags of a repository change.
	write sync.Mutex
}

// Open opens a folder, which is made when it is not there.
func Open(dir string, charts *depot.Depot) (*Registry, error) {
	g := &Registry{dir: dir, charts: charts, uploads: map[string]*upload{}}
	if err := os.RemoveAll(g.tmp()); err != nil {
		return nil, err
	}
	return g, os.MkdirAll(g.tmp(), 0o755)
}

func (g *Registry) tmp() string { return filepath.Join(g.dir, "_tmp") }

// Run drops abandoned uploads until ctx ends.
func (g *Registry) Run(ctx context.Context) error {
	tick := time.NewTicker(uploadLife / 10)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			g.dropUploads(now.Add(-uploadLife))
		}
	}
}

// Request is what a path below /v2/ asks for.
type Request struct {
	Name   string // repository; "" for the registry itself
	Tenant string // of the chart that the repository is
	Chart  string
	kind   string // "", catalog, tags, manifests, blobs, uploads, referrers
	ref    string // tag, digest or upload
}

var (
	segment   = regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*$`)
	tagName   = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$`)
	digestHex = regexp.MustCompile(`^sha256:([0-9a-f]{64})$`)
)

// Parse reads the part of a path after "/v2/".
func Parse(p string) (Request, error) {
	switch p {
	case "":
		return Request{}, nil
	case "_catalog":
		return Request{kind: "catalog"}, nil
	}
	parts := strings.Split(p, "/")
	n := len(parts)
	var q Request
	switch {
	case n >= 4 && parts[n-3] == "blobs" && parts[n-2] == "uploads":
		q = named(parts[:n-3], "uploads", parts[n-1])
	case n >= 3 && parts[n-2] == "blobs" && parts[n-1] == "uploads":
		q = named(parts[:n-2], "uploads", "")
	case n >= 3 && parts[n-2] == "tags" && parts[n-1] == "list":
		q = named(parts[:n-2], "tags", "")
	case n >= 3 && (parts[n-2] == "manifests" || parts[n-2] == "blobs" || parts[n-2] == "referrers"):
		q = named(parts[:n-2], parts[n-2], parts[n-1])
	default:
		return Request{}, &Error{http.StatusNotFound, "NAME_UNKNOWN", "no such path"}
	}
	if !validName(q.Name) {
		return Request{}, &Error{http.StatusBadRequest, "NAME_INVALID", fmt.Sprintf("repository name %q", q.Name)}
	}
	return q, nil
}

func named(parts []string, kind, ref string) Request {
	q := Request{Name: strings.Join(parts, "/"), kind: kind, ref: ref}
	q.Tenant, q.Chart = chartOf(q.Name)
	return q
}

// chartOf tells which chart a repository would be.
func chartOf(name string) (tenant, chart string) {
	at := strings.LastIndex(name, "/")
	if at >= 0 {
		tenant = name[:at]
	}
	if tenant == "charts" {
		tenant = ""
	}
	return strings.TrimSuffix(tenant, "/charts"), name[at+1:]
}

func validName(name string) bool {
	if len(name) > 255 {
		return false
	}
	for _, s := range strings.Split(name, "/") {
		if !segment.MatchString(s) {
			return false
		}
	}
	return true
}

// Error is an answer in the specification's shape.
type Error struct {
	Status  int
	Code    string // of the specification
	Message string
}

func (e *Error) Error() string { return e.Message }

// WriteError answers with an error; others than *Error are shown without detail.
func WriteError(w http.ResponseWriter, err error) {
	var e *Error
	switch {
	case errors.As(err, &e):
	case errors.Is(err, depot.ErrExists):
		e = &Error{http.StatusConflict, "DENIED", err.Error()}
	case errors.Is(err, depot.ErrNotFound):
		e = &Error{http.StatusNotFound, "MANIFEST_UNKNOWN", err.Error()}
	case errors.Is(err, depot.ErrInvalid), errors.Is(err, depot.ErrTooLarge), errors.Is(err, depot.ErrLimit):
		e = &Error{http.StatusBadRequest, "MANIFEST_INVALID", err.Error()}
	default:
		e = &Error{http.StatusInternalServerError, "UNKNOWN", "the server could not do it; its log says why"}
	}
	type item struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	writeJSON(w, e.Status, map[string][]item{"errors": {{e.Code, e.Message}}})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client may have gone
}

// path is a place in a repository's folder.
func (g *Registry) path(name string, elem ...string) string {
	return filepath.Join(append([]string{g.dir, filepath.FromSlash(name)}, elem...)...)
}

func hexOf(digest string) (string, error) {
	m := digestHex.FindStringSubmatch(digest)
	if m == nil {
		return "", &Error{http.StatusBadRequest, "DIGEST_INVALID", fmt.Sprintf("digest %q: sha256:HEX is served here", digest)}
	}
	return m[1], nil
}
