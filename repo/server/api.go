package server

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"path"
	"regexp"
	"strconv"
	"strings"

	"github.com/seed38700745/pkg/chart"
	"github.com/seed38700745/pkg/repo/server/access"
	"github.com/seed38700745/pkg/repo/server/depot"
)

// serveAPI is ChartMuseum's API. The tenant ends at the first "charts" or "prov",
// which no tenant is called.
func (s *Server) serveAPI(w *recorder, r *http.Request, p string) {
	parts := strings.Split(strings.TrimSuffix(p, "/"), "/")
	at := 0
	for at < len(parts) && parts[at] != "charts" && parts[at] != "prov" {
		at++
	}
	tenant := strings.Join(parts[:at], "/")
	if at == len(parts) || depot.CheckTenant(tenant) != nil {
		writeError(w, http.StatusNotFound, "not found")
		return
	}
	what, rest := parts[at], parts[at+1:]
	target := access.Target{Tenant: tenant}
	switch {
	case r.Method == http.MethodGet || r.Method == http.MethodHead:
		if what == "charts" && s.allowRead(w, r, tenant) {
			s.serveMetadata(w, r, tenant, rest)
		} else if what != "charts" {
			writeError(w, http.StatusMethodNotAllowed, "method not allowed")
		}
	case r.Method == http.MethodPost && len(rest) == 0:
		user, ok := s.allow(w, r, target, access.Push)
		if !ok {
			return
		}
		a := auditEntry{User: user, Action: "push", Tenant: tenant}
		s.audited(w, r, &a, func() error { return s.upload(w, r, what, tenant, &a) })
	case r.Method == http.MethodDelete && what == "charts" && len(rest) == 2:
		user, ok := s.allow(w, r, target, access.Delete)
		if !ok {
			return
		}
		a := auditEntry{User: user, Action: "delete", Tenant: tenant, Name: rest[0], Version: rest[1]}
		s.audited(w, r, &a, func() error {
			if err := s.charts.Delete(tenant, rest[0], rest[1]); err != nil {
				return err
			}
			writeJSON(w, http.StatusOK, map[string]bool{"deleted": true})
			return nil
		})
	default:
		writeError(w, http.StatusMethodNotAllowed, "method not allowed")
	}
}

// audited runs a write, answers its error, and logs it.
func (s *Server) audited(w *recorder, r *http.Request, a *auditEntry, write func() error) {
	if err := write(); err != nil {
		a.Error = err.Error()
		s.writeFailure(w, err)
	}
	a.Status = w.status
	s.record(r, a)
}

func (s *Server) serveMetadata(w *recorder, r *http.Request, tenant string, rest []string) {
	switch len(rest) {
	case 0:
		s.listCharts(w, r, tenant)
	case 1:
		list := s.charts.Versions(tenant, rest[0])
		if len(list) == 0 {
			s.writeFailure(w, fmt.Errorf("chart %s: %w", rest[0], depot.ErrNotFound))
			return
		}
		var out bytes.Buffer
		depot.WriteList(&out, list)
		writeRaw(w, http.StatusOK, out.Bytes())
	case 2, 3:
		e, err := s.charts.Find(tenant, rest[0], rest[1])
		switch {
		case err != nil:
			s.writeFailure(w, err)
		case len(rest) == 2:
			writeRaw(w, http.StatusOK, e.JSON)
		default:
			s.serveContent(w, tenant, e, rest[2])
		}
	default:
		writeError(w, http.StatusNotFound, "not found")
	}
}

func (s *Server) listCharts(w *recorder, r *http.Request, tenant string) {
	offset, err1 := number(r, "offset", 0)
	limit, err2 := number(r, "limit", -1)
	if err := errors.Join(err1, err2); err != nil {
		writeError(w, http.StatusBadRequest, err.Error())
		return
	}
	names := s.charts.Names(tenant)
	names = names[min(offset, len(names)):]
	if limit >= 0 {
		names = names[:min(limit, len(names))]
	}
	out := bytes.NewBufferString("{")
	for _, name := range names {
		list := s.charts.Versions(tenant, name)
		if len(list) == 0 {
			continue // deleted meanwhile
		}
		if out.Len() > 1 {
			out.WriteByte(',')
		}
		fmt.Fprintf(out, "%q:", name)
		depot.WriteList(out, list)
	}
	out.WriteByte('}')
	writeRaw(w, http.StatusOK, out.Bytes())
}

func number(r *http.Request, name string, missing int) (int, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return missing, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%s is not a number: %q", name, text)
	}
	return n, nil
}

