package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"github.com/seed38700745/pkg/chart"
	"github.com/seed38700745/pkg/engine"
)

// templateOptions are the flags of `pkg template`.
type templateOptions struct {
	values chart.Values
	source chartFlags
	naming nameFlags
	render renderFlags

	showOnly     []string
	outputDir    string
	inReleaseDir bool
	includeCRDs  bool
	skipTests    bool
	noHooks      bool
	isUpgrade    bool
	kubeVersion  string
	apiVersions  []string
	postRenderer postRenderer
	ignored      ignoredFlags
	validate     bool
}

// manifestCheck asks a cluster whether it would take manifests.
type manifestCheck func(context.Context, []engine.Manifest) error

func newTemplateCommand(a *app) *cobra.Command {
	o := &templateOptions{}
	cmd := &cobra.Command{
		Use:   "template [NAME] [CHART]",
		Short: "locally render templates",
		Long: `Render a chart's templates and print the manifests. No cluster is asked: lookups
find nothing and capabilities are Helm's defaults. With --validate the cluster is asked:
for its versions, and whether it would take the manifests.`,
		Example: `  pkg template my stable/mysql --set auth.database=shop
  pkg template ./chart -f values.yaml --show-only templates/service.yaml`,
		Args: a.argCount(1, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runTemplate(cmd.Context(), a, o, args)
		},
	}
	f := cmd.Flags()
	addValueFlags(f, &o.values)
	o.source.add(f)
	o.source.addDependencyUpdate(f)
	o.naming.add(f)
	o.render.add(f)
	o.postRenderer.add(f)
	o.ignored.addInstall(f)
	f.StringArrayVarP(&o.showOnly, "show-only", "s", nil, "only show manifests rendered from the given templates")
	f.StringVar(&o.outputDir, "output-dir", "", "writes the executed templates to files in output-dir instead of stdout")
	f.BoolVar(&o.inReleaseDir, "release-name", false, "use release name in the output-dir path.")
	f.BoolVar(&o.includeCRDs, "include-crds", false, "include CRDs in the templated output")
	f.BoolVar(&o.skipTests, "skip-tests", false, "skip tests from templated output")
	f.BoolVar(&o.validate, "validate", false, "validate your manifests against the Kubernetes cluster you are currently pointing at; its versions are the capabilities")
	f.BoolVar(&o.noHooks, "no-hooks", false, "prevent hooks from running during install")
	f.BoolVar(&o.isUpgrade, "is-upgrade", false, "set .Release.IsUpgrade instead of .Release.IsInstall")
	f.StringVar(&o.kubeVersion, "kube-version", "", "Kubernetes version used for Capabilities.KubeVersion")
	f.StringSliceVarP(&o.apiVersions, "api-versions", "a", nil, "Kubernetes api versions used for Capabilities.APIVersions")
	return cmd
}

func runTemplate(ctx context.Context, a *app, o *templateOptions, args []string) error {
	caps, check, err := a.templateCapabilities(ctx, o)
	if err != nil {
		return err
	}
	if o.kubeVersion != "" {
		v, err := engine.ParseKubeVersion(o.kubeVersion)
		if err != nil {
			return err
		}
		caps.KubeVersion = v
	}
	caps.APIVersions = append(caps.APIVersions, o.apiVersions...)
	name, ref, err := o.naming.nameAndChart(args, "release-name", a.Now)
	if err != nil {
		return err
	}
	res, vals, err := a.loadForRendering(ctx, ref, o.source, o.values)
	if err != nil {
		return err
	}
	if err := engine.CheckReleaseName(name); err != nil {
		return err
	}
	out, err := engine.Render(ctx, engine.Input{
		Chart:  res.Chart,
		Values: vals,
		Release: engine.Release{
			Name: name, Namespace: a.namespace(), Revision: 1,
			IsInstall: !o.isUpgrade, IsUpgrade: o.isUpgrade,
		},
		Capabilities:         caps,
		EnableDNS:            o.render.enableDNS,
		SubchartNotes:        o.render.subchartNotes,
		SkipSchemaValidation: o.render.skipSchema,
		SchemaLibrary:        a.schemaLibrary,
		Limits:               o.render.limits,
		Warn:                 a.logf,
	})
	if err != nil {
		return a.templateFailure(out, err)
	}
	if check != nil {
		if err := check(ctx, out.Manifests); err != nil {
			return err
		}
	}
	if o.outputDir != "" {
		return writeManifests(a, o, name, out)
	}
	text, err := templateText(ctx, a, o, out)
	if err != nil {
		return err
	}
	if len(o.showOnly) > 0 {
		return showOnly(a, o.showOnly, text)
	}
	_, err = a.Out.Write(text)
	return err
}

