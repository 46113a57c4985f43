package release

import (
	"context"
	"fmt"

	"github.com/seed38700745/pkg/chart"
	"github.com/seed38700745/pkg/engine"
)

// InstallOptions qualify Install.
type InstallOptions struct {
	Options
	CreateNamespace bool
	// Replace takes the name of a failed or uninstalled release.
	Replace bool
	// Strict is Helm's rule for names: a first install that failed is not
	// continued.
	Strict bool
}

// Install makes the first revision of a release; a first install that failed or
// was interrupted is continued. Errors: *NameInUseError, *BusyError,
// *ConflictError, *engine.TemplateError, and those of waiting.
func (r *Releases) Install(ctx context.Context, name string, c Chart, o InstallOptions) (*Result, error) {
	if err := engine.CheckReleaseName(name); err != nil {
		return nil, fmt.Errorf("release name %q: %w", name, err)
	}
	if err := checkLabels(o.Labels); err != nil {
		return nil, err
	}
	missing, err := r.namespaceMissing(ctx)
	if err != nil {
		return nil, err
	}
	if missing && !o.CreateNamespace {
		return nil, &missingNamespaceError{r.Namespace}
	}
	if missing && o.DryRun == DryRunNone {
		if err := r.createNamespace(ctx); err != nil {
			return nil, err
		}
	}
	if o.DryRun == DryRunNone {
		var unlock func()
		if ctx, unlock, err = r.lock(ctx, name, o.Options); err != nil {
			return nil, err
		}
		defer unlock()
	}
	return r.install(ctx, name, c, o)
}

// install is Install with the Lease held.
func (r *Releases) install(ctx context.Context, name string, c Chart, o InstallOptions) (*Result, error) {
	history, err := r.history(ctx, name)
	if err != nil {
		return nil, err
	}
	if err := r.nameFree(name, history, o); err != nil {
		return nil, err
	}
	crds, err := r.prepareCRDs(ctx, c, o.Options)
	if err != nil {
		return nil, err
	}
	revision := 1
	if n := len(history); n > 0 {
		revision = history[n-1].Revision + 1
	}
	out, err := r.render(ctx, c, engine.Release{Name: name, Namespace: r.Namespace, Revision: revision, IsInstall: true}, o.DryRun == DryRunClient)
	if err != nil {
		return nil, err
	}
	now := Time{r.Now()}
	next := &Release{
		Name: name, Namespace: r.Namespace, Revision: revision,
		Chart: out.chart, Config: configOf(c.Values), Manifest: out.manifest, Hooks: out.hooks,
		Labels: mergeLabels(nil, o.Labels),
		Info: &Info{
			FirstDeployed: now, LastDeployed: now, Notes: out.notes,
			Status: StatusPendingInstall, Description: "Initial install underway",
		},
	}
	p, err := r.planFor(ctx, name, next.Manifest, crds, history, o.Options)
	if err != nil {
		return nil, fmt.Errorf("unable to continue with install: %w", err)
	}
	if o.DryRun != DryRunNone {
		next.Info.Description = dryRunComplete
	}
	result, err := r.carryOut(ctx, &change{
		verb: "install", next: next, history: history, plan: p, options: o.Options, done: "Install complete",
	})
	result.createNamespace, result.CRDs, result.crdPolicy = o.CreateNamespace, crds, c.CRDs
	return result, err
}

// nameFree decides whether an install may use the name: none has it, or what has
// it never worked.
func (r *Releases) nameFree(name string, history []*Release, o InstallOptions) error {
	if len(history) == 0 {
		return nil
	}
	last := history[len(history)-1]
	status := last.Info.Status
	if o.Replace && (status == StatusUninstalled || status == StatusFailed) {
		return nil
	}
	if status == StatusFailed && !o.Strict && neverWorked(history) {
		r.say("continuing the install of %s, which failed: %s", name, firstLine(last.Info.Description))
		return nil
	}
	return &NameInUseError{Name: name, Namespace: r.Namespace, Status: status, Revision: last.Revision}
}

// neverWorked tells whether all revisions since the last uninstall failed.
func neverWorked(history []*Release) bool {
	for _, h := range history {
		if s := h.Info.Status; s != StatusFailed {
			return false
		}
	}
	return true
}

// configOf is what Helm records for values: always a table.
func configOf(values map[string]any) map[string]any {
	if values == nil {
		return map[string]any{}
	}
	return chart.CopyValues(values)
}

// mergeLabels lays new labels over old ones; "null" removes (Helm's rule).
func mergeLabels(old, over map[string]string) map[string]string {
	out := map[string]string{}
	for k, v := range old {
		out[k] = v
	}
	for k, v := range over {
		out[k] = v
		if v == "null" {
			delete(out, k)
		}
	}
	return out
}

type missingNamespaceError struct{ namespace string }

func (e *missingNamespaceError) Error() string {
	return fmt.Sprintf("namespaces %q not found", e.namespace)
}

// Hint is the next step.
func (e *missingNamespaceError) Hint() string { return "--create-namespace makes it" }
