package server

import (
	"encoding/json"
	"net/http"
	"time"
)

// auditEntry is a line of the audit log.
type auditEntry struct {
	Time    time.Time `json:"time"`
	User    string    `json:"user"`
	Remote  string    `json:"remote"`
	Action  string    `json:"action"` // push or delete
	Tenant  string    `json:"repository"`
	Name    string    `json:"name,omitempty"`
	Version string    `json:"version,omitempty"`
	Digest  string    `json:"digest,omitempty"`
	Status  int       `json:"status"`
	Error   string    `json:"error,omitempty"`
}

// record appends to the audit log. A log that cannot be written is an error in
// the server's log: the write has happened.
func (s *Server) record(r *http.Request, a *auditEntry) {
	a.Time, a.Remote = time.Now().UTC(), r.RemoteAddr
	about := []any{"user", a.User, "repository", a.Tenant, "name", a.Name, "status", a.Status}
	if a.Version != "" {
		about = append(about, "version", a.Version)
	}
	if a.Error != "" {
		about = append(about, "error", a.Error)
	}
	s.config.Log.Info(a.Action, about...)
	if s.audit == nil {
		return
	}
	line, err := json.Marshal(a)
	if err == nil {
		_, err = s.audit.Write(append(line, '\n')) // one write: O_APPEND keeps lines whole
	}
	if err != nil {
		s.config.Log.Error("audit log", "error", err)
	}
}
