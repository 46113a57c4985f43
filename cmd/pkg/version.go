package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"text/template"

	"github.com/spf13/cobra"

	"github.com/seed38700745/pkg/cmd/internal/version"
	"github.com/seed38700745/pkg/engine"
)

// programVersion is the release's version, or what the build knows of itself.
func programVersion() string {
	if version.Version != version.Unknown {
		return version.Version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "devel"
}

func newVersionCommand(a *app) *cobra.Command {
	var short bool
	var text string
	cmd := &cobra.Command{
		Use:   "version",
		Short: "print the version information",
		Args:  a.argCount(0, 0),
		RunE:  func(*cobra.Command, []string) error { return runVersion(a, short, text) },
	}
	f := cmd.Flags()
	f.BoolVar(&short, "short", false, "print the version number")
	f.StringVar(&text, "template", "", "template for version string format")
	f.BoolP("client", "c", true, "accepted for helm's sake")
	return cmd
}

func runVersion(a *app, short bool, text string) error {
	info := engine.DefaultCapabilities().HelmVersion
	if !a.asHelm {
		info = engine.BuildInfo{Version: programVersion(), GoVersion: runtime.Version()}
	}
	switch {
	case text != "":
		t, err := template.New("_").Parse(text)
		if err != nil {
			return err
		}
		return t.Execute(a.Out, info)
	case short:
		_, err := fmt.Fprintln(a.Out, info.Version)
		return err
	case a.asHelm:
		_, err := fmt.Fprintf(a.Out, "version.BuildInfo{Version:%q, GitCommit:%q, GitTreeState:%q, GoVersion:%q}\n",
			info.Version, info.GitCommit, info.GitTreeState, info.GoVersion)
		return err
	}
	_, err := fmt.Fprintf(a.Out, "pkg %s (renders as Helm %s, %s)\n", info.Version, engine.HelmVersion, info.GoVersion)
	return err
}
