//go:build !front

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"

	"github.com/spf13/cobra"

	"github.com/seed38700745/pkg/bundle"
	"github.com/seed38700745/pkg/chart"
	"github.com/seed38700745/pkg/engine"
	"github.com/seed38700745/pkg/release"
	"github.com/seed38700745/pkg/repo"
)

// bundleInstallOptions are the flags of `pkg bundle install`.
type bundleInstallOptions struct {
	upgradeOptions // of which the flags about where a chart comes from are not offered
	naming         nameFlags
	access         chartFlags

	imagesTo string
	noImages bool
}

func newBundleInstallCommand(a *app) *cobra.Command {
	o := &bundleInstallOptions{upgradeOptions: upgradeOptions{install: true}}
	cmd := &cobra.Command{
		Use:   "install [NAME] FILE|oci://REFERENCE",
		Short: "install a bundle, or upgrade to it",
		Long: `Install the chart of a bundle with the bundle's values and images. Without a NAME the
release is called like the chart. A release of that name is upgraded: to the newer
bundle's chart and values, with those values that were given when the older one was
installed, unless --reset-values is given.

Everything in the bundle is compared with its checksums first, and with --verify the
signature with a keyring: if anything is not as it should be, nothing is changed.

The images are put into the cluster. On a Kubernetes that is not pkg's its machines must
get them from a registry: --images-to pushes them to one, and the release runs them from
there; with --no-images they are taken to be where their names say.

` + exitCodesText,
		Example: `  pkg bundle install mysql-1.0.0.bundle.tar
  pkg bundle install shop-db mysql-1.1.0.bundle.tar --set auth.database=shop --verify --keyring ops.gpg
  pkg bundle install oci://registry.example.com/bundles/mysql:1.0.0
  pkg bundle install web.bundle.tar --kubeconfig prod.yaml --images-to registry.example.com/apps`,
		Args: a.argCount(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runBundleInstall(cmd.Context(), a, o, args)
		},
	}
	f := cmd.Flags()
	addValueFlags(f, &o.values)
	o.naming.add(f)
	o.access.addAccess(f)
	f.BoolVar(&o.access.Verify, "verify", false, "install only what a key of the keyring signed")
	f.StringVar(&o.access.Keyring, "keyring", "", "location of public keys used for verification; default $GNUPGHOME/pubring.gpg, else ~/.gnupg/pubring.gpg")
	f.StringVar(&o.imagesTo, "images-to", "", "push the images to this path of a registry, HOST/PATH, and run them from there")
	f.BoolVar(&o.noImages, "no-images", false, "leave the bundle's images alone")
	o.render.add(f)
	o.postRenderer.add(f)
	o.change.addMaking(f)
	o.show.add(f)
	o.format.add(f)
	f.BoolVar(&o.createNamespace, "create-namespace", false, "create the release namespace if not present")
	f.BoolVar(&o.resetValues, "reset-values", false, "when upgrading, forget the values that were given before")
	f.IntVar(&o.change.historyMax, "history-max", defaultHistory, "limit the maximum number of revisions saved per release. Use 0 for no limit")
	return cmd
}

