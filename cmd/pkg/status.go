//go:build !front

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
		Short: "show the state of a release, and what runs of it",
		Long: `Show the state of a release: helm's header, then the tree of its objects with what
controllers made of them. ✓ is ready, … is on its way, ✗ will not become ready by itself;
NOT READY names the first thing to look at. -o json is helm's answer, without the tree.`,
		Example: "  pkg status mysql\n  pkg status mysql --show-resources=false",
		Args:    a.argCount(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runStatus(cmd.Context(), a, args[0], revision, printOptions{description: description}, resources, format)
		},
	}
	f := cmd.Flags()
	f.IntVar(&revision, "revision", 0, "if set, display the status of the named release with revision")
	f.BoolVar(&description, "show-desc", false, "if set, display the description message of the named release")
	f.BoolVar(&resources, "show-resources", !a.asHelm, "display the objects of the release, what belongs to them, and whether they are ready")
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
		if o.resources, err = a.resources(ctx, r, rel); err != nil {
			return err
		}
	}
	a.tellUnfinished(ctx, r, rel)
	rel.Chart = nil // as in helm's answer
	return format.write(a.Out, rel, func() error { return a.printRelease(a.Out, rel, o) })
}

// resources is what runs of a release: the tree, or called as helm one line for
// each object.
func (a *app) resources(ctx context.Context, r *release.Releases, rel *release.Release) (string, error) {
	var b strings.Builder
	if !a.asHelm {
		tree, err := r.Tree(ctx, rel)
		if err != nil {
			return "", err
		}
		err = a.printTree(&b, tree, painter{on: a.colored("auto")})
		return b.String(), err
	}
	states, err := r.States(ctx, rel)
	if err != nil {
		return "", err
	}
	var t table
	for _, s := range states {
		t.add("  "+s.Object.String(), firstOf(s.Message, "ready"))
	}
	b.WriteString("RESOURCES:\n")
	if err := t.write(&b); err != nil {
		return "", err
	}
	return b.String(), nil
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
