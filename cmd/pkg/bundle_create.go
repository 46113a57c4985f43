//go:build !front

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed38700745/pkg/bundle"
	"github.com/seed38700745/pkg/chart"
	"github.com/seed38700745/pkg/engine"
	"github.com/seed38700745/pkg/repo"
)

// bundleCreateOptions are the flags of `pkg bundle create`.
type bundleCreateOptions struct {
	values  chart.Values
	source  chartFlags
	render  renderFlags
	signing signFlags

	output         string
	images         []string
	withRuntime    bool
	architecture   string
	pull           bool
	noSubstitution bool
	kubeVersion    string
	apiVersions    []string
}

func newBundleCreateCommand(a *app) *cobra.Command {
	o := &bundleCreateOptions{}
	cmd := &cobra.Command{
		Use:   "create CHART",
		Short: "make a bundle of a chart",
		Long: `Make a bundle of a chart from any source that pkg install takes: with its dependencies,
the values given, which become those of the bundle, and the images that the rendered
manifests and hooks name. Values are kept as they are: whoever has the file can read them.

Images are taken from this machine's cluster when it runs and has them, else from where
its pods would get them: mirrors and registries or, where none answers, Debian packages.
What no manifest names, an operator's images for example, --image adds.

The same chart, values and images give the same file; $SOURCE_DATE_EPOCH, when set, is the
time in it, else the newest image's.

` + exitCodesText,
		Example: `  pkg bundle create stable/mysql --set auth.database=shop
  pkg bundle create oci://registry.example.com/charts/web --version ^2 --with-runtime -o web.bundle.tar
  pkg bundle create ./chart -f prod.yaml --sign --key me@example.com --keyring secring.gpg`,
		Args: a.argCount(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runBundleCreate(cmd.Context(), a, o, args[0])
		},
	}
	f := cmd.Flags()
	addValueFlags(f, &o.values)
	o.source.add(f)
	o.render.add(f)
	f.StringVarP(&o.output, "output", "o", "", "the file to write; default NAME-VERSION"+bundleExtension)
	f.StringArrayVar(&o.images, "image", nil, "another image to put in (can specify multiple)")
	f.BoolVar(&o.withRuntime, "with-runtime", false, "put pkg's programs in, too, so that the file is all that a bare machine needs")
	f.StringVar(&o.architecture, "arch", runtime.GOARCH, "architecture of the images")
	f.BoolVar(&o.pull, "pull", false, "do not take images from this machine's cluster")
	f.BoolVar(&o.noSubstitution, "no-image-substitution", false, "never build images from Debian packages in place of a registry's")
	f.StringVar(&o.kubeVersion, "kube-version", "", "Kubernetes version used for Capabilities.KubeVersion")
	f.StringSliceVarP(&o.apiVersions, "api-versions", "a", nil, "Kubernetes api versions used for Capabilities.APIVersions")
	o.signing.add(f, "the bundle")
	return cmd
}

func runBundleCreate(ctx context.Context, a *app, o *bundleCreateOptions, ref string) (err error) {
	if o.signing.sign && o.signing.key == "" {
		return usagef("--key is required for signing a bundle")
	}
	if o.withRuntime && o.architecture != runtime.GOARCH {
		return usagef("--with-runtime puts these programs in, which are for %s, not %s", runtime.GOARCH, o.architecture)
	}
	created, err := a.sourceDate()
	if err != nil {
		return err
	}
	in := bundle.Input{Source: ref, Platform: "linux/" + o.architecture, Created: created, Creator: "pkg " + programVersion()}
	var res *repo.Resolved
	if res, in.Values, err = a.loadForRelease(ctx, ref, o.source, o.values); err != nil {
		return err
	}
	in.Chart = res.Chart
	if filepath.IsAbs(res.Source) { // a path says nothing elsewhere
		in.Source = ""
	}
	names, err := a.bundleImages(ctx, o, in.Chart, in.Values)
	if err != nil {
		return err
	}
	if o.withRuntime {
		if in.Programs, err = runtimePrograms(); err != nil {
			return err
		}
		in.RuntimeVersion = programVersion()
	}
	if o.signing.sign {
		o.signing.keyring = o.source.Keyring
		key, err := o.signing.unlocked(a)
		if err != nil {
			return err
		}
		in.Sign = key.Sign
	}
	output := firstOf(o.output, fmt.Sprintf("%s-%s%s", in.Chart.Name(), in.Chart.Metadata.Version, bundleExtension))
	if info, err := os.Stat(output); err == nil && !info.Mode().IsRegular() {
		return usagef("%s is no file", output)
	}
	// Beside the file: it needs as much room there anyway, and the cache's images are
	// linked where they are on the same file system.
	parts, err := repo.PendingFolder(output + ".parts")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, repo.DiscardFolder(parts)) }()
	in.Folder = parts.Name()
	if in.Images, err = a.gatherImages(ctx, o, names, in.Folder); err != nil {
		return err
	}
	b, err := bundle.Create(ctx, in)
	if err != nil {
		return fmt.Errorf("bundle %s: %w", output, err)
	}
	if err := writeFileWhole(output, func(w io.Writer) error { return b.Write(ctx, w) }); err != nil {
		return fmt.Errorf("bundle %s: %w", output, err)
	}
	return a.printCreated(b, output)
}

