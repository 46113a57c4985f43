package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

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
			s.refuse(w, r, http.StatusTooManyRequests, "too many requests")
			return
		}
		if r.ProtoMajor >= 2 {
			w.steady = &steadyWriter{to: out, control: http.NewResponseController(out), patience: s.config.Patience}
		}
		if r.Body != nil && r.Body != http.NoBody {
			r.Body = &steadyBody{ReadCloser: r.Body, control: http.NewResponseController(out), patience: s.config.Patience}
		}
		s.route(w, r)
	})
}

// recorder remembers the status for metrics and the audit log.
type recorder struct {
	http.ResponseWriter
	status int
	steady *steadyWriter // nil for HTTP/1, whose connections see to it
}

func (w *recorder) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

func (w *recorder) Write(p []byte) (int, error) {
	if w.steady != nil {
		return w.steady.Write(p)
	}
	return w.ResponseWriter.Write(p)
}

// ReadFrom keeps sendfile(2) for downloads.
func (w *recorder) ReadFrom(r io.Reader) (int64, error) {
	if w.steady != nil {
		return io.Copy(w.steady, r)
	}
	return io.Copy(w.ResponseWriter, r)
}

func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// route finds what a path means. Paths are cleaned before they get here or refused:
// a name with dots cannot leave its folder.
func (s *Server) route(w *recorder, r *http.Request) {
	p := r.URL.Path
	if clean := path.Clean(p); !strings.HasPrefix(p, "/") || clean != p && clean+"/" != p || strings.Contains(p, "\x00") {
		s.refuse(w, r, http.StatusBadRequest, "bad path")
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
		s.servePage(w, r, p)
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
	zipped := acceptsGzip(r)
	size := x.Size
	if zipped {
		h.Set("Content-Encoding", "gzip")
		size = int64(len(x.Gzip))
	}
	h.Set("Content-Length", strconv.FormatInt(size, 10))
	switch {
	case r.Method == http.MethodHead:
	case zipped:
		_, _ = w.Write(x.Gzip) // the client may have gone
	default:
		_, _ = x.WriteTo(w)
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
	buf := buffers.Get().(*[together]byte)
	defer buffers.Put(buf)
	if small, ok := s.charts.ReadSmall(tenant, file, buf[:]); ok {
		if c, ok := r.Context().Value(connKey{}).(*conn); ok {
			c.hold()
			defer func() { _ = c.release() }() // the client may have gone
		}
		s.fileHead(w, r, file, small.Entry, small.Same)
		if !asksForPart(r) {
			h := w.Header()
			h.Set("Accept-Ranges", "bytes")
			h.Set("Last-Modified", small.Modified.UTC().Format(http.TimeFormat))
			h.Set("Content-Length", strconv.Itoa(len(small.Data)))
			if r.Method == http.MethodGet {
				_, _ = w.Write(small.Data) // the client may have gone
			}
			return
		}
		http.ServeContent(w, r, "", small.Modified, bytes.NewReader(small.Data))
		return
	}
	f, e, err := s.charts.OpenFile(tenant, file)
	if errors.Is(err, depot.ErrNotFound) {
		s.refuse(w, r, http.StatusNotFound, err.Error())
		return
	}
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
	// Overwritten a moment ago, the file is not yet the index's.
	s.fileHead(w, r, file, e, info.Size() == e.Size && info.ModTime().Equal(e.Created))
	http.ServeContent(w, r, "", info.ModTime(), f)
}

// asksForPart tells whether the answer to a request may be less than the whole content.
func asksForPart(r *http.Request) bool {
	for name := range r.Header {
		if name == "Range" || strings.HasPrefix(name, "If-") {
			return true
		}
	}
	return false
}

// fileHead sets the headers of a chart, or of its provenance; known says that its content
// is the entry's.
func (s *Server) fileHead(w *recorder, r *http.Request, file string, e *depot.Entry, known bool) {
	h := w.Header()
	if strings.HasSuffix(file, ".prov") {
		h.Set("Content-Type", "application/pgp-signature")
		return
	}
	h.Set("Content-Type", "application/x-tar")
	if r.Method == http.MethodGet {
		s.metrics.pulls.Add(1)
	}
	if known {
		h.Set("ETag", `"sha256:`+e.Digest+`"`)
	}
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
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
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
	switch status {
	case http.StatusInternalServerError:
		s.config.Log.Error(err.Error())
		writeError(w, status, "the server could not do it; its log says why")
	case http.StatusInsufficientStorage:
		s.config.Log.Error(err.Error())
		writeError(w, status, "the server's disk is full")
	default:
		writeError(w, status, err.Error())
	}
}

func failureStatus(err error) int {
	var tooLarge *http.MaxBytesError
	var broken *depot.UploadError
	switch {
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT): // also that of a form's files
		return http.StatusInsufficientStorage
	case errors.Is(err, depot.ErrNotFound):
		return http.StatusNotFound
	case errors.Is(err, depot.ErrExists):
		return http.StatusConflict
	case errors.Is(err, depot.ErrTooLarge), errors.As(err, &tooLarge):
		return http.StatusRequestEntityTooLarge
	case errors.Is(err, depot.ErrLimit):
		return http.StatusUnprocessableEntity // a 4xx: the client can make room
	case errors.As(err, &broken) && errors.Is(err, os.ErrDeadlineExceeded):
		return http.StatusRequestTimeout
	case errors.Is(err, depot.ErrInvalid), errors.As(err, &broken):
		return http.StatusBadRequest
	}
	return http.StatusInternalServerError
}
