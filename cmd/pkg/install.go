//go:build !front

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/seed38700745/pkg/chart"
	"github.com/seed38700745/pkg/release"
)

// installOptions are the flags of `pkg install`.
type installOptions struct {
	values       chart.Values
	source       chartFlags
	naming       nameFlags
	render       renderFlags
	postRenderer postRenderer
	change       changeFlags
	show         showFlags

	createNamespace bool
	replace         bool
	oldName         string
	format          outputFormat
}

const exitCodesText = `Exit codes: 0 done, 1 failed, 2 wrong usage, 3 timed out, 4 another operation is running.`

func newInstallCommand(a *app) *cobra.Command { return installCommand(a, nil) }

// installCommand is `pkg install` or, with a preview, `pkg plan install`.
func installCommand(a *app, p *preview) *cobra.Command {
	o := &installOptions{change: changeFlags{preview: p}}
	cmd := &cobra.Command{
		Use:   "install [NAME] CHART",
		Short: "install a chart",
		Long: `Install a chart as a release. Without a NAME the release is called like the chart.
The command waits until everything is ready and tells what it waits for.

` + exitCodesText,
		Example: `  pkg install stable/mysql
  pkg install shop-db stable/mysql --set auth.database=shop
  pkg install ./chart -f values.yaml -n shop --create-namespace`,
		Args: a.argCount(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runInstall(cmd.Context(), a, o, args, cmd.Flags())
		},
	}
	f := cmd.Flags()
	addValueFlags(f, &o.values)
	o.source.add(f)
	o.source.addDependencyUpdate(f)
	o.naming.add(f)
	o.render.add(f)
	o.postRenderer.add(f)
	o.change.addMaking(f)
	o.show.add(f)
	if p != nil {
		p.add(f)
	} else {
		o.format.add(f)
	}
	f.BoolVar(&o.createNamespace, "create-namespace", false, "create the release namespace if not present")
	f.BoolVar(&o.replace, "replace", false, "reuse the given name, only if that name is a deleted or failed release which remains in the history")
	f.StringVar(&o.oldName, "name", "", "helm 2's way to name a release")
	f.Lookup("name").Hidden = true
	return cmd
}

func runInstall(ctx context.Context, a *app, o *installOptions, args []string, flags *pflag.FlagSet) error {
	if o.oldName != "" {
		return withHint(usagef("--name is helm 2's; a release's name is the first argument"), "pkg install %s %s", quote(o.oldName), quote(args[len(args)-1]))
	}
	opts, err := o.change.options(a)
	if err != nil {
		return err
	}
	crds, err := o.change.crdPolicy(a, false)
	if err != nil {
		return err
	}
	if opts.HistoryMax == 0 {
		opts.HistoryMax = defaultHistory
	}
	name, ref, err := o.naming.nameAndChart(args, "", a.Now)
	if err != nil {
		return err
	}
	if name == "" && a.asHelm {
		return errors.New("INSTALLATION FAILED: must either provide a name or specify --generate-name")
	}
	res, values, err := a.loadForRelease(ctx, ref, o.source, o.values)
	if err != nil {
		return err
	}
	if name == "" {
		name = res.Chart.Name()
	}
	c, err := a.connectFor(ctx, opts, true)
	if err != nil {
		return err
	}
	r, err := c.releases(a, "install")
	if err != nil {
		return err
	}
	result, err := r.Install(ctx, name, a.releaseChart(res, values, o.render, &o.postRenderer, crds), release.InstallOptions{
		Options: opts, CreateNamespace: o.createNamespace, Replace: o.replace, Strict: a.asHelm,
	})
	if err != nil {
		return a.installFailure(ctx, r, err, result, ref, flags)
	}
	if p := o.change.preview; p != nil {
		return a.showPreview(c, result, p)
	}
	return a.printResult(result, opts, o.show, o.format)
}

// installFailure adds what to type when the name is in use.
func (a *app) installFailure(ctx context.Context, r *release.Releases, err error, result *release.Result, ref string, flags *pflag.FlagSet) error {
	if a.asHelm {
		return fmt.Errorf("INSTALLATION FAILED: %w", err)
	}
	var used *release.NameInUseError
	if !errors.As(err, &used) {
		return a.changeFailure(err, result)
	}
	rest := typedAgain(flags)
	err = fmt.Errorf("a release named %s exists in namespace %s: revision %d, %s", used.Name, used.Namespace, used.Revision, used.Status)
	switch used.Status {
	case release.StatusUninstalled:
		return withHint(err, "its history was kept. Install again with\n  pkg install %s %s --replace%s", used.Name, quote(ref), rest)
	case release.StatusUninstalling:
		return withHint(err, "its removal has not ended. Go on with it with\n  pkg uninstall %s%s", used.Name, namespaceFlag(used.Namespace))
	}
	return withHint(err, "upgrade it with\n  pkg upgrade %s %s%s\nor install another under a new name with\n  pkg install %s %s%s",
		used.Name, quote(ref), rest, freeName(ctx, r, used.Name), quote(ref), rest)
}

// templateHint leaves errors alone but those of templates, which are worded as by
// `pkg template`.
func (a *app) templateHint(err error) error { return a.templateFailure(nil, err) }

// typedAgain repeats the flags that were given and that upgrade knows, too.
func typedAgain(flags *pflag.FlagSet) string {
	var b strings.Builder
	flags.Visit(func(f *pflag.Flag) {
		switch f.Name {
		case "generate-name", "name-template", "create-namespace", "replace":
			return
		}
		if list, ok := f.Value.(pflag.SliceValue); ok {
			for _, v := range list.GetSlice() {
				b.WriteString(" --" + f.Name + " " + quote(v))
			}
			return
		}
		if f.Value.Type() == "bool" {
			b.WriteString(" --" + f.Name)
			return
		}
		b.WriteString(" --" + f.Name + " " + quote(f.Value.String()))
	})
	return b.String()
}

func namespaceFlag(namespace string) string {
	if namespace == "default" {
		return ""
	}
	return " -n " + namespace
}

// maxSuffix bounds the search for a free name.
const maxSuffix = 100

// freeName is name-2, or the next number that no release has.
func freeName(ctx context.Context, r *release.Releases, name string) string {
	for n := 2; n < maxSuffix; n++ {
		other := fmt.Sprintf("%s-%d", name, n)
		var missing *release.NotFoundError
		if _, err := r.Get(ctx, other, 0); errors.As(err, &missing) {
			return other
		}
	}
	return name + "-new"
}