func (a *app) printCreated(b *bundle.Bundle, output string) error {
	info, err := os.Stat(output)
	if err != nil {
		return err
	}
	with := ""
	if b.Config.Runtime != nil {
		with = ", pkg " + b.Config.Runtime.Version
	}
	images := len(b.Config.Images)
	fmt.Fprintf(a.Out, "Created %s (%s): chart %s %s, %d image%s%s\nDigest: %s\n", output, megabytes(info.Size()),
		b.Config.Chart.Name, b.Config.Chart.Version, images, plural(images), with, b.Digest)
	if b.Config.Runtime != nil {
		fmt.Fprintf(a.Err, "on a machine that has nothing yet, as root:\n  tar -xOf %[1]s %[2]s | tar -xz -C /usr/local/bin\n  pkg bundle install %[1]s\n",
			quote(filepath.Base(output)), bundle.RuntimeEntry)
	}
	return nil
}

// bundleImages renders the chart and lists the images that it names, and those that
// were named beside it.
func (a *app) bundleImages(ctx context.Context, o *bundleCreateOptions, c *chart.Chart, values map[string]any) ([]string, error) {
	caps := engine.DefaultCapabilities()
	if o.kubeVersion != "" {
		v, err := engine.ParseKubeVersion(o.kubeVersion)
		if err != nil {
			return nil, err
		}
		caps.KubeVersion = v
	}
	caps.APIVersions = append(caps.APIVersions, o.apiVersions...)
	named, err := a.namedImages(ctx, c, values, o.render, caps)
	if err != nil {
		return nil, err
	}
	return fullNames(append(named, o.images...))
}

// namedImages renders a chart without a cluster and returns the images that it names.
func (a *app) namedImages(ctx context.Context, c *chart.Chart, values map[string]any, r renderFlags, caps *engine.Capabilities) ([]string, error) {
	out, err := engine.Render(ctx, engine.Input{
		Chart: c, Values: values,
		Release:      engine.Release{Name: c.Name(), Namespace: a.namespace(), Revision: 1, IsInstall: true},
		Capabilities: caps, EnableDNS: r.enableDNS, SkipSchemaValidation: r.skipSchema, SchemaLibrary: a.schemaLibrary, Limits: r.limits,
	})
	if err != nil {
		return nil, a.templateFailure(out, err)
	}
	return out.Images(), nil
}

// runtimePrograms are the files of pkg's programs.
func runtimePrograms() ([]string, error) {
	var out []string
	for _, name := range []string{"pkg", "pkg-release", "pkgd", "pkg-kubectl", "pkg-repo"} {
		path, err := program(name)
		if err != nil {
			return nil, err
		}
		out = append(out, path)
	}
	return out, nil
}

// shortImages joins names for a message.
func shortImages(names []string) string {
	const most = 5
	if len(names) > most {
		return strings.Join(names[:most], ", ") + fmt.Sprintf(" and %d more", len(names)-most)
	}
	return strings.Join(names, ", ")
}
