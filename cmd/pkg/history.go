//go:build !front

package main

import (
	"context"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed38700745/pkg/release"
)

func newHistoryCommand(a *app) *cobra.Command {
	var most int
	var format outputFormat
	cmd := &cobra.Command{
		Use:     "history NAME",
		Aliases: []string{"hist"},
		Short:   "show the revisions of a release",
		Args:    a.argCount(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runHistory(cmd.Context(), a, args[0], most, format)
		},
	}
	cmd.Flags().IntVar(&most, "max", 256, "maximum number of revision to include in history")
	format.add(cmd.Flags())
	return cmd
}

// historyEntry is helm's JSON of a revision; that of Helm 4, which has one field more,
// unless called as helm.
type historyEntry struct {
	Revision    int          `json:"revision"`
	Updated     release.Time `json:"updated"`
	Status      string       `json:"status"`
	Chart       string       `json:"chart"`
	AppVersion  string       `json:"app_version"`
	Description string       `json:"description"`
	Rollback    int          `json:"rollback_revision,omitempty"`
}

func runHistory(ctx context.Context, a *app, name string, most int, format outputFormat) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	r, err := c.releases(a, "history")
	if err != nil {
		return err
	}
	all, err := r.History(ctx, name)
	if err != nil {
		return err
	}
	if most > 0 && len(all) > most {
		all = all[len(all)-most:]
	}
	entries := make([]historyEntry, 0, len(all))
	for _, h := range all {
		e := historyEntry{
			Revision: h.Revision, Updated: h.Info.LastDeployed, Status: string(h.Info.Status),
			Chart: releasedChart(h), AppVersion: releasedApp(h), Description: h.Info.Description,
		}
		if !a.asHelm {
			e.Rollback = h.Info.RollbackRevision
		}
		entries = append(entries, e)
	}
	return format.write(a.Out, entries, func() error {
		var t table
		t.add("REVISION", "UPDATED", "STATUS", "CHART", "APP VERSION", "DESCRIPTION")
		for _, e := range entries {
			t.add(strconv.Itoa(e.Revision), e.Updated.Format(time.ANSIC), e.Status, e.Chart, e.AppVersion, e.Description)
		}
		return t.write(a.Out)
	})
}