// templateFailure adds Helm's pointer to --debug when a template is to blame; under
// --debug it prints what was rendered, which then is not valid YAML.
func (a *app) templateFailure(out *engine.Output, err error) error {
	var tmpl *engine.TemplateError
	if !errors.As(err, &tmpl) || errors.Is(err, chart.ErrElsewhere) {
		return err
	}
	if !a.global.Debug {
		return fmt.Errorf("%w\n\nUse --debug flag to render out invalid YAML", err)
	}
	if out != nil {
		for _, name := range slices.Sorted(maps.Keys(out.Files)) {
			if text := out.Files[name]; strings.TrimSpace(text) != "" {
				fmt.Fprint(a.Out, engine.Manifest{Name: name, Content: text}.String())
			}
		}
	}
	return err
}

// textSize is about how many bytes the whole output takes; copying it while it grows
// would cost charts with large CRDs most of their time.
func textSize(out *engine.Output) int {
	const frame = 20 // around each document
	n := 0
	for _, crd := range out.CRDs {
		n += len(crd.Filename) + len(crd.File.Data) + frame
	}
	for _, m := range out.Manifests {
		n += len(m.Name) + len(m.Content) + frame
	}
	for _, h := range out.Hooks {
		n += len(h.Path) + len(h.Manifest) + frame
	}
	return n
}

// templateText is what goes to stdout: CRDs if wanted, manifests, hooks. Hooks do
// not pass through the post-renderer, as in Helm 3.
func templateText(ctx context.Context, a *app, o *templateOptions, out *engine.Output) ([]byte, error) {
	b := bytes.NewBuffer(make([]byte, 0, textSize(out)))
	source := func(name string) {
		b.WriteString("---\n# Source: ")
		b.WriteString(name)
		b.WriteByte('\n')
	}
	if o.includeCRDs {
		for _, crd := range out.CRDs {
			source(crd.Filename)
			b.Write(crd.File.Data)
			b.WriteByte('\n')
		}
	}
	for _, m := range out.Manifests {
		source(m.Name)
		b.WriteString(m.Content)
		b.WriteByte('\n')
	}
	text, err := o.postRenderer.run(ctx, a, b.Bytes())
	if err != nil {
		return nil, err
	}
	text = append(bytes.TrimSpace(text), '\n')
	if o.noHooks {
		return text, nil
	}
	for _, h := range out.Hooks {
		if !o.skipTests || !h.IsTest() {
			text = append(text, h.String()...)
		}
	}
	return text, nil
}

var sourceLine = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile("# Source: [^/]+/(.+)") })

// showOnly prints the documents whose template, relative to the chart, matches one
// of the patterns; each pattern must match some.
func showOnly(a *app, patterns []string, text []byte) error {
	docs := engine.SplitManifests(string(text))
	var out bytes.Buffer
	for _, pattern := range patterns {
		pattern = filepath.ToSlash(pattern)
		found := false
		for _, doc := range docs {
			m := sourceLine().FindStringSubmatch(doc)
			if m == nil {
				continue
			}
			if ok, err := filepath.Match(pattern, m[1]); err != nil || !ok {
				continue
			}
			found = true
			fmt.Fprintf(&out, "---\n%s\n", doc)
		}
		if !found {
			return fmt.Errorf("could not find template %s in chart", pattern)
		}
	}
	_, err := a.Out.Write(out.Bytes())
	return err
}

// writeManifests writes each template's documents to its own path under the output
// folder, and says so. Helm puts CRDs directly there even with --release-name.
func writeManifests(a *app, o *templateOptions, release string, out *engine.Output) error {
	dir := o.outputDir
	if o.inReleaseDir {
		dir = filepath.Join(dir, release)
	}
	w := manifestWriter{app: a, written: map[string]bool{}}
	if o.includeCRDs {
		for _, crd := range out.CRDs {
			if err := w.write(o.outputDir, crd.Filename, string(crd.File.Data)); err != nil {
				return err
			}
		}
	}
	for _, m := range out.Manifests {
		if err := w.write(dir, m.Name, m.Content); err != nil {
			return err
		}
	}
	for _, h := range out.Hooks {
		if o.noHooks || o.skipTests && h.IsTest() {
			continue
		}
		if err := w.write(dir, h.Path, h.Manifest); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintln(a.Out)
	return err
}

type manifestWriter struct {
	app     *app
	written map[string]bool // files begun in this run, which are appended to
}

func (w manifestWriter) write(dir, name, content string) error {
	file := dir + "/" + name
	if err := os.MkdirAll(path.Dir(file), 0o755); err != nil {
		return err
	}
	mode := os.O_CREATE | os.O_WRONLY | os.O_TRUNC
	if w.written[file] {
		mode = os.O_CREATE | os.O_WRONLY | os.O_APPEND
	}
	w.written[file] = true
	f, err := os.OpenFile(file, mode, 0o644)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(f, "---\n# Source: %s\n%s\n", name, content); err != nil {
		f.Close()
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	_, err = fmt.Fprintf(w.app.Out, "wrote %s\n", file)
	return err
}
