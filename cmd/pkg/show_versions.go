//go:build !front

package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"
)

func newShowVersionsCommand(a *app) *cobra.Command {
	var src chartFlags
	var format outputFormat
	cmd := &cobra.Command{
		Use:   "versions [CHART]",
		Short: "list the versions of a chart in a repository or registry",
		Long: `List the versions of repository/chart, or of oci://HOST/PATH/CHART, newest first;
--version takes a range, --devel adds prereleases.`,
		Example: "  pkg show versions oci://registry.example.com/charts/shop --version '>=1.2'",
		Args:    a.argCount(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runShowVersions(cmd.Context(), a, src, format, args[0])
		},
	}
	src.add(cmd.Flags())
	format.add(cmd.Flags())
	return cmd
}

// versionRow is a version as it is printed.
type versionRow struct {
	Version    string     `json:"version"`
	AppVersion string     `json:"app_version,omitempty"`
	Created    *time.Time `json:"created,omitempty"`
	Deprecated bool       `json:"deprecated,omitempty"`
	Digest     string     `json:"digest,omitempty"`
	URL        string     `json:"url,omitempty"`
}

func runShowVersions(ctx context.Context, a *app, src chartFlags, format outputFormat, ref string) error {
	list, err := a.repositories().Versions(ctx, a.request(src, ref))
	if err != nil {
		return err
	}
	rows := make([]versionRow, len(list))
	for i, v := range list {
		rows[i] = versionRow{Version: v.Version, AppVersion: v.AppVersion, Deprecated: v.Deprecated, Digest: v.Digest, URL: v.URL}
		if !v.Created.IsZero() {
			rows[i].Created = &list[i].Created
		}
	}
	return format.write(a.Out, rows, func() error {
		var t table
		t.add("VERSION", "APP VERSION", "CREATED", "NOTE")
		for _, r := range rows {
			created, note := "", ""
			if r.Created != nil {
				created = r.Created.Format(time.DateOnly)
			}
			if r.Deprecated {
				note = "deprecated"
			}
			t.add(r.Version, r.AppVersion, created, note)
		}
		return t.write(a.Out)
	})
}
