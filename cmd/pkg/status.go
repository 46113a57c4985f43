package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed38700745/pkg/release"
)

func newStatusCommand(a *app) *cobra.Command {
	var revision int
	var description, resources bool
	var format outputFormat
	cmd := &cobra.Command{
		Use:   "status NAME",
		Short: "show the state of a release",
		Args:  a.argCount(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runStatus(cmd.Context(), a, args[0], revision, printOptions{description: description}, resources, format)
		},
	}
	f := cmd.Flags()
	f.IntVar(&revision, "revision", 0, "if set, display the status of the named release with revision")
	f.BoolVar(&description, "show-desc", false, "if set, display the description message of the named release")
	f.BoolVar(&resources, "show-resources", !a.asHelm, "display the objects of the release and whether they are ready")
	format.add(f)
	return cmd
}

func runStatus(ctx context.Context, a *app, name string, revision int, o printOptions, resources bool, format outputFormat) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	r, err := c.releases(a, "status")
	if err != nil {
		return err
	}
	rel, err := r.Get(ctx, name, revision)
	if err != nil {
		return err
	}
	if resources && format == "table" {
		states, err := r.States(ctx, rel)
		if err != nil {
			return err
		}
		var b strings.Builder
		var t table
		for _, s := range states {
			t.add("  "+s.Object.String(), firstOf(s.Message, "ready"))
		}
		if err := t.write(&b); err != nil {
			return err
		}
		o.resources = b.String()
	}
	a.tellUnfinished(ctx, r, rel)
	rel.Chart = nil // as in helm's answer
	return format.write(a.Out, rel, func() error { return a.printRelease(a.Out, rel, o) })
}

// tellUnfinished says of releases what is going on with them, or was interrupted.
func (a *app) tellUnfinished(ctx context.Context, r *release.Releases, all ...*release.Release) {
	if a.asHelm {
		return
	}
	for _, rel := range all {
		if text := r.Unfinished(ctx, rel); text != "" {
			fmt.Fprintln(a.Err, text)
		}
	}
}
