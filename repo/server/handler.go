package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/seed38700745/pkg/repo/server/access"
	"github.com/seed38700745/pkg/repo/server/depot"
)

// Handler answers all requests.
func (s *Server) Handler() http.Handler {
	return http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		w := &recorder{ResponseWriter: out, status: http.StatusOK}
		start := time.Now()
		defer func() { s.metrics.request(r.Method, w.status, time.Since(start)) }()
		w.Header().Set("X-Content-Type-Options", "nosniff")
		if !s.limits.Allow(r) {
			w.Header().Set("Retry-After", "1")
			writeError(w, http.StatusTooManyRequests, "too many requests")
			return
		}
		if r.Body != nil && r.Body != http.NoBody {
			r.Body = &steadyBody{ReadCloser: r.Body, control: http.NewResponseController(out)}
		}
		s.route(w, r)
	})
}

// recorder remembers the status for metrics and the audit log.
type recorder struct {
	http.ResponseWriter
	status int
}

func (w *recorder) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// ReadFrom keeps sendfile(2) for downloads.
func (w *recorder) ReadFrom(r io.Reader) (int64, error) { return io.Copy(w.ResponseWriter, r) }

func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// bodyPause is how long a client may send nothing in the middle of a body.
const bodyPause = 30 * time.Second

// steadyBody ends uploads of clients that stop sending.
type steadyBody struct {
	io.ReadCloser
	control *http.ResponseController
	read    int
}

func (b *steadyBody) Read(p []byte) (int, error) {
	const often = 1 << 20 // bytes between two looks at the clock
	if b.read == 0 || b.read > often {
		b.read = 0
		_ = b.control.SetReadDeadline(time.Now().Add(bodyPause)) // not over a recorded connection
	}
	n, err := b.ReadCloser.Read(p)
	b.read += max(n, 1)
	if errors.Is(err, io.EOF) {
		_ = b.control.SetReadDeadline(time.Time{})
	}
	return n, err
}

// route finds what a path means. Paths are cleaned before they get here or refused:
// a name with dots cannot leave its folder.
func (s *Server) route(w *recorder, r *http.Request) {
	p := r.URL.Path
	if clean := path.Clean("/" + p); clean != p && clean+"/" != p || strings.Contains(p, "\x00") {
		writeError(w, http.StatusBadRequest, "bad path")
		return
	}
	switch {
	case p == "/health":
		writeJSON(w, http.StatusOK, map[string]bool{"healthy": true})
	case p == "/info":
		writeJSON(w, http.StatusOK, map[string]string{"version": s.config.Version})
	case p == "/metrics":
		s.serveMetrics(w, r)
	case p == "/token" && s.access.Issues():
		s.access.ServeToken(w, r)
	case p == "/v2" || strings.HasPrefix(p, "/v2/"):
		s.serveRegistry(w, r)
	case strings.HasPrefix(p, "/api/"):
		s.serveAPI(w, r, strings.TrimPrefix(p, "/api/"))
	default:
		s.serveRepository(w, r, strings.TrimPrefix(p, "/"))
	}
}

// serveRepository is Helm's repository, and the page for everything else.
func (s *Server) serveRepository(w *recorder, r *http.Request, p string) {
	dir, file := path.Split(p)
	dir = strings.TrimSuffix(dir, "/")
	parent, last := path.Split(dir)
	switch {
	case file == "index.yaml" && depot.CheckTenant(dir) == nil:
		if s.allowRead(w, r, dir) {
			s.serveIndex(w, r, dir)
		}
	case last == "charts" && file != "":
		tenant := strings.TrimSuffix(parent, "/")
		if s.allowRead(w, r, tenant) {
			s.serveFile(w, r, tenant, file)
		}
	default:
		tenant := s.page.Tenant(p)
		if s.allowRead(w, r, tenant) {
			s.page.Serve(w, r, p, func(tenant string) bool {
				_, err := s.access.Allow(r, access.Target{Tenant: tenant}, access.Pull)
				return err == nil
			})
		}
	}
}

// allowRead checks the method and the right to pull, and answers when either fails.
func (s *Server) allowRead(w http.ResponseWriter, r *http.Request, tenant string) bool {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		writeError(w, http.StatusMethodNotAllowed, "method not allowed")
		return false
	}
	_, ok := s.allow(w, r, access.Target{Tenant: tenant}, access.Pull)
	return ok
}