// serveContent is the templates or the values of one version.
func (s *Server) serveContent(w *recorder, tenant string, e *depot.Entry, what string) {
	c, err := s.charts.Load(tenant, e)
	if err != nil {
		s.writeFailure(w, err)
		return
	}
	switch what {
	case "values":
		w.Header().Set("Content-Type", "application/yaml; charset=utf-8")
		_, _ = w.Write(chart.RawFile(c, chart.ValuesfileName)) // the client may have gone
	case "templates":
		writeJSON(w, http.StatusOK, map[string]any{"templates": c.Templates, "values": c.Values})
	default:
		writeError(w, http.StatusNotFound, "not found")
	}
}

// formOverhead is what a multipart form has around its files, in bytes.
const formOverhead = 1 << 20

// upload stores the body of a POST: a chart, its provenance, or a form of both.
func (s *Server) upload(w *recorder, r *http.Request, what, tenant string, a *auditEntry) error {
	_, force := r.URL.Query()["force"]
	if v := r.URL.Query().Get("force"); v == "false" || v == "0" {
		force = false
	}
	kind, params, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	r.Body = http.MaxBytesReader(w, r.Body, s.charts.MaxUpload()+formOverhead)
	u := depot.Upload{Tenant: tenant, Force: force, Archive: r.Body}
	switch {
	case kind == "multipart/form-data":
		if params["boundary"] == "" {
			return fmt.Errorf("%w form: no boundary", depot.ErrInvalid)
		}
		return s.uploadForm(w, r, u, a)
	case what == "prov":
		data, err := io.ReadAll(r.Body)
		if err != nil {
			return &depot.UploadError{Err: err}
		}
		return s.storeProvenance(w, u, data, a)
	}
	return s.storeChart(w, r, u, a)
}

// uploadForm reads the fields "chart" and "prov", in any order. A provenance
// without a chart belongs to one that is there.
func (s *Server) uploadForm(w *recorder, r *http.Request, u depot.Upload, a *auditEntry) error {
	const inMemory = 1 << 20 // bytes; more goes to a file
	if err := r.ParseMultipartForm(inMemory); err != nil {
		return &depot.UploadError{Err: err}
	}
	defer func() { _ = r.MultipartForm.RemoveAll() }() // files in the system's folder for such
	read := func(field string) (io.ReadCloser, error) {
		files := r.MultipartForm.File[field]
		if len(files) == 0 {
			return nil, nil
		}
		return files[0].Open()
	}
	archive, err := read("chart")
	if err != nil {
		return err
	}
	prov, err := read("prov")
	if err != nil {
		return err
	}
	if prov != nil {
		defer prov.Close()
		if u.Provenance, err = io.ReadAll(prov); err != nil {
			return err
		}
	}
	switch {
	case archive != nil:
		defer archive.Close()
		u.Archive = archive
		return s.storeChart(w, r, u, a)
	case prov != nil:
		return s.storeProvenance(w, u, u.Provenance, a)
	}
	return fmt.Errorf("%w form: neither a field chart nor a field prov", depot.ErrInvalid)
}

func (s *Server) storeChart(w *recorder, r *http.Request, u depot.Upload, a *auditEntry) error {
	if u.Provenance != nil {
		if _, err := provenanceFile(u.Provenance); err != nil {
			return err
		}
	}
	e, err := s.charts.Put(r.Context(), u)
	if err != nil {
		return err
	}
	a.Name, a.Version, a.Digest = e.Name, e.Version, e.Digest
	writeJSON(w, http.StatusCreated, map[string]bool{"saved": true})
	return nil
}

func (s *Server) storeProvenance(w *recorder, u depot.Upload, data []byte, a *auditEntry) error {
	file, err := provenanceFile(data)
	if err != nil {
		return err
	}
	a.Name = file + ".prov"
	if err := s.charts.PutProvenance(u.Tenant, file, data, u.Force); err != nil {
		return err
	}
	writeJSON(w, http.StatusCreated, map[string]bool{"saved": true})
	return nil
}

// signedFile is the line of a provenance file that names the archive.
var signedFile = regexp.MustCompile(`(?m)^\s+["']?([^\s"'/]+\.tgz)["']?: ["']?sha256:[0-9a-f]{64}`)

// provenanceFile finds which archive a provenance file signs.
func provenanceFile(data []byte) (string, error) {
	m := signedFile.FindSubmatch(data)
	if m == nil || !bytes.HasPrefix(bytes.TrimSpace(data), []byte("-----BEGIN PGP SIGNED MESSAGE-----")) {
		return "", fmt.Errorf("%w provenance file: it signs no chart archive", depot.ErrInvalid)
	}
	return path.Base(string(m[1])), nil
}