func runBundleInstall(ctx context.Context, a *app, o *bundleInstallOptions, args []string) error {
	if o.imagesTo != "" && o.noImages {
		return usagef("--images-to and --no-images exclude each other")
	}
	opts, err := o.change.options(a)
	if err != nil {
		return err
	}
	name, ref, err := o.naming.nameAndChart(args, "", a.Now)
	if err != nil {
		return err
	}
	o.values.ReadFile = func(name string) ([]byte, error) { return a.readFile(ctx, name) }
	given, err := o.values.Merge()
	if err != nil {
		return err
	}
	b, err := a.openChecked(ctx, ref, o.access)
	if err != nil {
		return err
	}
	defer b.close()
	inside, err := b.Chart(ctx)
	if err != nil {
		return err
	}
	if err := chart.CheckInstallable(inside); err != nil {
		return err
	}
	name = firstOf(name, inside.Name())
	if err := engine.CheckReleaseName(name); err != nil {
		return fmt.Errorf("release name %q: %w", name, err)
	}
	c, err := a.connectFor(ctx, opts, true)
	if err != nil {
		return err
	}
	r, err := c.releases(a, "bundle install")
	if err != nil {
		return err
	}
	history, err := r.History(ctx, name)
	var missing *release.NotFoundError
	if err != nil && !errors.As(err, &missing) {
		return err
	}
	values, err := o.layered(b.Bundle, history, given)
	if err != nil {
		return err
	}
	rc, err := o.releaseChart(ctx, a, b, inside, values, history)
	if err != nil {
		return err
	}
	if rc.Images, err = a.placeImages(ctx, c, b.Bundle, o, opts.DryRun != release.DryRunNone); err != nil {
		return err
	}
	o.announce(a, name, b.Bundle, history)
	result, err := o.run(ctx, r, name, rc, history, opts)
	if err != nil {
		return a.changeFailure(err, result)
	}
	if opts.DryRun == release.DryRunNone && o.format == "table" && !o.installs(history) {
		fmt.Fprintf(a.Out, "Release %q has been upgraded.\n", name)
	}
	return a.printResult(result, opts, o.show, o.format)
}

// openChecked opens a bundle, and refuses it unless all of it is as it should be. One
// in a registry is fetched into the cache's folder first.
func (a *app) openChecked(ctx context.Context, ref string, flags chartFlags) (*openedBundle, error) {
	b, err := a.openBundle(ctx, ref, flags.access())
	if err != nil {
		return nil, err
	}
	fail := func(err error) (*openedBundle, error) { return nil, errors.Join(err, b.close()) }
	if err := a.trust(ctx, b.Bundle, flags.Verify, flags.Keyring); err != nil {
		return fail(err)
	}
	if !repo.IsOCI(ref) {
		if err := b.Check(ctx); err != nil {
			return fail(withHint(fmt.Errorf("bundle %s: %w", ref, err), "fetch or copy the file again"))
		}
		return b, nil
	}
	if err := os.MkdirAll(a.CacheDir, 0o755); err != nil {
		return fail(err)
	}
	f, err := os.CreateTemp(a.CacheDir, "bundle-")
	if err != nil {
		return fail(err)
	}
	fmt.Fprintf(a.Err, "fetching %s\n", ref)
	err = b.Write(ctx, f) // checks everything on its way
	if err := errors.Join(err, f.Close()); err != nil {
		return fail(errors.Join(fmt.Errorf("bundle %s: %w", ref, err), os.Remove(f.Name())))
	}
	local, err := bundle.Open(ctx, f.Name())
	if err != nil {
		return fail(errors.Join(err, os.Remove(f.Name())))
	}
	return &openedBundle{local.Bundle, ref, func() error { return errors.Join(local.Close(), os.Remove(f.Name())) }}, nil
}

// resolveBundle is the chart of a bundle that a release was installed from.
func (a *app) resolveBundle(ctx context.Context, ref string, src chartFlags) (*repo.Resolved, error) {
	b, err := a.openBundle(ctx, ref, src.access())
	if err != nil {
		return nil, withHint(err, "pkg bundle install FILE upgrades to a bundle that is somewhere else")
	}
	defer b.close()
	if src.Verify {
		if _, err := a.signerOf(ctx, b.Bundle, src.Keyring); err != nil {
			return nil, err
		}
	}
	c, err := b.Chart(ctx)
	if err != nil {
		return nil, err
	}
	return &repo.Resolved{Chart: c, Source: bundleScheme + b.source}, nil
}

// bundleHint says of a chart that could not be loaded that it is a bundle, if it is.
func (a *app) bundleHint(ref string, err error) error {
	if !bundle.IsBundle(ref) {
		return err
	}
	return withHint(fmt.Errorf("%s is a bundle", ref), "pkg bundle install %s, or %s for its chart alone", quote(ref), quote(bundleScheme+ref))
}

// bundleValues is the annotation of a recorded chart that keeps the values of the
// bundle it came from, so that those that were given beside them can be told apart.
const bundleValues = "pkg.internal/bundle-values"

