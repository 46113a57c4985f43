package server

import (
	"errors"
	"net/http"
	"strings"

	"github.com/seed38700745/pkg/repo/server/access"
	"github.com/seed38700745/pkg/repo/server/registry"
)

// serveRegistry checks the rights of a request below /v2 and has it answered.
func (s *Server) serveRegistry(w *recorder, r *http.Request) {
	q, err := registry.Parse(strings.Trim(strings.TrimPrefix(r.URL.Path, "/v2"), "/"))
	if err != nil {
		registry.WriteError(w, err)
		return
	}
	user, err := s.allowRegistry(r, q)
	if err != nil {
		denyRegistry(w, err)
		return
	}
	mayPull := func(name string) bool {
		other, err := registry.Parse(name + "/tags/list")
		if err != nil {
			return false
		}
		_, err = s.access.Allow(r, access.Target{Tenant: other.Tenant, Image: other.Name}, access.Pull)
		return err == nil
	}
	err = s.registry.Serve(w, r, q, mayPull)
	if err != nil {
		if registry.AsError(err).Status >= http.StatusInternalServerError {
			s.config.Log.Error("registry", "path", r.URL.Path, "error", err)
		}
		registry.WriteError(w, err)
	}
	// A push is written down when something is there, not for each chunk of it.
	right := registryRight(r.Method)
	if started := right == access.Push && w.status == http.StatusAccepted; right != access.Pull && !started {
		a := auditEntry{User: user, Action: string(right), Tenant: q.Tenant, Name: strings.TrimPrefix(r.URL.Path, "/v2/"), Status: w.status}
		a.Digest = w.Header().Get("Docker-Content-Digest")
		if err != nil {
			a.Error = err.Error()
		}
		s.record(r, &a)
	}
}

// allowRegistry checks rights. The bare /v2/ is where clients find out how to sign
// in, so it asks for that wherever there is a way to.
func (s *Server) allowRegistry(r *http.Request, q registry.Request) (string, error) {
	if q.Name != "" {
		return s.access.Allow(r, access.Target{Tenant: q.Tenant, Image: q.Name}, registryRight(r.Method))
	}
	return "", s.access.Ping(r)
}

func registryRight(method string) access.Right {
	switch method {
	case http.MethodGet, http.MethodHead:
		return access.Pull
	case http.MethodDelete:
		return access.Delete
	}
	return access.Push
}

func denyRegistry(w http.ResponseWriter, err error) {
	var denied *access.Denied
	if !errors.As(err, &denied) {
		registry.WriteError(w, err)
		return
	}
	code := "DENIED"
	if denied.Status == http.StatusUnauthorized {
		code = "UNAUTHORIZED"
		w.Header().Set("WWW-Authenticate", denied.Challenge)
	}
	registry.WriteError(w, &registry.Error{Status: denied.Status, Code: code, Message: denied.Reason})
}
