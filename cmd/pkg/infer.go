//go:build !front

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/seed38700745/pkg/chart"
	"github.com/seed38700745/pkg/chart/infer"
)

type schemaOptions struct {
	infer infer.Options
	check bool
	write bool
}

func newSchemaCommand(a *app) *cobra.Command {
	o := &schemaOptions{}
	cmd := &cobra.Command{
		Use:   "schema [CHART]",
		Short: "infer a values.schema.json, or check the one there is",
		Long: `Print a schema of a chart's values, inferred from values.yaml: types from the
defaults, descriptions from the comments. "# -- (int) text" above a key gives its type,
"# @schema {enum: [a, b]}" anything else. With --check, the chart's own schema is
checked: that the defaults fit it, and which values it does not describe.`,
		Example: "  pkg schema ./mychart --write\n  pkg schema ./mychart --check",
		Args:    a.argCount(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runSchema(cmd.Context(), a, o, folderOf(args))
		},
	}
	f := cmd.Flags()
	f.BoolVar(&o.infer.Closed, "closed", false, "refuse keys that values.yaml does not have")
	f.BoolVar(&o.check, "check", false, "check the chart's values.schema.json")
	f.BoolVarP(&o.write, "write", "w", false, "write values.schema.json into the chart instead of printing it")
	return cmd
}

func runSchema(ctx context.Context, a *app, o *schemaOptions, dir string) error {
	if o.check {
		return checkSchema(ctx, a, dir)
	}
	if _, err := os.Stat(filepath.Join(dir, chart.ChartfileName)); err != nil {
		return fmt.Errorf("%s is not a chart's folder: %w", dir, err)
	}
	values, err := os.ReadFile(filepath.Join(dir, chart.ValuesfileName))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	text, err := infer.Schema(values, o.infer)
	if err != nil {
		return err
	}
	if !o.write {
		_, err = a.Out.Write(text)
		return err
	}
	name := filepath.Join(dir, chart.SchemafileName)
	if err := os.WriteFile(name, text, 0o644); err != nil {
		return err
	}
	fmt.Fprintf(a.Err, "wrote %s\n", name)
	return nil
}

func checkSchema(ctx context.Context, a *app, ref string) error {
	res, err := a.repositories().Resolve(ctx, a.request(chartFlags{}, ref))
	if err != nil {
		return err
	}
	c := res.Chart
	if c.Schema == nil {
		return withHint(fmt.Errorf("chart %s has no %s", c.Name(), chart.SchemafileName), "pkg schema %s --write makes one", ref)
	}
	if err := chart.ValidateSchema(c.Values, c.Schema, a.schemaLibrary, a.logf); err != nil {
		return fmt.Errorf("the defaults of chart %s do not fit its schema:\n%w", c.Name(), err)
	}
	undescribed, unset, err := infer.Unknown(c.Values, c.Schema)
	if err != nil {
		return err
	}
	for _, path := range undescribed {
		fmt.Fprintf(a.Out, "%s: not in the schema\n", path)
	}
	for _, path := range unset {
		fmt.Fprintf(a.Out, "%s: in the schema, without a default\n", path)
	}
	_, err = fmt.Fprintf(a.Out, "the defaults fit the schema; %d values are not described\n", len(undescribed))
	return err
}
