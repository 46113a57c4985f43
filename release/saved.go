package release

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// savedFormat is the version of SavedPlan's JSON.
const savedFormat = 1

// SavedPlan is an operation that was planned, for Apply. Its JSON holds the values
// and manifests of the release, and so its secrets.
type SavedPlan struct {
	Format    int    `json:"format"` // savedFormat
	Cluster   string `json:"cluster,omitempty"`
	Verb      string `json:"verb"` // "install", "upgrade", "rollback", "uninstall"
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
	// Revision and Status are the release's last ones when the plan was made; 0
	// and "" if there was none.
	Revision int    `json:"revision"`
	Status   Status `json:"status,omitempty"`

	Next    *Release          `json:"next,omitempty"` // not of an uninstall
	Labels  map[string]string `json:"labels,omitempty"`
	Options Options           `json:"options"`
	Steps   []SavedStep       `json:"steps"`

	CreateNamespace bool      `json:"createNamespace,omitempty"`
	CRDs            CRDPolicy `json:"crds,omitempty"`
	KeepHistory     bool      `json:"keepHistory,omitempty"`
	Cascade         string    `json:"cascade,omitempty"`
}

// SavedStep is one step, with a digest of what existed; "" for nothing.
type SavedStep struct {
	Action Action `json:"action"`
	Object Ref    `json:"object"`
	Live   string `json:"live,omitempty"`
}

// MovedError says that a saved plan does not fit any more.
type MovedError struct {
	Name string
	What []string // "Deployment/web has changed"
}

func (e *MovedError) Error() string {
	return fmt.Sprintf("the cluster has moved on since the plan of %s was made: %s", e.Name, strings.Join(e.What, "; "))
}

// Hint is the next step.
func (e *MovedError) Hint() string { return "make the plan again: pkg plan ... --out FILE" }

// Save returns the plan of a dry run for Apply.
func (res *Result) Save() *SavedPlan {
	s := &SavedPlan{
		Format: savedFormat, Verb: res.Verb, Name: res.Release.Name, Namespace: res.Release.Namespace,
		Options: res.options, CreateNamespace: res.createNamespace, CRDs: res.crdPolicy,
		KeepHistory: res.uninstall.KeepHistory, Cascade: res.uninstall.Cascade,
	}
	if res.last != nil {
		s.Revision, s.Status = res.last.Revision, res.last.Info.Status
	}
	if res.Verb != "uninstall" {
		s.Next, s.Labels = res.Release, res.Release.Labels
	}
	for _, step := range res.Plan.Steps {
		s.Steps = append(s.Steps, SavedStep{Action: step.Action, Object: step.Item.Ref, Live: digest(step.Live)})
	}
	return s
}

// digest identifies the state of an object, its status left out; "" for none.
func digest(u *unstructured.Unstructured) string {
	if u == nil {
		return ""
	}
	content := essence(u)
	delete(content, "status")
	data, err := json.Marshal(content)
	if err != nil {
		return err.Error() // never equal to another object's
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// Apply executes a saved plan. Errors: *MovedError when the release or an object of
// the plan is not as it was, and those of the operation itself.
func (r *Releases) Apply(ctx context.Context, s *SavedPlan) (*Result, error) {
	if s.Format != savedFormat {
		return nil, fmt.Errorf("plan of format %d: this pkg knows %d", s.Format, savedFormat)
	}
	o := s.Options
	o.DryRun = DryRunNone
	if s.Verb == "install" && s.CreateNamespace {
		missing, err := r.namespaceMissing(ctx)
		if err == nil && missing {
			err = r.createNamespace(ctx)
		}
		if err != nil {
			return nil, err
		}
	}
	ctx, unlock, err := r.lock(ctx, s.Name, o)
	if err != nil {
		return nil, err
	}
	defer unlock()
	history, err := r.history(ctx, s.Name)
	if err != nil {
		return nil, err
	}
	if err := s.checkRevision(history); err != nil {
		return nil, err
	}
	if s.Verb == "uninstall" {
		return r.uninstall(ctx, s.Name, UninstallOptions{Options: o, KeepHistory: s.KeepHistory, Cascade: s.Cascade, saved: s})
	}
	if s.Next == nil || s.Next.Info == nil {
		return nil, fmt.Errorf("the plan has no release")
	}
	next := s.Next
	next.Labels, next.Info.LastDeployed = s.Labels, Time{r.Now()}
	if s.Verb == "install" {
		next.Info.FirstDeployed = next.Info.LastDeployed
	}
	crds, err := r.prepareCRDs(ctx, Chart{Chart: next.Chart, CRDs: s.CRDs}, o)
	if err != nil {
		return nil, err
	}
	p, err := r.planFor(ctx, s.Name, next.Manifest, crds, history, o)
	if err != nil {
		return nil, err
	}
	if err := s.settle(p); err != nil {
		return nil, err
	}
	c := &change{verb: s.Verb, next: next, history: history, plan: p, options: o}
	switch s.Verb {
	case "install":
		c.done = "Install complete"
	case "upgrade":
		c.done, c.previous = "Upgrade complete", workedBefore(history)
	case "rollback":
		c.done = next.Info.Description
	default:
		return nil, fmt.Errorf("the plan is of an unknown operation %q", s.Verb)
	}
	return r.carryOut(ctx, c)
}

// checkRevision compares the release's last revision with the plan's.
func (s *SavedPlan) checkRevision(history []*Release) error {
	revision, status := 0, Status("")
	if n := len(history); n > 0 {
		revision, status = history[n-1].Revision, history[n-1].Info.Status
	}
	if revision == s.Revision && status == s.Status {
		return nil
	}
	describe := func(revision int, status Status) string {
		if revision == 0 {
			return "not there"
		}
		return fmt.Sprintf("at revision %d (%s)", revision, status)
	}
	return &MovedError{Name: s.Name, What: []string{fmt.Sprintf("the release is %s, and was %s",
		describe(revision, status), describe(s.Revision, s.Status))}}
}

// settle compares a plan made now with the saved one, and gives its steps the saved
// actions, which the server was asked about.
func (s *SavedPlan) settle(p Plan) error {
	was := map[Ref]SavedStep{}
	for _, step := range s.Steps {
		was[step.Object] = step
	}
	var moved []string
	for n := range p.Steps {
		step := &p.Steps[n]
		before, ok := was[step.Item.Ref]
		delete(was, step.Item.Ref)
		now := digest(step.Live)
		switch {
		case !ok:
			moved = append(moved, step.Item.Ref.String()+" is new")
		case before.Live == now:
			step.Action = before.Action
		case now == "":
			moved = append(moved, step.Item.Ref.String()+" is gone")
		case before.Live == "":
			moved = append(moved, step.Item.Ref.String()+" exists by now")
		default:
			moved = append(moved, step.Item.Ref.String()+" has changed")
		}
	}
	for _, step := range s.Steps {
		if _, left := was[step.Object]; left {
			moved = append(moved, step.Object.String()+" is gone")
		}
	}
	if len(moved) > 0 {
		return &MovedError{Name: s.Name, What: moved}
	}
	return nil
}
