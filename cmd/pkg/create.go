//go:build !front

package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"github.com/seed38700745/pkg/chart"
	"github.com/seed38700745/pkg/charts"
)

func newCreateCommand(a *app) *cobra.Command {
	var starterChart string
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "create a new chart with the given name",
		Long: `Make a chart to begin with: a web server with its content, configuration and
Service, which lints and installs as it is.`,
		Example: "  pkg create shop && pkg install shop ./shop",
		Args:    a.argCount(1, 1),
		RunE:    func(_ *cobra.Command, args []string) error { return runCreate(a, args[0], starterChart) },
	}
	cmd.Flags().StringVarP(&starterChart, "starter", "p", "", "the folder of a chart to begin with, or its name below starters/ in the configuration folder")
	return cmd
}

// starter is the bundled chart that new charts are made of.
const starter = "nginx"

var newChartName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[a-zA-Z0-9._-]+$`) })

func runCreate(a *app, path, starterChart string) error {
	name := filepath.Base(path)
	if !newChartName().MatchString(name) || len(name) > 250 {
		if a.asHelm {
			fmt.Fprintf(a.Out, "Creating %s\n", path) // helm says so first
			return fmt.Errorf("chart name must match the regular expression %q", newChartName())
		}
		return usagef("chart name %q: use letters, digits, '.', '_' and '-', 250 at most", name)
	}
	if _, err := os.Stat(filepath.Join(path, chart.ChartfileName)); err == nil {
		return fmt.Errorf("%s already is a chart", path)
	}
	from, err := charts.Open(starter)
	rename := starterFile
	if starterChart != "" {
		if !filepath.IsAbs(starterChart) {
			starterChart = filepath.Join(firstOf(a.Env("HELM_DATA_HOME"), a.ConfigDir), "starters", starterChart)
		}
		if _, err := chart.Load(starterChart); err != nil {
			return fmt.Errorf("could not load %s: %w", starterChart, err)
		}
		from, rename = os.DirFS(starterChart), renameStarter
	}
	if err != nil {
		return err
	}
	err = fs.WalkDir(from, ".", func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(from, file)
		if err != nil {
			return err
		}
		target := filepath.Join(path, filepath.FromSlash(file))
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return err
		}
		return os.WriteFile(target, []byte(rename(file, string(data), name)), 0o644)
	})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.Out, "Creating %s\n", path)
	return err
}

// starterName is what stands for the new chart's name in a user's starter (Helm's).
const starterName = "<CHARTNAME>"

// renameStarter is a file of a user's starter under the new chart's name.
func renameStarter(file, text, name string) string {
	if file == chart.ChartfileName {
		text = chartNameLine().ReplaceAllString(text, "name: "+name)
	}
	return strings.ReplaceAll(text, starterName, name)
}

var chartNameLine = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`(?m)^name:.*$`) })

// starterFile is a file of the starter under the new chart's name.
func starterFile(file, text, name string) string {
	switch file {
	case chart.ChartfileName:
		return fmt.Sprintf("apiVersion: v2\nname: %s\ndescription: A Helm chart for Kubernetes\ntype: application\nversion: 0.1.0\nappVersion: \"1.22\"\n", name)
	case "README.md":
		return fmt.Sprintf("# %s\n\n    pkg install %s ./%s\n", name, strings.ToLower(name), name)
	}
	return strings.ReplaceAll(text, `"`+starter+`.`, `"`+name+`.`)
}
