// Package release is the life of an installed chart on any Kubernetes: install,
// upgrade, rollback, uninstall, test, and its history.
//
// [Releases] does all of it for one namespace. Every change goes the same way:
// render (package engine), plan, record the revision as pending, pre-hooks, apply,
// post-hooks, record it as deployed, wait. The plan is a pure function of the old
// manifest, the live objects and the new manifest; it is what a dry run shows and
// what is executed.
//
// Revisions are kept in Helm's own format, one Secret each, so that helm and pkg
// take over each other's releases. The record of a revision, base64 of gzip of JSON,
// that exceeds the 1 MiB of a Secret is cut: its first MiB stays in the Secret of
// Helm's name and labels, which the annotation pkg.internal/parts=DIGEST:COUNT marks;
// the others are Secrets of type pkg.internal/release-part, named like the first one
// with .DIGEST.N (the digest's first 12 digits, N from 1) and labelled owner=pkg, name
// and version. DIGEST is the SHA-256 of the whole. helm cannot decode such a revision
// and leaves it out; all others of the release it sees. Objects are applied on the server with the
// field manager "pkg"; what helm owned is taken over first.
//
// A running operation holds a Lease (see Identity), so that two never meet and an
// interrupted one is continued by the next.
//
// Errors that callers tell apart: *NotFoundError, *NameInUseError, *BusyError
// (exit code 4), *TimeoutError (3), *ConflictError.
package release

import (
	"time"

	"github.com/seed38700745/pkg/chart"
	"github.com/seed38700745/pkg/engine"
)

// Release is one revision of an installed chart. Its JSON is Helm's.
type Release struct {
	Name      string         `json:"name,omitempty"`
	Info      *Info          `json:"info,omitempty"`
	Chart     *chart.Chart   `json:"chart,omitempty"`
	Config    map[string]any `json:"config,omitempty"` // the user's values
	Manifest  string         `json:"manifest,omitempty"`
	Hooks     []*Hook        `json:"hooks,omitempty"`
	Revision  int            `json:"version,omitempty"`
	Namespace string         `json:"namespace,omitempty"`
	// Labels are the user's, kept on the Secret only.
	Labels map[string]string `json:"-"`

	stored secretMeta // of the Secret it was read from
}

// Info is a revision's state.
type Info struct {
	FirstDeployed Time   `json:"first_deployed,omitempty"`
	LastDeployed  Time   `json:"last_deployed,omitempty"`
	Deleted       Time   `json:"deleted"`
	Description   string `json:"description,omitempty"`
	Status        Status `json:"status,omitempty"`
	Notes         string `json:"notes,omitempty"`
	// RollbackRevision is what was gone back to (Helm 4's field); 0 for none.
	RollbackRevision int `json:"rollback_revision,omitempty"`
}

// Status says where a revision is in its life. The values are Helm's.
type Status string

// Helm's statuses.
const (
	StatusUnknown         Status = "unknown"
	StatusDeployed        Status = "deployed"
	StatusUninstalled     Status = "uninstalled"
	StatusSuperseded      Status = "superseded"
	StatusFailed          Status = "failed"
	StatusUninstalling    Status = "uninstalling"
	StatusPendingInstall  Status = "pending-install"
	StatusPendingUpgrade  Status = "pending-upgrade"
	StatusPendingRollback Status = "pending-rollback"
)

// Pending tells whether an operation was at work on the revision when it was
// written.
func (s Status) Pending() bool {
	switch s {
	case StatusPendingInstall, StatusPendingUpgrade, StatusPendingRollback:
		return true
	}
	return false
}

// Hook is a manifest that runs at certain points, and how it ran last.
type Hook struct {
	engine.Hook
	LastRun HookRun `json:"last_run,omitempty"`
}

// HookRun is one execution of a hook.
type HookRun struct {
	StartedAt   Time   `json:"started_at,omitempty"`
	CompletedAt Time   `json:"completed_at,omitempty"`
	Phase       string `json:"phase"` // "", Unknown, Running, Succeeded, Failed
}

// Phases of hooks.
const (
	phaseUnknown   = "Unknown"
	phaseRunning   = "Running"
	phaseSucceeded = "Succeeded"
	phaseFailed    = "Failed"
)

// runsOn tells whether event is one of the hook's.
func (h *Hook) runsOn(event string) bool {
	for _, e := range h.Events {
		if e == event {
			return true
		}
	}
	return false
}

// Time is a time whose zero value is "" in JSON, as in Helm's releases.
type Time struct{ time.Time }

// MarshalJSON implements json.Marshaler.
func (t Time) MarshalJSON() ([]byte, error) {
	if t.IsZero() {
		return []byte(`""`), nil
	}
	return t.Time.MarshalJSON()
}

// UnmarshalJSON implements json.Unmarshaler.
func (t *Time) UnmarshalJSON(b []byte) error {
	if s := string(b); s == `""` || s == "null" {
		return nil
	}
	return t.Time.UnmarshalJSON(b)
}

// Annotations of a recorded chart's metadata that say where it came from, so that
// an upgrade needs no chart. They stand in the chart because that survives when
// helm rewrites the revision.
const (
	sourceAnnotation     = "pkg.internal/source"
	repositoryAnnotation = "pkg.internal/repository"
	declaredAnnotation   = "pkg.internal/declared"
)

// Source is where a chart came from, without its version.
type Source struct {
	Ref     string // "stable/mysql", an absolute path, a URL; "" is unknown
	RepoURL string // the repository of Ref, if it was not a configured one
	// Declared identifies what the revision was made of, for who declares it again; ""
	// if nobody does.
	Declared string
}

// Source returns what the release's chart was installed from.
func (r *Release) Source() Source {
	if r.Chart == nil || r.Chart.Metadata == nil {
		return Source{}
	}
	notes := r.Chart.Metadata.Annotations
	return Source{notes[sourceAnnotation], notes[repositoryAnnotation], notes[declaredAnnotation]}
}

// recordSource returns a chart for the record that knows its source.
func recordSource(c *chart.Chart, s Source) *chart.Chart {
	if s.Ref == "" || c.Metadata == nil {
		return c
	}
	notes := map[string]string{}
	for k, v := range c.Metadata.Annotations {
		notes[k] = v
	}
	notes[sourceAnnotation] = s.Ref
	delete(notes, repositoryAnnotation)
	if s.RepoURL != "" {
		notes[repositoryAnnotation] = s.RepoURL
	}
	delete(notes, declaredAnnotation)
	if s.Declared != "" {
		notes[declaredAnnotation] = s.Declared
	}
	out := chart.Clone(c)
	out.Metadata.Annotations = notes
	return out
}

// newHooks makes the hooks of a rendering part of a release.
func newHooks(rendered []engine.Hook) []*Hook {
	var out []*Hook
	for _, h := range rendered {
		out = append(out, &Hook{Hook: h})
	}
	return out
}

// copyHooks copies hooks without their last runs.
func copyHooks(hooks []*Hook) []*Hook {
	var out []*Hook
	for _, h := range hooks {
		out = append(out, &Hook{Hook: h.Hook})
	}
	return out
}
