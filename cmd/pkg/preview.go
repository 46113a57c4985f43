//go:build !front

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"
	"sigs.k8s.io/yaml"

	"github.com/seed38700745/pkg/chart/plain"
	"github.com/seed38700745/pkg/release"
)

// exitChanges is the exit code of a diff with changes under --exit-code.
const exitChanges = 2

// preview is what `pkg plan` and `pkg diff` make of an operation: it is planned by
// the command's own code, and shown instead of executed.
type preview struct {
	full        bool   // whole objects, as diff shows them; else fields
	out         string // file for pkg apply
	exitCode    bool
	showSecrets bool
	color       string
	context     int
	format      string
}

// add declares the flags of showing changes.
func (p *preview) add(f *pflag.FlagSet) {
	f.BoolVar(&p.showSecrets, "show-secrets", false, "show the values of Secrets")
	f.BoolVar(&p.exitCode, "exit-code", false, "exit with 2 when there are changes")
	f.StringVar(&p.color, "color", "auto", "auto (on a terminal, unless $NO_COLOR is set), always or never")
	f.StringVarP(&p.format, "output", "o", "text", "text, json, yaml or markdown")
	if p.full {
		f.IntVar(&p.context, "context", 3, "unchanged lines to show around changes; -1 for all")
	} else {
		f.StringVar(&p.out, "out", "", "write the plan to this file, for pkg apply. It holds the release's values, secrets too")
	}
}

// check refuses wrong values of the flags.
func (p *preview) check() error {
	switch p.format {
	case "text", "json", "yaml", "markdown":
	default:
		return usagef("-o is text, json, yaml or markdown, not %q", p.format)
	}
	switch p.color {
	case "auto", "always", "never":
		return nil
	}
	return usagef("--color is auto, always or never, not %q", p.color)
}

// previewed is the JSON of a plan or a diff.
type previewed struct {
	Operation string               `json:"operation"`
	Release   string               `json:"release"`
	Namespace string               `json:"namespace"`
	Revision  int                  `json:"revision,omitempty"` // that it makes
	Changes   int                  `json:"changes"`
	Steps     []release.Difference `json:"steps"`
}

// showPreview prints what an operation would do, saves it if asked to, and decides
// the exit code.
func (a *app) showPreview(c *connection, result *release.Result, p *preview) error {
	v := previewed{Operation: result.Verb, Release: result.Release.Name, Namespace: result.Release.Namespace}
	if v.Operation != "uninstall" && v.Operation != "repair" {
		v.Revision = result.Release.Revision
	}
	if p.full {
		v.Steps = result.Plan.Differences(p.showSecrets)
	} else {
		v.Steps = result.Steps(p.showSecrets)
	}
	if err := a.printPreview(&v, p); err != nil {
		return err
	}
	if p.out != "" {
		if err := a.savePlan(c, result, p.out); err != nil {
			return err
		}
	}
	return p.verdict(v.Changes)
}

func (p *preview) verdict(changes int) error {
	if p.exitCode && changes > 0 {
		return &exitError{code: exitChanges}
	}
	return nil
}

func (a *app) printPreview(v *previewed, p *preview) error {
	v.count()
	if v.Steps == nil {
		v.Steps = []release.Difference{}
	}
	switch p.format {
	case "json":
		return outputFormat("json").write(a.Out, v, nil)
	case "yaml":
		return outputFormat("yaml").write(a.Out, v, nil)
	case "markdown":
		_, err := io.WriteString(a.Out, v.markdown(p))
		return err
	}
	paint := painter{on: a.colored(p.color)}
	text := v.steps(paint)
	if p.full {
		text = v.diff(paint, p.context)
	}
	_, err := io.WriteString(a.Out, text)
	return err
}

// count counts the changes.
func (v *previewed) count() {
	v.Changes = 0
	for _, s := range v.Steps {
		if s.Changes() {
			v.Changes++
		}
	}
}

// savePlan writes a plan for pkg apply, readable by its owner only.
func (a *app) savePlan(c *connection, result *release.Result, file string) error {
	saved := result.Save()
	saved.Cluster = c.Server()
	data, err := json.MarshalIndent(saved, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(file, append(data, '\n'), 0o600); err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.Err, "plan written to %s; execute it with\n  pkg apply %s\n", file, quote(file))
	return err
}

// colored decides whether the results are coloured.
func (a *app) colored(when string) bool {
	switch when {
	case "always":
		return true
	case "never":
		return false
	}
	return a.Env("NO_COLOR") == "" && a.Env("TERM") != "dumb" && isTerminal(a.Out)
}

