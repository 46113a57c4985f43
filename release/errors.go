package release

import (
	"fmt"
	"strings"
	"time"
)

// Exit codes of the errors that have their own.
const (
	exitTimeout = 3
	exitBusy    = 4
)

// NotFoundError says that a release, or one of its revisions, does not exist.
type NotFoundError struct {
	Name      string
	Namespace string
	Revision  int // 0: the release itself
}

// HelmText is Helm's.
func (e *NotFoundError) HelmText() string { return "release: not found" }

// Error is Helm's text, with the name.
func (e *NotFoundError) Error() string {
	if e.Revision > 0 {
		return fmt.Sprintf("release %s in namespace %s has no revision %d", e.Name, e.Namespace, e.Revision)
	}
	return fmt.Sprintf("release: not found: %s in namespace %s", e.Name, e.Namespace)
}

// Hint is the next step.
func (e *NotFoundError) Hint() string {
	if e.Revision > 0 {
		return fmt.Sprintf("pkg history %s -n %s", e.Name, e.Namespace)
	}
	return "pkg list -A"
}

// NameInUseError says that an install found a release of its name.
type NameInUseError struct {
	Name      string
	Namespace string
	Status    Status
	Revision  int
}

// Error is Helm's text.
func (e *NameInUseError) Error() string { return "cannot re-use a name that is still in use" }

// MissingKindError says that the cluster does not have the kind of an object.
type MissingKindError struct{ APIVersion, Kind string }

// Error is Helm's text.
func (e *MissingKindError) Error() string {
	return fmt.Sprintf("resource mapping not found: no matches for kind %q in version %q: ensure CRDs are installed first", e.Kind, e.APIVersion)
}

// BusyError says that another operation on the release is running.
type BusyError struct {
	Name  string
	Who   string // "pkg upgrade, pid 12 on host a"
	Since time.Time
}

func (e *BusyError) Error() string {
	text := fmt.Sprintf("release %s: another operation is running: %s", e.Name, e.Who)
	if !e.Since.IsZero() {
		text += ", since " + e.Since.Local().Format(time.TimeOnly)
	}
	return text
}

// ExitCode is 4.
func (e *BusyError) ExitCode() int { return exitBusy }

// TimeoutError says what was not ready in time, and why.
type TimeoutError struct {
	After   time.Duration
	Pending []State
}

func (e *TimeoutError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "timed out after %s, not ready:", e.After)
	for _, s := range e.Pending {
		fmt.Fprintf(&b, "\n  %s", s)
	}
	return b.String()
}

// ExitCode is 3.
func (e *TimeoutError) ExitCode() int { return exitTimeout }

// FailedError says that an object can not become ready by itself.
type FailedError struct{ State State }

func (e *FailedError) Error() string { return e.State.String() }

// ConflictError says that live objects belong to somebody else.
type ConflictError struct {
	Objects []string // one line each
	hint    string
}

func (e *ConflictError) Error() string { return strings.Join(e.Objects, "; ") }

// Hint is the next step.
func (e *ConflictError) Hint() string { return e.hint }

// ObjectError is a failure about one object, with the template it came from.
type ObjectError struct {
	Object Ref
	Source string // "mysql/templates/service.yaml", or ""
	Err    error
}

func (e *ObjectError) Error() string {
	text := e.Object.String()
	if e.Source != "" {
		text += " (" + e.Source + ")"
	}
	return text + ": " + e.Err.Error()
}

func (e *ObjectError) Unwrap() error { return e.Err }
