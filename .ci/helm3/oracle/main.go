// Oracle answers command lines of `helm template` as helm does, many in one process:
// through helm's own action package, a rendering takes a few milliseconds instead of
// the start of a program. Tests that compare thousands of charts ask it.
//
// It reads requests from stdin and writes answers to stdout, one JSON value each.
// Paths are absolute: the process has one working directory.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"os"
	"strings"

	"github.com/spf13/pflag"
	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/cli"
	"helm.sh/helm/v3/pkg/cli/values"
	"helm.sh/helm/v3/pkg/getter"
	"helm.sh/helm/v3/pkg/release"
)

// request is what follows `helm template` on a command line.
type request struct {
	Args []string
}

// answer is what helm prints and how it ends.
type answer struct {
	Out, Err string
	Code     int
}

func main() {
	in, out := json.NewDecoder(bufio.NewReader(os.Stdin)), json.NewEncoder(os.Stdout)
	for {
		var r request
		if err := in.Decode(&r); err == io.EOF {
			return
		} else if err != nil {
			fmt.Fprintln(os.Stderr, "oracle:", err)
			os.Exit(1)
		}
		if err := out.Encode(render(r)); err != nil {
			fmt.Fprintln(os.Stderr, "oracle:", err)
			os.Exit(1)
		}
	}
}

func render(r request) answer {
	var out, talk bytes.Buffer
	log.SetFlags(0)
	log.SetOutput(&talk)
	t := newTemplate(&talk)
	rel, err := t.run(r.Args)
	if rel != nil && err == nil {
		t.print(&out, rel)
	}
	if err == nil {
		return answer{Out: out.String(), Err: talk.String()}
	}
	text := err.Error()
	if rel != nil {
		text += "\n\nUse --debug flag to render out invalid YAML"
	}
	fmt.Fprintf(&talk, "Error: %s\n", text)
	return answer{Err: talk.String(), Code: 1}
}

// template is one call of helm's template command.
type template struct {
	flags     *pflag.FlagSet
	install   *action.Install
	values    values.Options
	skipTests bool
	kube      string
	apis      []string
	talk      io.Writer
}

func newTemplate(talk io.Writer) *template {
	t := &template{
		flags:   pflag.NewFlagSet("template", pflag.ContinueOnError),
		install: action.NewInstall(&action.Configuration{Log: func(string, ...any) {}}),
		talk:    talk,
	}
	f, i, v := t.flags, t.install, &t.values
	f.StringVarP(&i.Namespace, "namespace", "n", "default", "")
	f.BoolVar(&i.IncludeCRDs, "include-crds", false, "")
	f.BoolVar(&i.IsUpgrade, "is-upgrade", false, "")
	f.BoolVar(&i.SkipSchemaValidation, "skip-schema-validation", false, "")
	f.BoolVar(&i.SubNotes, "render-subchart-notes", false, "")
	f.BoolVar(&i.DisableHooks, "no-hooks", false, "")
	f.StringVar(&i.NameTemplate, "name-template", "", "")
	f.BoolVar(&t.skipTests, "skip-tests", false, "")
	f.StringVar(&t.kube, "kube-version", "", "")
	f.StringSliceVarP(&t.apis, "api-versions", "a", nil, "")
	f.StringSliceVarP(&v.ValueFiles, "values", "f", nil, "")
	f.StringArrayVar(&v.Values, "set", nil, "")
	f.StringArrayVar(&v.StringValues, "set-string", nil, "")
	f.StringArrayVar(&v.FileValues, "set-file", nil, "")
	f.StringArrayVar(&v.JSONValues, "set-json", nil, "")
	f.StringArrayVar(&v.LiteralValues, "set-literal", nil, "")
	return t
}

func (t *template) run(args []string) (*release.Release, error) {
	if err := t.flags.Parse(args); err != nil {
		return nil, err
	}
	i := t.install
	if t.kube != "" {
		v, err := chartutil.ParseKubeVersion(t.kube)
		if err != nil {
			return nil, fmt.Errorf("invalid kube version '%s': %s", t.kube, err)
		}
		i.KubeVersion = v
	}
	i.DryRun, i.DryRunOption, i.Replace, i.ClientOnly = true, "true", true, true
	i.ReleaseName, i.APIVersions = "release-name", t.apis
	name, path, err := i.NameAndChart(t.flags.Args())
	if err != nil {
		return nil, err
	}
	i.ReleaseName = name
	vals, err := t.values.MergeValues(getter.All(cli.New()))
	if err != nil {
		return nil, err
	}
	c, err := loader.Load(path)
	if err != nil {
		return nil, err
	}
	if c.Metadata.Type != "" && c.Metadata.Type != "application" {
		return nil, fmt.Errorf("%s charts are not installable", c.Metadata.Type)
	}
	if c.Metadata.Deprecated {
		fmt.Fprintln(t.talk, "WARNING: This chart is deprecated")
	}
	if req := c.Metadata.Dependencies; req != nil {
		if err := action.CheckDependencies(c, req); err != nil {
			return nil, fmt.Errorf("An error occurred while checking for chart dependencies. "+ //nolint:staticcheck // helm's text
				"You may need to run `helm dependency build` to fetch missing dependencies: %w", err)
		}
	}
	return i.Run(c, vals)
}

// print writes manifests and hooks as the command does.
func (t *template) print(out io.Writer, rel *release.Release) {
	fmt.Fprintln(out, strings.TrimSpace(rel.Manifest))
	if t.install.DisableHooks {
		return
	}
	for _, hook := range rel.Hooks {
		if !t.skipTests || !isTest(hook) {
			fmt.Fprintf(out, "---\n# Source: %s\n%s\n", hook.Path, hook.Manifest)
		}
	}
}

func isTest(h *release.Hook) bool {
	for _, e := range h.Events {
		if e == release.HookTest {
			return true
		}
	}
	return false
}