// isTerminal tells whether a person is at the other end of a stream.
func isTerminal(stream any) bool {
	file, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// painter colours text by ANSI sequences, if on.
type painter struct{ on bool }

func (p painter) paint(code, text string) string {
	if !p.on || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (p painter) bold(text string) string  { return p.paint("1", text) }
func (p painter) red(text string) string   { return p.paint("31", text) }
func (p painter) green(text string) string { return p.paint("32", text) }
func (p painter) cyan(text string) string  { return p.paint("36", text) }
func (p painter) faint(text string) string { return p.paint("2", text) }

// title names a step: "update Deployment/web (apps/v1) in namespace shop".
func (v *previewed) title(d release.Difference) string {
	switch d.Action {
	case release.RunHook:
		return fmt.Sprintf("hook %s %s", d.Event, d.Object())
	case release.Await:
		if v.Operation == "uninstall" {
			return "wait until everything is gone"
		}
		return "wait until everything is ready"
	}
	text := fmt.Sprintf("%s %s (%s)", d.Action, d.Object(), d.APIVersion)
	if d.Namespace != "" && d.Namespace != v.Namespace {
		text += " in namespace " + d.Namespace
	}
	return text
}

// steps is the text of a plan.
func (v *previewed) steps(p painter) string {
	var b strings.Builder
	head := fmt.Sprintf("%s of %s in namespace %s", v.Operation, v.Release, v.Namespace)
	if v.Revision > 0 {
		head += fmt.Sprintf(", revision %d", v.Revision)
	}
	fmt.Fprintln(&b, p.bold(head))
	for _, d := range v.Steps {
		title := v.title(d)
		switch d.Action {
		case release.Leave:
			fmt.Fprintln(&b, p.faint("  "+title+" unchanged"))
		case release.Create:
			fmt.Fprintln(&b, p.green("  "+title))
		case release.Delete, release.Recreate:
			fmt.Fprintln(&b, p.red("  "+title))
		default:
			fmt.Fprintln(&b, "  "+title)
		}
		if len(d.ReadyBefore) > 0 {
			fmt.Fprintln(&b, p.faint("      once ready: "+strings.Join(d.ReadyBefore, ", ")))
		}
		for _, f := range d.Fields {
			fmt.Fprintf(&b, "      %s: %s -> %s\n", f.Path, p.red(inline(f.Before)), p.green(inline(f.After)))
		}
	}
	fmt.Fprintln(&b, p.bold(v.summary()))
	return b.String()
}

// inline is a value on one line.
func inline(v any) string {
	if v == nil {
		return "(none)"
	}
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	if text := string(data); len(text) <= maxInline {
		return text
	}
	return string(data[:maxInline]) + "..."
}

// maxInline is how much of a value a plan shows.
const maxInline = 120

// summary counts: "1 to create, 2 to update, 3 unchanged".
func (v *previewed) summary() string {
	var parts []string
	for _, x := range []struct {
		action release.Action
		text   string
	}{
		{release.Create, "to create"}, {release.Update, "to update"}, {release.Adopt, "to adopt"},
		{release.Recreate, "to delete and create again"}, {release.Delete, "to delete"},
		{release.Keep, "kept"}, {release.Leave, "unchanged"},
	} {
		n := 0
		for _, d := range v.Steps {
			if d.Action == x.action {
				n++
			}
		}
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, x.text))
		}
	}
	if len(parts) == 0 {
		return "nothing to do"
	}
	return strings.Join(parts, ", ")
}

// diff is the text of a diff: every object that changes, in the order of the plan.
func (v *previewed) diff(p painter, context int) string {
	var b strings.Builder
	for _, d := range v.Steps {
		if !d.Changes() {
			continue
		}
		fmt.Fprintln(&b, p.bold(v.title(d)))
		writeHunks(&b, p, yamlLines(d.Before), yamlLines(d.After), context)
	}
	fmt.Fprintln(&b, p.bold(v.summary()))
	return b.String()
}

// markdown is a diff for comments on changes.
func (v *previewed) markdown(p *preview) string {
	context := p.context
	if !p.full {
		context = 3
	}
	var b strings.Builder
	fmt.Fprintf(&b, "## %s of %s\n\n%s\n", v.Operation, v.Release, v.summary())
	for _, d := range v.Steps {
		if !d.Changes() {
			if !p.full && d.Action != release.Leave {
				fmt.Fprintf(&b, "\n### %s\n", v.title(d))
			}
			continue
		}
		fmt.Fprintf(&b, "\n### %s\n\n````diff\n", v.title(d))
		writeHunks(&b, painter{}, yamlLines(d.Before), yamlLines(d.After), context)
		b.WriteString("````\n")
	}
	return b.String()
}

func yamlLines(o map[string]any) []string {
	if o == nil {
		return nil
	}
	text, ok := plain.Marshal(o)
	if !ok {
		data, err := yaml.Marshal(o)
		if err != nil {
			return []string{err.Error()}
		}
		text = strings.TrimSuffix(string(data), "\n")
	}
	return strings.Split(text, "\n")
}

// previewHelp words the help of an operation's command that only shows it.
func previewHelp(cmd *cobra.Command, short, example string) *cobra.Command {
	cmd.Short, cmd.Long, cmd.Example = short, "", example
	if f := cmd.Flags().Lookup("dry-run"); f != nil {
		f.Hidden = true
	}
	return cmd
}
