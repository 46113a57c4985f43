package server

import (
	"errors"
	"net/http"

	"github.com/seed38700745/pkg/repo/server/access"
	"github.com/seed38700745/pkg/repo/server/page"
)

// servePage answers with a page, or says on one why not. The list of all tenants is
// for everybody who may see one of them.
func (s *Server) servePage(w *recorder, r *http.Request, p string) {
	v := page.Viewer{
		CanSignIn: s.access.PasswordChallenge() != "",
		MayPull: func(tenant string) bool {
			_, err := s.access.Allow(r, access.Target{Tenant: tenant}, access.Pull)
			return err == nil
		},
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		s.page.Refuse(w, r, v, http.StatusMethodNotAllowed, "method not allowed")
		return
	}
	if s.page.Static(p) {
		s.page.Serve(w, r, p, v)
		return
	}
	u, err := s.access.Identify(r)
	v.User = u.Name
	tenant := s.page.Tenant(p)
	switch {
	case err != nil:
	case p == "" && r.URL.Query().Has("sign-in") && u.Name == "" && v.CanSignIn:
		err = &access.Denied{Status: http.StatusUnauthorized, Reason: "sign in with a user name and a password"}
	case p == "" && s.seesAny(v):
	default:
		_, err = s.access.Allow(r, access.Target{Tenant: tenant}, access.Pull)
	}
	if err == nil {
		s.page.Serve(w, r, p, v)
		return
	}
	var denied *access.Denied
	if !errors.As(err, &denied) {
		s.config.Log.Error("page", "path", r.URL.Path, "error", err)
		s.page.Refuse(w, r, v, http.StatusInternalServerError, "the server could not do it; its log says why")
		return
	}
	if denied.Status == http.StatusUnauthorized {
		challenge := denied.Challenge
		if c := s.access.PasswordChallenge(); c != "" && page.WantsHTML(r) {
			challenge = c // browsers know no token servers
		}
		w.Header().Set("WWW-Authenticate", challenge)
	}
	s.page.Refuse(w, r, v, denied.Status, denied.Reason)
}

// seesAny tells whether there is a tenant that the viewer may see.
func (s *Server) seesAny(v page.Viewer) bool {
	for _, tenant := range s.charts.Tenants() {
		if v.MayPull(tenant) {
			return true
		}
	}
	return false
}

// refuse answers a request outside of the registry and the API that failed.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, status int, reason string) {
	s.page.Refuse(w, r, page.Viewer{}, status, reason)
}
