// Package registry is an OCI registry (distribution-spec 1.1) over a folder, which
// shows the charts of a depot as well and gives it those that are pushed here.
//
// ARCHITECTURE.md says why it is not CNCF distribution.
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
// is not there. Unfinished uploads end with the process, or after a day. Blobs that no
// manifest names go a day after somebody last asked for them or sent them; see Sweep.
//
// Chart V of tenant org/repo is org/repo/NAME:V, with "_" for "+" as Helm has it. A
// last folder "charts" is the tenant itself: oci://host/charts/NAME is a chart of the root.
package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed38700745/pkg/repo/server/depot"
)

// Limits, in bytes.
const (
	// maxManifest is what the specification asks registries to take at least.
	maxManifest = 4 << 20
	maxBlob     = 32 << 30
)

const (
	// uploadLife is how long an upload is kept that nobody continues.
	uploadLife = 24 * time.Hour
	// grace is how long a blob may be there before a manifest names it.
	grace = 24 * time.Hour
	// sweepTime is how often what is too old is looked for.
	sweepTime = time.Hour
)

// Registry is safe for concurrent use.
type Registry struct {
	dir    string
	charts *depot.Depot
	log    *slog.Logger

	mu      sync.Mutex
	uploads map[string]*upload // by id; guarded by mu

	signatures map[string]signatures // by repository; guarded by mu

	// repositories are locks, each for those names that hash to it: held while a
	// manifest, its tags and the parts it names change or are looked at.
	repositories [256]sync.Mutex
}

// Open opens a folder, which is made when it is not there.
func Open(dir string, charts *depot.Depot, log *slog.Logger) (*Registry, error) {
	g := &Registry{dir: dir, charts: charts, log: log, uploads: map[string]*upload{}, signatures: map[string]signatures{}}
	if err := os.RemoveAll(g.tmp()); err != nil {
		return nil, err
	}
	return g, os.MkdirAll(g.tmp(), 0o755)
}

func (g *Registry) tmp() string { return filepath.Join(g.dir, "_tmp") }

// lock keeps others from changing a repository's manifests, until the function it returns
// is called.
func (g *Registry) lock(name string) (unlock func()) {
	hash := fnv.New32a()
	_, _ = io.WriteString(hash, name) // a hash takes everything
	one := &g.repositories[hash.Sum32()%uint32(len(g.repositories))]
	one.Lock()
	return one.Unlock
}

// Run drops what was abandoned until ctx ends.
func (g *Registry) Run(ctx context.Context) error {
	tick := time.NewTicker(sweepTime)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			g.dropUploads(now.Add(-uploadLife))
			swept, err := g.Sweep(ctx, now.Add(-grace))
			if swept.Blobs > 0 || swept.Tags > 0 {
				g.log.Info("registry swept", "blobs", swept.Blobs, "bytes", swept.Bytes, "tags", swept.Tags)
			}
			if err != nil && ctx.Err() == nil {
				g.log.Error("registry sweep", "error", err)
			}
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

// AsError finds the answer that an error means; others than *Error and the depot's are
// shown without detail.
func AsError(err error) *Error {
	var e *Error
	switch {
	case errors.As(err, &e):
		return e
	case errors.Is(err, depot.ErrExists):
		return &Error{http.StatusConflict, "DENIED", err.Error()}
	case errors.Is(err, depot.ErrNotFound):
		return &Error{http.StatusNotFound, "MANIFEST_UNKNOWN", err.Error()}
	case errors.Is(err, depot.ErrTooLarge):
		return &Error{http.StatusRequestEntityTooLarge, "SIZE_INVALID", err.Error()}
	case errors.Is(err, depot.ErrInvalid), errors.Is(err, depot.ErrLimit):
		return &Error{http.StatusBadRequest, "MANIFEST_INVALID", err.Error()}
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return &Error{http.StatusInsufficientStorage, "UNKNOWN", "the server's disk is full"}
	}
	return &Error{http.StatusInternalServerError, "UNKNOWN", "the server could not do it; its log says why"}
}

// WriteError answers with what AsError says.
func WriteError(w http.ResponseWriter, err error) {
	type item struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	e := AsError(err)
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
