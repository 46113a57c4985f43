package registry

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Serve answers a request that was parsed and allowed. MayPull tells whether the
// user may read another repository: for mounts and the catalog.
func (g *Registry) Serve(w http.ResponseWriter, r *http.Request, q Request, mayPull func(name string) bool) error {
	w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
	read := r.Method == http.MethodGet || r.Method == http.MethodHead
	switch {
	case q.kind == "" && read:
		writeJSON(w, http.StatusOK, struct{}{})
	case q.kind == "catalog" && read:
		return g.serveCatalog(w, r, mayPull)
	case q.kind == "tags" && read:
		return g.serveTags(w, r, q)
	case q.kind == "referrers" && read:
		return g.serveReferrers(w, r, q)
	case q.kind == "manifests":
		return g.serveManifest(w, r, q)
	case q.kind == "blobs" && read:
		return g.serveBlob(w, r, q)
	case q.kind == "blobs" && r.Method == http.MethodDelete:
		return g.deleteBlob(w, q)
	case q.kind == "uploads":
		return g.serveUpload(w, r, q, mayPull)
	default:
		return errMethod
	}
	return nil
}

var errMethod = &Error{http.StatusMethodNotAllowed, "UNSUPPORTED", "method not allowed"}

func (g *Registry) serveManifest(w http.ResponseWriter, r *http.Request, q Request) error {
	h := w.Header()
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		m, err := g.find(q)
		if err != nil {
			return err
		}
		h.Set("Content-Type", m.MediaType)
		h.Set("Docker-Content-Digest", m.digest)
		h.Set("ETag", `"`+m.digest+`"`)
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader(string(m.data)))
	case http.MethodPut:
		data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxManifest))
		if err != nil {
			return &Error{http.StatusRequestEntityTooLarge, "SIZE_INVALID", "manifest broke off or is larger than 4 MiB"}
		}
		m, err := g.put(r.Context(), q, data, r.Header.Get("Content-Type"))
		if err != nil {
			return err
		}
		if m.Subject != nil {
			h.Set("OCI-Subject", m.Subject.Digest)
		}
		h.Set("Location", "/v2/"+q.Name+"/manifests/"+m.digest)
		h.Set("Docker-Content-Digest", m.digest)
		w.WriteHeader(http.StatusCreated)
	case http.MethodDelete:
		if err := g.remove(q); err != nil {
			return err
		}
		w.WriteHeader(http.StatusAccepted)
	default:
		return errMethod
	}
	return nil
}

func (g *Registry) serveBlob(w http.ResponseWriter, r *http.Request, q Request) error {
	if r.Method == http.MethodHead {
		g.touch(q.Name, q.ref) // who asks whether a blob is there may be about to name it
	}
	f, err := g.openBlob(q, q.ref)
	if err != nil {
		return err
	}
	defer f.Close()
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Docker-Content-Digest", q.ref)
	h.Set("ETag", `"`+q.ref+`"`)
	h.Set("Cache-Control", "max-age=31536000, immutable")
	http.ServeContent(w, r, "", time.Time{}, f)
	return nil
}

// deleteBlob removes a blob that no manifest names.
func (g *Registry) deleteBlob(w http.ResponseWriter, q Request) error {
	hex, err := hexOf(q.ref)
	if err != nil {
		return err
	}
	defer g.lock(q.Name)()
	used, err := g.named(q.Name)
	if err != nil {
		return err
	}
	if used[q.ref] {
		return &Error{http.StatusConflict, "DENIED", fmt.Sprintf("a manifest names blob %s: delete that first", q.ref)}
	}
	err = removeFile(g.path(q.Name, "_blobs", hex))
	if errors.Is(err, fs.ErrNotExist) {
		return &Error{http.StatusNotFound, "BLOB_UNKNOWN", "no such blob"}
	}
	if err == nil {
		w.WriteHeader(http.StatusAccepted)
	}
	return err
}