// layered are the values of the release: the bundle's, then what the deployed
// revision has that its own bundle had not, then those given now.
func (o *bundleInstallOptions) layered(b *bundle.Bundle, history []*release.Release, given map[string]any) (map[string]any, error) {
	values := chart.CopyValues(b.Config.Values)
	if last := deployedLast(history); last != nil && !o.resetValues && !o.installs(history) {
		old := map[string]any{}
		if text := last.Chart.Metadata.Annotations[bundleValues]; text != "" {
			if err := json.Unmarshal([]byte(text), &old); err != nil {
				return nil, fmt.Errorf("release %s: annotation %s: %w", last.Name, bundleValues, err)
			}
		}
		values = chart.Overlay(values, differing(last.Config, old))
	}
	return chart.Overlay(values, given), nil
}

// deployedLast is the newest revision that was deployed, else the newest; nil if
// there is none that knows its chart.
func deployedLast(history []*release.Release) *release.Release {
	var out *release.Release
	for _, r := range history {
		if r.Chart != nil && r.Chart.Metadata != nil && (r.Info.Status == release.StatusDeployed || out == nil || out.Info.Status != release.StatusDeployed) {
			out = r
		}
	}
	return out
}

// differing are the entries of values that base does not have as they are.
func differing(values, base map[string]any) map[string]any {
	out := map[string]any{}
	for k, v := range values {
		old, ok := base[k]
		if table, isTable := v.(map[string]any); isTable {
			if below, also := old.(map[string]any); also {
				if rest := differing(table, below); len(rest) > 0 {
					out[k] = rest
				}
				continue
			}
		}
		if !ok || !reflect.DeepEqual(v, old) {
			out[k] = v
		}
	}
	return out
}

// releaseChart is what is rendered. It is rendered once beforehand, without the
// cluster: to fail before images are moved, and to name images that the bundle lacks.
func (o *bundleInstallOptions) releaseChart(ctx context.Context, a *app, b *openedBundle, c *chart.Chart, values map[string]any, history []*release.Release) (release.Chart, error) {
	named, err := a.namedImages(ctx, c, values, o.render, engine.DefaultCapabilities())
	if err != nil {
		return release.Chart{}, err
	}
	if named, err = fullNames(named); err != nil {
		return release.Chart{}, err
	}
	for _, n := range named {
		if !slices.ContainsFunc(b.Config.Images, func(i bundle.Image) bool { return i.Name == n }) {
			a.warnf("image %s is not in the bundle: with these values the cluster must get it elsewhere", n)
		}
	}
	crds, err := o.change.crdPolicy(a, !o.installs(history))
	if err != nil {
		return release.Chart{}, err
	}
	text, err := json.Marshal(b.Config.Values)
	if err != nil {
		return release.Chart{}, err
	}
	c.Metadata.Annotations = maps.Clone(c.Metadata.Annotations)
	if c.Metadata.Annotations == nil {
		c.Metadata.Annotations = map[string]string{}
	}
	c.Metadata.Annotations[bundleValues] = string(text)
	return a.releaseChart(&repo.Resolved{Chart: c, Source: bundleScheme + b.source}, values, o.render, &o.postRenderer, crds), nil
}

// installs tells whether there is no release to upgrade.
func (o *bundleInstallOptions) installs(history []*release.Release) bool {
	return o.upgradeOptions.installs(history)
}

// run installs or upgrades. The values are complete: none of the old ones is added.
func (o *bundleInstallOptions) run(ctx context.Context, r *release.Releases, name string, c release.Chart, history []*release.Release, opts release.Options) (*release.Result, error) {
	o.upgradeOptions.resetValues = true
	return o.upgradeOptions.run(ctx, r, name, c, history, opts)
}

// announce says what is about to be done.
func (o *bundleInstallOptions) announce(a *app, name string, b *bundle.Bundle, history []*release.Release) {
	verb := "installing"
	from := ""
	if !o.installs(history) {
		verb = "upgrading"
		if last := deployedLast(history); last != nil {
			from = " from " + last.Chart.Metadata.Version
		}
	}
	fmt.Fprintf(a.Err, "%s release %s%s to %s %s of the bundle\n", verb, name, from, b.Config.Chart.Name, b.Config.Chart.Version)
}
