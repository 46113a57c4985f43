//go:build !front

package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/seed38700745/pkg/release"
)

// listFlags are the flags of `pkg list`.
type listFlags struct {
	release.ListOptions
	short, noHeaders                      bool
	timeFormat                            string
	deployed, failed, pending, superseded bool
	uninstalled, uninstalling             bool
	format                                outputFormat
}

func newListCommand(a *app) *cobra.Command {
	o := &listFlags{}
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "list releases",
		Example: "  pkg list -A\n  pkg list --failed -o json",
		Args:    a.argCount(0, 0),
		RunE:    func(cmd *cobra.Command, _ []string) error { return runList(cmd.Context(), a, o) },
	}
	f := cmd.Flags()
	f.BoolVarP(&o.short, "short", "q", false, "output short (quiet) listing format")
	f.BoolVar(&o.noHeaders, "no-headers", false, "don't print headers when using the default output format")
	f.StringVar(&o.timeFormat, "time-format", "", `format time using golang time formatter. Example: --time-format "2006-01-02 15:04:05Z0700"`)
	f.BoolVarP(&o.ByDate, "date", "d", false, "sort by release date")
	f.BoolVarP(&o.Reverse, "reverse", "r", false, "reverse the sort order")
	f.BoolVarP(&o.All, "all", "a", false, "show all releases without any filter applied")
	f.BoolVar(&o.uninstalled, "uninstalled", false, "show uninstalled releases (if 'uninstall --keep-history' was used)")
	f.BoolVar(&o.superseded, "superseded", false, "show superseded releases")
	f.BoolVar(&o.uninstalling, "uninstalling", false, "show releases that are currently being uninstalled")
	f.BoolVar(&o.deployed, "deployed", false, "show deployed releases. If no other is specified, all but superseded and uninstalled ones are shown")
	f.BoolVar(&o.failed, "failed", false, "show failed releases")
	f.BoolVar(&o.pending, "pending", false, "show pending releases")
	f.BoolVarP(&o.AllNamespaces, "all-namespaces", "A", false, "list releases across all namespaces")
	f.IntVarP(&o.Max, "max", "m", 256, "maximum number of releases to fetch")
	f.IntVar(&o.Offset, "offset", 0, "next release index in the list, used to offset from start value")
	f.StringVarP(&o.Filter, "filter", "f", "", "a regular expression (Perl compatible). Any releases that match the expression will be included in the results")
	f.StringVarP(&o.Selector, "selector", "l", "", "Selector (label query) to filter on, supports '=', '==', and '!='.(e.g. -l key1=value1,key2=value2)")
	o.format.add(f)
	return cmd
}

// statuses translates the filters.
func (o *listFlags) statuses() (out []release.Status) {
	for _, f := range []struct {
		on       bool
		statuses []release.Status
	}{
		{o.deployed, []release.Status{release.StatusDeployed}},
		{o.failed, []release.Status{release.StatusFailed}},
		{o.pending, []release.Status{release.StatusPendingInstall, release.StatusPendingUpgrade, release.StatusPendingRollback}},
		{o.superseded, []release.Status{release.StatusSuperseded}},
		{o.uninstalled, []release.Status{release.StatusUninstalled}},
		{o.uninstalling, []release.Status{release.StatusUninstalling}},
	} {
		if f.on {
			out = append(out, f.statuses...)
		}
	}
	return out
}

// unlessHidden are the statuses that are listed when none is asked for: unlike
// with helm also those of what goes on or was interrupted.
func unlessHidden() []release.Status {
	return []release.Status{
		release.StatusDeployed, release.StatusFailed, release.StatusUninstalling,
		release.StatusPendingInstall, release.StatusPendingUpgrade, release.StatusPendingRollback,
	}
}

// listedRelease is helm's JSON of a listed release.
type listedRelease struct {
	Name       string `json:"name"`
	Namespace  string `json:"namespace"`
	Revision   string `json:"revision"`
	Updated    string `json:"updated"`
	Status     string `json:"status"`
	Chart      string `json:"chart"`
	AppVersion string `json:"app_version"`
}

func (o *listFlags) row(r *release.Release) listedRelease {
	out := listedRelease{
		Name: r.Name, Namespace: r.Namespace, Revision: strconv.Itoa(r.Revision), Updated: "-",
		Status: string(r.Info.Status), Chart: releasedChart(r), AppVersion: releasedApp(r),
	}
	if t := r.Info.LastDeployed; !t.IsZero() {
		out.Updated = t.String()
		if o.timeFormat != "" {
			out.Updated = t.Format(o.timeFormat)
		}
	}
	return out
}

// releasedChart is "mysql-1.0.0", or helm's word for a record without a chart.
func releasedChart(r *release.Release) string {
	if r.Chart == nil || r.Chart.Metadata == nil {
		return "MISSING"
	}
	return r.Chart.Metadata.Name + "-" + r.Chart.Metadata.Version
}

func releasedApp(r *release.Release) string {
	if r.Chart == nil || r.Chart.Metadata == nil {
		return "MISSING"
	}
	return r.Chart.Metadata.AppVersion
}

func runList(ctx context.Context, a *app, o *listFlags) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	r, err := c.releases(a, "list")
	if err != nil {
		return err
	}
	o.Statuses = o.statuses()
	if len(o.Statuses) == 0 && !a.asHelm {
		o.Statuses = unlessHidden()
	}
	found, err := r.List(ctx, o.ListOptions)
	if err != nil {
		return err
	}
	a.tellUnfinished(ctx, r, found...)
	if o.short {
		names := make([]string, 0, len(found))
		for _, rel := range found {
			names = append(names, rel.Name)
		}
		return o.format.write(a.Out, names, func() error {
			for _, n := range names {
				fmt.Fprintln(a.Out, n)
			}
			return nil
		})
	}
	rows := make([]listedRelease, 0, len(found))
	for _, rel := range found {
		rows = append(rows, o.row(rel))
	}
	return o.format.write(a.Out, rows, func() error {
		var t table
		if !o.noHeaders {
			t.add("NAME", "NAMESPACE", "REVISION", "UPDATED", "STATUS", "CHART", "APP VERSION")
		}
		for _, l := range rows {
			t.add(l.Name, l.Namespace, l.Revision, l.Updated, l.Status, l.Chart, l.AppVersion)
		}
		return t.write(a.Out)
	})
}
