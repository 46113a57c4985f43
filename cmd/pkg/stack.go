//go:build !front

package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed38700745/pkg/chart"
	"github.com/seed38700745/pkg/release"
	"github.com/seed38700745/pkg/release/stack"
)

// stackFile is what the stack commands read when they are given no file.
const stackFile = "stack.yaml"

// stackOptions are the flags of the stack commands.
type stackOptions struct {
	environment    string
	timeout        time.Duration
	atOnce         int
	force          bool
	forceConflicts bool
	takeOwnership  bool
	crds           changeFlags
	preview        preview
}

func newStackCommand(a *app) *cobra.Command {
	cmd := a.group("stack", "several releases, declared in one file",
		newStackPlanCommand(a), newStackApplyCommand(a), newStackDeleteCommand(a), newStackSchemaCommand(a))
	cmd.Long = `A stack's file names releases with their charts, values, and what they need of each other:

  name: shop
  releases:
  - name: db
    chart: stable/mysql
    values: {auth: {database: shop}}
  - name: web
    chart: ./charts/web
    valuesFiles: [web.yaml, secrets.sops.yaml]
    needs: [db]

Applying it installs, upgrades and repairs releases until the cluster has what the file
says, each once what it needs is ready, and removes those that left the file.

` + exitCodesText
	return cmd
}

func (o *stackOptions) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVarP(&o.environment, "environment", "e", "", "the environment of the file to use")
	f.DurationVar(&o.timeout, "timeout", defaultTimeout, "time to wait for each hook, and for each release to be ready")
	f.BoolVar(&o.force, "force", false, "delete and create again objects whose immutable fields change")
	f.BoolVar(&o.forceConflicts, "force-conflicts", false, "take over fields that other field managers own")
	f.BoolVar(&o.takeOwnership, "take-ownership", false, "make existing objects, and releases of other stacks, part of this one")
	f.StringVar(&o.crds.crds, "crds", "", "what becomes of the CRDs of the charts' crds folders: create, upgrade or skip")
}

func newStackPlanCommand(a *app) *cobra.Command {
	o := &stackOptions{}
	var remove bool
	cmd := &cobra.Command{
		Use:     "plan [FILE]",
		Short:   "show what applying a stack would do",
		Example: "  pkg stack plan shop.yaml -e production --exit-code",
		Args:    a.argCount(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runStackPlan(cmd.Context(), a, o, args, remove)
		},
	}
	o.add(cmd)
	o.preview.full = true
	o.preview.add(cmd.Flags())
	cmd.Flags().BoolVar(&remove, "delete", false, "show what deleting the stack would do")
	return cmd
}

func newStackApplyCommand(a *app) *cobra.Command {
	o := &stackOptions{}
	cmd := stackChangeCommand(a, o, "apply", "make the cluster have what a stack's file says", (*stack.Runner).Apply)
	cmd.Flags().IntVar(&o.atOnce, "concurrency", 4, "how many releases are worked on side by side")
	return cmd
}

func newStackDeleteCommand(a *app) *cobra.Command {
	return stackChangeCommand(a, &stackOptions{}, "delete", "uninstall all releases of a stack", (*stack.Runner).Delete)
}

func stackChangeCommand(a *app, o *stackOptions, name, short string, do func(*stack.Runner, context.Context) error) *cobra.Command {
	cmd := &cobra.Command{
		Use:     name + " [FILE]",
		Short:   short,
		Example: "  pkg stack " + name + " shop.yaml -e production",
		Args:    a.argCount(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := a.stackRunner(cmd.Context(), o, args, true)
			if err != nil {
				return err
			}
			return do(r, cmd.Context())
		},
	}
	o.add(cmd)
	return cmd
}

func newStackSchemaCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "print the JSON Schema of a stack's file, for editors",
		Args:  a.argCount(0, 0),
		RunE: func(*cobra.Command, []string) error {
			_, err := a.Out.Write(stack.Schema)
			return err
		},
	}
}

