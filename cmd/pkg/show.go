//go:build !front

package main

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/client-go/util/jsonpath"
	"sigs.k8s.io/yaml"

	"github.com/seed38700745/pkg/chart"
)

// showParts are the parts of a chart that can be shown, by subcommand.
var showParts = []struct{ name, short string }{
	{"all", "show all information of the chart"},
	{"chart", "show the chart's definition"},
	{"values", "show the chart's values"},
	{"readme", "show the chart's README"},
	{"crds", "show the chart's CRDs"},
}

func newShowCommand(a *app) *cobra.Command {
	cmd := a.group("show", "show information of a chart")
	cmd.Aliases = []string{"inspect"}
	cmd.Example = `  pkg show values stable/mysql
  pkg show chart ./mychart-1.0.0.tgz
  pkg show versions oci://registry.example.com/charts/shop
  pkg show signatures oci://registry.example.com/charts/shop --key cosign.pub`
	for _, part := range showParts {
		cmd.AddCommand(newShowPartCommand(a, part.name, part.short))
	}
	cmd.AddCommand(newShowVersionsCommand(a), newShowSignaturesCommand(a))
	return cmd
}

func newShowPartCommand(a *app, part, short string) *cobra.Command {
	var src chartFlags
	var path string
	cmd := &cobra.Command{
		Use:   part + " [CHART]",
		Short: short,
		Args:  a.argCount(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runShow(cmd.Context(), a, part, args[0], src, path)
		},
	}
	src.add(cmd.Flags())
	if part == "values" {
		cmd.Flags().StringVar(&path, "jsonpath", "", "supply a JSONPath expression to filter the output")
	}
	return cmd
}

func runShow(ctx context.Context, a *app, part, ref string, src chartFlags, path string) error {
	res, err := a.repositories().Resolve(ctx, a.request(src, ref))
	if err != nil {
		return err
	}
	if res.Note != "" && !a.asHelm {
		fmt.Fprintln(a.Err, res.Note)
	}
	var out bytes.Buffer
	if path != "" {
		err = showJSONPath(&out, res.Chart, path)
	} else {
		err = showChart(&out, res.Chart, part)
	}
	if err != nil {
		return err
	}
	_, err = a.Out.Write(out.Bytes())
	return err
}

func showChart(out *bytes.Buffer, c *chart.Chart, part string) error {
	all := part == "all"
	if all || part == "chart" {
		data, err := yaml.Marshal(c.Metadata)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%s\n", data)
	}
	if (all || part == "values") && c.Values != nil {
		separate(out, all)
		fmt.Fprintf(out, "%s\n", chart.RawFile(c, chart.ValuesfileName))
	}
	if all || part == "readme" {
		if readme := chart.Readme(c); readme != nil {
			separate(out, all)
			fmt.Fprintf(out, "%s\n", readme.Data)
		}
	}
	if all || part == "crds" {
		for i, crd := range c.CRDObjects() {
			separate(out, all && i == 0 && !strings.HasPrefix(string(crd.File.Data), "---"))
			fmt.Fprintf(out, "%s\n", crd.File.Data)
		}
	}
	return nil
}

func separate(out *bytes.Buffer, yes bool) {
	if yes {
		out.WriteString("---\n")
	}
}

func showJSONPath(out *bytes.Buffer, c *chart.Chart, path string) error {
	p := jsonpath.New("values")
	if err := p.Parse(path); err != nil {
		return fmt.Errorf("error parsing jsonpath %s: %w", path, err)
	}
	return p.Execute(out, c.Values)
}
