//go:build !front

package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed38700745/pkg/release"
)

func newTestCommand(a *app) *cobra.Command {
	var change changeFlags
	var logs, hideNotes bool
	var filters []string
	var format outputFormat
	cmd := &cobra.Command{
		Use:   "test NAME",
		Short: "run the tests of a release",
		Long: `Run the test hooks that a release's chart brings along, and wait for their result.

` + exitCodesText,
		Example: "  pkg test mysql --logs",
		Args:    a.argCount(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o, err := testOptions(filters)
			if err != nil {
				return err
			}
			o.Timeout = change.timeout
			return runTest(cmd.Context(), a, args[0], o, logs, printOptions{hideNotes: hideNotes}, format)
		},
	}
	f := cmd.Flags()
	f.DurationVar(&change.timeout, "timeout", defaultTimeout, "time to wait for each test")
	f.BoolVar(&logs, "logs", false, "dump the logs from test pods (this runs after all tests are complete, but before any cleanup)")
	f.BoolVar(&hideNotes, "hide-notes", !a.asHelm, "do not show the notes in the output")
	f.StringSliceVar(&filters, "filter", nil, "specify tests by attribute (currently \"name\") using attribute=value syntax or '!attribute=value' to exclude a test (can specify multiple or separate values with commas: name=test1,name=test2)")
	format.add(f)
	return cmd
}

// testOptions reads filters such as name=a and !name=b.
func testOptions(filters []string) (o release.TestOptions, err error) {
	for _, f := range filters {
		key, value, ok := strings.Cut(f, "=")
		switch {
		case ok && key == "name":
			o.Only = append(o.Only, value)
		case ok && key == "!name":
			o.Skip = append(o.Skip, value)
		default:
			return o, usagef("filter %q is not name=TEST or !name=TEST", f)
		}
	}
	return o, nil
}

func runTest(ctx context.Context, a *app, name string, o release.TestOptions, logs bool, p printOptions, format outputFormat) error {
	c, err := a.connectToChange(ctx)
	if err != nil {
		return err
	}
	r, err := c.releases(a, "test")
	if err != nil {
		return err
	}
	rel, testErr := r.Test(ctx, name, o)
	if rel == nil {
		return testErr
	}
	if err := format.write(a.Out, rel, func() error { return a.printRelease(a.Out, rel, p) }); err != nil {
		return err
	}
	if logs {
		fmt.Fprintln(a.Out)
		if err := r.TestLogs(ctx, a.Out, rel, o); err != nil && testErr == nil {
			return err
		}
	}
	return testErr
}