// allow returns the user who has a right, and answers a request that lacks it.
func (s *Server) allow(w http.ResponseWriter, r *http.Request, t access.Target, right access.Right) (string, bool) {
	user, err := s.access.Allow(r, t, right)
	var denied *access.Denied
	switch {
	case err == nil:
		return user, true
	case errors.As(err, &denied):
		if denied.Challenge != "" {
			w.Header().Set("WWW-Authenticate", denied.Challenge)
		}
		writeError(w, denied.Status, denied.Reason)
	default:
		writeError(w, http.StatusInternalServerError, err.Error())
	}
	return user, false
}

func (s *Server) serveIndex(w *recorder, r *http.Request, tenant string) {
	x := s.charts.Index(tenant)
	h := w.Header()
	h.Set("Content-Type", "application/yaml; charset=utf-8")
	h.Set("Cache-Control", "no-cache") // keep, but ask
	h.Set("Vary", "Accept-Encoding")
	h.Set("ETag", x.ETag)
	if matchesETag(r.Header.Get("If-None-Match"), x.ETag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	body := x.Gzip
	if acceptsGzip(r) {
		h.Set("Content-Encoding", "gzip")
	} else {
		body = x.Plain()
	}
	h.Set("Content-Length", fmt.Sprint(len(body)))
	if r.Method == http.MethodGet {
		_, _ = w.Write(body) // the client may have gone
	}
}

func matchesETag(header, tag string) bool {
	for _, one := range strings.Split(header, ",") {
		one = strings.TrimPrefix(strings.TrimSpace(one), "W/")
		if one == tag || one == "*" {
			return true
		}
	}
	return false
}

func acceptsGzip(r *http.Request) bool {
	for _, one := range strings.Split(r.Header.Get("Accept-Encoding"), ",") {
		name, q, _ := strings.Cut(strings.TrimSpace(one), ";")
		if strings.EqualFold(name, "gzip") && strings.ReplaceAll(q, " ", "") != "q=0" {
			return true
		}
	}
	return false
}

func (s *Server) serveFile(w *recorder, r *http.Request, tenant, file string) {
	f, e, err := s.charts.OpenFile(tenant, file)
	if err != nil {
		s.writeFailure(w, err)
		return
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		s.writeFailure(w, err)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/x-tar")
	if strings.HasSuffix(file, ".prov") {
		h.Set("Content-Type", "application/pgp-signature")
	} else {
		if r.Method == http.MethodGet {
			s.metrics.pulls.Add(1)
		}
		// Overwritten a moment ago, the file is not yet the index's.
		if info.Size() == e.Size && info.ModTime().Equal(e.Created) {
			h.Set("ETag", `"sha256:`+e.Digest+`"`)
		}
	}
	http.ServeContent(w, r, "", info.ModTime(), f)
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	data, err := json.Marshal(v)
	if err != nil {
		status, data = http.StatusInternalServerError, []byte(`{"error":"cannot encode the answer"}`)
	}
	writeRaw(w, status, data)
}

func writeRaw(w http.ResponseWriter, status int, data []byte) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Content-Length", fmt.Sprint(len(data)))
	w.WriteHeader(status)
	_, _ = w.Write(data) // the client may have gone
}

// writeError answers in ChartMuseum's shape of errors.
func writeError(w http.ResponseWriter, status int, text string) {
	writeJSON(w, status, map[string]string{"error": text})
}

// writeFailure answers with the status that an error of the depot means.
func (s *Server) writeFailure(w http.ResponseWriter, err error) {
	status := failureStatus(err)
	if status == http.StatusInternalServerError {
		s.config.Log.Error(err.Error())
		writeError(w, status, "the server could not do it; its log says why")
		return
	}
	writeError(w, status, err.Error())
}

func failureStatus(err error) int {
	var tooLarge *http.MaxBytesError
	var broken *depot.UploadError
	switch {
	case errors.Is(err, depot.ErrNotFound):
		return http.StatusNotFound
	case errors.Is(err, depot.ErrExists):
		return http.StatusConflict
	case errors.Is(err, depot.ErrTooLarge), errors.As(err, &tooLarge):
		return http.StatusRequestEntityTooLarge
	case errors.Is(err, depot.ErrLimit):
		return http.StatusUnprocessableEntity // a 4xx: the client can make room
	case errors.Is(err, depot.ErrInvalid), errors.As(err, &broken):
		return http.StatusBadRequest
	}
	return http.StatusInternalServerError
}