func (g *Registry) serveUpload(w http.ResponseWriter, r *http.Request, q Request, mayPull func(string) bool) error {
	if q.ref == "" {
		if r.Method != http.MethodPost {
			return errMethod
		}
		return g.startUpload(w, r, q, mayPull)
	}
	u, err := g.findUpload(q)
	if err != nil {
		return err
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		g.uploadStatus(w, u, http.StatusNoContent)
	case http.MethodPatch:
		if err := u.checkRange(r.Header.Get("Content-Range")); err != nil {
			return err
		}
		if err := g.receive(u, r.Body); err != nil {
			return err
		}
		g.uploadStatus(w, u, http.StatusAccepted)
	case http.MethodPut:
		if err := u.checkRange(r.Header.Get("Content-Range")); err != nil {
			return err
		}
		return g.finishUpload(w, r, u)
	case http.MethodDelete:
		g.endUpload(u)
		w.WriteHeader(http.StatusNoContent)
	default:
		return errMethod
	}
	return nil
}

func (g *Registry) startUpload(w http.ResponseWriter, r *http.Request, q Request, mayPull func(string) bool) error {
	query := r.URL.Query()
	if digest, from := query.Get("mount"), query.Get("from"); digest != "" && from != "" && mayPull(from) && g.mount(q.Name, from, digest) {
		g.created(w, q.Name, digest)
		return nil
	}
	u, err := g.newUpload(q.Name)
	if err != nil {
		return err
	}
	if query.Get("digest") != "" {
		defer g.endUpload(u) // nobody else knows of it
		return g.finishUpload(w, r, u)
	}
	g.uploadStatus(w, u, http.StatusAccepted)
	return nil
}

func (g *Registry) finishUpload(w http.ResponseWriter, r *http.Request, u *upload) error {
	digest := r.URL.Query().Get("digest")
	if _, err := hexOf(digest); err != nil {
		return err
	}
	if err := g.receive(u, r.Body); err != nil {
		return err
	}
	if err := g.finish(u, digest); err != nil {
		return err
	}
	g.created(w, u.name, digest)
	return nil
}

func (g *Registry) created(w http.ResponseWriter, name, digest string) {
	w.Header().Set("Location", "/v2/"+name+"/blobs/"+digest)
	w.Header().Set("Docker-Content-Digest", digest)
	w.WriteHeader(http.StatusCreated)
}

func (g *Registry) uploadStatus(w http.ResponseWriter, u *upload, status int) {
	u.mu.Lock()
	last := max(0, u.size-1)
	u.mu.Unlock()
	w.Header().Set("Location", "/v2/"+u.name+"/blobs/uploads/"+u.id)
	w.Header().Set("Docker-Upload-Uuid", u.id)
	w.Header().Set("Range", fmt.Sprintf("0-%d", last))
	w.WriteHeader(status)
}

// checkRange refuses a chunk that does not begin where the last ended.
func (u *upload) checkRange(header string) error {
	if header == "" {
		return nil
	}
	from, _, _ := strings.Cut(strings.TrimPrefix(header, "bytes "), "-")
	start, err := strconv.ParseInt(from, 10, 64)
	u.mu.Lock()
	defer u.mu.Unlock()
	if err != nil || start != u.size {
		return &Error{http.StatusRequestedRangeNotSatisfiable, "BLOB_UPLOAD_INVALID", fmt.Sprintf("the next byte is %d, not %s", u.size, from)}
	}
	return nil
}

