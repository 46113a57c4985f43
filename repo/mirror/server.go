package mirror

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"

	"github.com/seed38700745/pkg/repo"
)

// Server is a repository with ChartMuseum's API, as pkg repo serve has it. Opened by
// OpenServer.
type Server struct {
	resolver *repo.Resolver
	upload   string // URL of the API for charts
	access   repo.Access
	there    map[[2]string]string // SHA-256 by chart and version
}

// OpenServer reads what a server has. One whose repository is below a path,
// https://charts.example.com/org/repo, has its API at /api/org/repo/charts.
func OpenServer(ctx context.Context, r *repo.Resolver, target string, access repo.Access) (*Server, error) {
	u, err := url.Parse(target)
	if err != nil {
		return nil, err
	}
	api := *u
	api.Path = "/api" + strings.TrimSuffix(u.Path, "/") + "/charts"
	s := &Server{resolver: r, upload: api.String(), access: access, there: map[[2]string]string{}}
	if empty, err := s.isEmpty(ctx, strings.TrimSuffix(target, "/")); err != nil || empty {
		return s, err
	}
	list, _, err := r.List(ctx, strings.TrimSuffix(target, "/"), access)
	if err != nil {
		return nil, err
	}
	for _, l := range list {
		s.there[[2]string{l.Chart, l.Version}] = strings.TrimPrefix(l.Digest, "sha256:")
	}
	return s, nil
}

// isEmpty tells whether there is no index: pkg repo serve has none for a path where
// nobody has put anything. Whether there is a server at all, the first upload shows.
func (s *Server) isEmpty(ctx context.Context, target string) (bool, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, target+"/index.yaml", nil)
	if err != nil {
		return false, err
	}
	answer, err := s.resolver.Send(req, s.access)
	if err != nil {
		return false, err
	}
	return answer.StatusCode == http.StatusNotFound, answer.Body.Close()
}

// Has looks into what the server had.
func (s *Server) Has(_ context.Context, l repo.Listed) (string, error) {
	return s.there[[2]string{l.Chart, l.Version}], nil
}

// Put uploads the archive with its provenance in one request.
func (s *Server) Put(ctx context.Context, l repo.Listed, a *repo.Archive) error {
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	for _, part := range []struct {
		field, name string
		data        []byte
	}{{"chart", a.Name, a.Data}, {"prov", a.Name + ".prov", a.Provenance}} {
		if part.data == nil {
			continue
		}
		w, err := form.CreateFormFile(part.field, part.name)
		if err == nil {
			_, err = w.Write(part.data)
		}
		if err != nil {
			return err
		}
	}
	if err := form.Close(); err != nil {
		return err
	}
	target := s.upload
	if s.there[[2]string{l.Chart, l.Version}] != "" {
		target += "?force"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, &body)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", form.FormDataContentType())
	answer, err := s.resolver.Send(req, s.access)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, 1<<16))
	if err != nil || answer.StatusCode == http.StatusCreated {
		return err
	}
	var said struct{ Error string }
	if json.Unmarshal(text, &said) == nil && said.Error != "" {
		return fmt.Errorf("%s: %s", answer.Status, said.Error)
	}
	return errors.New(answer.Status)
}

// Finish has nothing to do: the server keeps its index.
func (s *Server) Finish(context.Context, bool) error { return nil }