// stackRunner reads a stack's file and connects.
func (a *app) stackRunner(ctx context.Context, o *stackOptions, args []string, change bool) (*stack.Runner, error) {
	name := cmp.Or(append(args, stackFile)...)
	data, err := a.readFile(ctx, name)
	if os.IsNotExist(err) && len(args) == 0 {
		return nil, withHint(usagef("there is no %s here", stackFile), "name the stack's file: pkg stack ... FILE")
	}
	if err != nil {
		return nil, err
	}
	crds, err := o.crds.crdPolicy(a, true)
	if err != nil {
		return nil, err
	}
	var c *connection
	if change {
		c, err = a.connectToInstall(ctx)
	} else {
		c, err = a.connect()
	}
	if err != nil {
		return nil, err
	}
	s, err := stack.Parse(data, stack.Options{
		Environment: o.environment, Namespace: c.namespace,
		Lookup: func(name string) (string, bool) { v := a.Env(name); return v, v != "" },
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	dir := "."
	if name != "-" && !strings.Contains(name, "://") {
		dir = filepath.Dir(name)
	}
	talk := &lines{out: a.Err}
	r := &stack.Runner{
		Stack: s, AtOnce: o.atOnce, Say: func(line string) { talk.print(line) },
		Options: release.Options{
			Timeout: o.timeout, Force: o.force, ForceConflicts: o.forceConflicts, TakeOwnership: o.takeOwnership, HistoryMax: defaultHistory,
		},
		Releases: func(namespace, name string) (*release.Releases, error) {
			return a.stackReleases(c, talk, namespace, name)
		},
		Chart: func(ctx context.Context, rel stack.Release) (release.Chart, error) {
			return a.stackChart(ctx, s, rel, dir, crds)
		},
	}
	return r, nil
}

// stackReleases are the releases of a namespace, which say whose release they are
// working on.
func (a *app) stackReleases(c *connection, talk *lines, namespace, name string) (*release.Releases, error) {
	here := *c
	here.namespace = namespace
	r, err := here.releases(a, "stack")
	if err != nil {
		return nil, err
	}
	config := r.Config
	config.Table = nil
	config.Say = func(line string) { talk.print(name + ": " + line) }
	warn := &warner{app: a, seen: map[string]bool{}}
	config.Warn = func(line string) { talk.do(func() { warn.warn(name + ": " + line) }) }
	config.Logs = &prefixed{lines: talk, prefix: name + " | "}
	return release.New(config), nil
}

// stackChart finds a release's chart and merges its values.
func (a *app) stackChart(ctx context.Context, s *stack.Stack, rel stack.Release, dir string, crds release.CRDPolicy) (release.Chart, error) {
	ref, src := rel.Chart, chartFlags{Version: rel.Version}
	if strings.HasPrefix(ref, "./") || strings.HasPrefix(ref, "../") {
		ref = filepath.Join(dir, ref)
		if !filepath.IsAbs(ref) {
			ref = "./" + ref
		}
	}
	for _, repository := range s.Repositories {
		rest, ok := strings.CutPrefix(ref, repository.Name+"/")
		if !ok {
			continue
		}
		ref = rest
		if strings.HasPrefix(repository.URL, "oci://") {
			ref = strings.TrimSuffix(repository.URL, "/") + "/" + rest
		} else {
			src.Repo = repository.URL
		}
		src.Username, src.Password = repository.Username, repository.Password
		src.CAFile, src.CertFile, src.KeyFile = repository.CAFile, repository.CertFile, repository.KeyFile
		break
	}
	values := map[string]any{}
	for _, layer := range rel.Values {
		v := chart.Values{ReadFile: func(name string) ([]byte, error) { return a.readFile(ctx, name) }}
		for _, file := range layer.Files {
			if !filepath.IsAbs(file) && !strings.Contains(file, "://") {
				file = filepath.Join(dir, file)
			}
			v.Files = append(v.Files, file)
		}
		files, err := v.Merge()
		if err != nil {
			return release.Chart{}, err
		}
		values = chart.Overlay(chart.Overlay(values, files), layer.Table)
	}
	res, _, err := a.loadForRelease(ctx, ref, src, chart.Values{})
	if err != nil {
		return release.Chart{}, err
	}
	return a.releaseChart(res, values, renderFlags{}, &postRenderer{}, crds), nil
}

func runStackPlan(ctx context.Context, a *app, o *stackOptions, args []string, remove bool) error {
	if err := o.preview.check(); err != nil {
		return err
	}
	r, err := a.stackRunner(ctx, o, args, false)
	if err != nil {
		return err
	}
	plan := r.Plan
	if remove {
		plan = r.PlanDelete
	}
	changes, err := plan(ctx)
	if err != nil {
		return a.templateHint(err)
	}
	return a.printStackPlan(r.Stack.Name, changes, &o.preview)
}

// plannedStack is the JSON of a stack's plan.
type plannedStack struct {
	Stack    string           `json:"stack"`
	Changes  int              `json:"changes"` // releases that are not unchanged
	Releases []plannedRelease `json:"releases"`
}

type plannedRelease struct {
	Action string     `json:"action"`
	Needs  []string   `json:"needs,omitempty"`
	Why    string     `json:"why,omitempty"` // of what can not be planned yet
	Plan   *previewed `json:"plan,omitempty"`

	id string
}

func (a *app) printStackPlan(name string, changes []stack.Change, p *preview) error {
	out := plannedStack{Stack: name, Releases: []plannedRelease{}}
	for _, c := range changes {
		x := plannedRelease{Action: string(c.Action), Why: c.Why, id: c.ID.String()}
		for _, n := range c.Needs {
			x.Needs = append(x.Needs, n.String())
		}
		if c.Result != nil {
			x.Plan = &previewed{Operation: c.Result.Verb, Release: c.ID.Name, Namespace: c.ID.Namespace, Steps: c.Result.Steps(p.showSecrets)}
			if c.Action == stack.Install || c.Action == stack.Upgrade {
				x.Plan.Revision = c.Result.Release.Revision
			}
			x.Plan.count()
		}
		if c.Action != stack.Unchanged {
			out.Changes++
		}
		out.Releases = append(out.Releases, x)
	}
	var err error
	switch p.format {
	case "json", "yaml":
		err = outputFormat(p.format).write(a.Out, out, nil)
	default:
		_, err = io.WriteString(a.Out, out.text(painter{on: a.colored(p.color)}, p))
	}
	if err != nil {
		return err
	}
	return p.verdict(out.Changes)
}

// text shows every release with what changes in it.
func (s *plannedStack) text(paint painter, p *preview) string {
	var b strings.Builder
	for _, x := range s.Releases {
		title := x.Action + " " + x.id
		if len(x.Needs) > 0 {
			title += ", once ready: " + strings.Join(x.Needs, ", ")
		}
		if p.format == "markdown" {
			title = "## " + title + "\n"
		}
		fmt.Fprintln(&b, paint.bold(title))
		if x.Why != "" {
			fmt.Fprintf(&b, "  %s\n", x.Why)
		}
		switch {
		case x.Plan == nil || x.Action == string(stack.Unchanged):
		case p.format == "markdown":
			b.WriteString(x.Plan.markdown(p))
		default:
			b.WriteString(x.Plan.diff(paint, p.context))
		}
	}
	if s.Changes == 0 {
		fmt.Fprintf(&b, "stack %s: everything is as declared\n", s.Stack)
	} else {
		fmt.Fprintf(&b, "stack %s: %d of %d releases to change\n", s.Stack, s.Changes, len(s.Releases))
	}
	return b.String()
}

// lines prints whole lines of several writers.
type lines struct {
	mu  sync.Mutex
	out io.Writer // guarded by mu
}

func (l *lines) do(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
}

func (l *lines) print(line string) { l.do(func() { fmt.Fprintln(l.out, line) }) }

// prefixed writes what it gets line by line, each with a prefix; the end of a line
// that never comes is left out.
type prefixed struct {
	lines  *lines
	prefix string
	rest   string
}

func (p *prefixed) Write(b []byte) (int, error) {
	p.rest += string(b)
	for {
		line, rest, ok := strings.Cut(p.rest, "\n")
		if !ok {
			return len(b), nil
		}
		p.rest = rest
		p.lines.print(p.prefix + line)
	}
}