// serveTags lists a repository's tags: those stored, and the chart's versions.
func (g *Registry) serveTags(w http.ResponseWriter, r *http.Request, q Request) error {
	tags, err := g.storedTags(q.Name)
	if err != nil {
		return err
	}
	tags = slices.DeleteFunc(tags, func(tag string) bool {
		one := q
		one.ref = tag
		_, err := g.find(one) // a chart may have been deleted in the depot
		return isUnknown(err)
	})
	for _, e := range g.charts.Versions(q.Tenant, q.Chart) {
		tags = append(tags, tagOf(e.Version))
	}
	if len(tags) == 0 {
		return &Error{http.StatusNotFound, "NAME_UNKNOWN", fmt.Sprintf("repository %s is not known", q.Name)}
	}
	slices.Sort(tags)
	tags = page(w, r, slices.Compact(tags))
	writeJSON(w, http.StatusOK, map[string]any{"name": q.Name, "tags": tags})
	return nil
}

// page cuts a sorted list to what ?n= and ?last= ask for, and links the rest.
func page(w http.ResponseWriter, r *http.Request, list []string) []string {
	if last := r.URL.Query().Get("last"); last != "" {
		at, found := slices.BinarySearch(list, last)
		if found {
			at++
		}
		list = list[at:]
	}
	n, err := strconv.Atoi(r.URL.Query().Get("n"))
	if err != nil || n < 0 || n >= len(list) {
		return list
	}
	if n > 0 {
		w.Header().Set("Link", fmt.Sprintf(`<%s?n=%d&last=%s>; rel="next"`, r.URL.Path, n, url.QueryEscape(list[n-1])))
	}
	return list[:n]
}

func (g *Registry) serveCatalog(w http.ResponseWriter, r *http.Request, mayPull func(string) bool) error {
	names := map[string]bool{}
	for _, tenant := range g.charts.Tenants() {
		for _, chart := range g.charts.Names(tenant) {
			if name := strings.TrimPrefix(tenant+"/"+chart, "/"); validName(name) {
				names[name] = true
			}
		}
	}
	err := g.walk(func(name, folder string) error {
		names[name] = names[name] || folder == "_manifests"
		return nil
	})
	if err != nil {
		return err
	}
	list := []string{}
	for name, there := range names {
		if there && mayPull(name) {
			list = append(list, name)
		}
	}
	slices.Sort(list)
	writeJSON(w, http.StatusOK, map[string][]string{"repositories": page(w, r, list)})
	return nil
}

// serveReferrers lists manifests about another one: signatures, SBOMs.
func (g *Registry) serveReferrers(w http.ResponseWriter, r *http.Request, q Request) error {
	if _, err := hexOf(q.ref); err != nil {
		return err
	}
	found, err := g.referrers(q, q.ref)
	if err != nil {
		return err
	}
	want := r.URL.Query().Get("artifactType")
	if want != "" {
		found = slices.DeleteFunc(found, func(d descriptor) bool { return d.ArtifactType != want })
		w.Header().Set("OCI-Filters-Applied", "artifactType")
	}
	w.Header().Set("Content-Type", typeIndex)
	writeIndex(w, found)
	return nil
}

// referrers are the manifests of a repository about the one with a digest, or about
// any for "".
func (g *Registry) referrers(q Request, digest string) ([]descriptor, error) {
	found := []descriptor{}
	list, err := os.ReadDir(g.path(q.Name, "_manifests"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, item := range list {
		m, err := g.readManifest(q, "sha256:"+item.Name())
		if err != nil || m.Subject == nil || digest != "" && m.Subject.Digest != digest {
			continue
		}
		kind := m.ArtifactType
		if kind == "" && m.Config != nil {
			kind = m.Config.MediaType
		}
		found = append(found, descriptor{MediaType: m.MediaType, Digest: m.digest, Size: int64(len(m.data)), ArtifactType: kind, Annotations: m.Annotations, subject: m.Subject.Digest})
	}
	return found, nil
}

func writeIndex(w http.ResponseWriter, list []descriptor) {
	data, err := json.Marshal(struct {
		SchemaVersion int          `json:"schemaVersion"`
		MediaType     string       `json:"mediaType"`
		Manifests     []descriptor `json:"manifests"`
	}{2, typeIndex, list})
	if err == nil {
		_, _ = w.Write(data) // the client may have gone
	}
}
