//go:build !front

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed38700745/pkg/chart"
	"github.com/seed38700745/pkg/chart/semver"
	"github.com/seed38700745/pkg/repo"
)

type packageOptions struct {
	destination      string
	version          string
	appVersion       string
	dependencyUpdate bool
	signing          signFlags
	source           chartFlags // of dependencies
}

func newPackageCommand(a *app) *cobra.Command {
	o := &packageOptions{}
	cmd := &cobra.Command{
		Use:   "package [CHART_PATH] [...]",
		Short: "package a chart directory into a chart archive",
		Long: `Pack charts into archives. The same files give the same bytes; $SOURCE_DATE_EPOCH,
when set, is the time of every file in them. With --sign, ARCHIVE.prov is written
beside each, which pkg verify and helm verify check.`,
		Example: `  pkg package ./mychart -d dist
  pkg package ./mychart --sign --key me@example.com --keyring secring.gpg`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return a.helmUsage(errors.New("need at least one argument, the path to the chart"))
			}
			if o.signing.sign && o.signing.key == "" {
				return a.helmUsage(errors.New("--key is required for signing a package"))
			}
			for _, dir := range args {
				if err := runPackage(cmd.Context(), a, o, dir); err != nil {
					return err
				}
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVarP(&o.destination, "destination", "d", ".", "location to write the chart.")
	f.StringVar(&o.version, "version", "", "set the version on the chart to this semver version")
	f.StringVar(&o.appVersion, "app-version", "", "set the appVersion on the chart to this version")
	f.BoolVarP(&o.dependencyUpdate, "dependency-update", "u", false, `update dependencies from "Chart.yaml" to dir "charts/" before packaging`)
	o.signing.add(f, "this package")
	o.source.addAccess(f)
	return cmd
}

func runPackage(ctx context.Context, a *app, o *packageOptions, dir string) error {
	if o.dependencyUpdate {
		if _, err := a.repositories().Vendor(ctx, dir, repo.VendorOptions{Now: a.Now(), Access: o.source.access(), Pin: !a.asHelm}); err != nil {
			return err
		}
	}
	c, err := chart.Load(dir)
	if err != nil {
		return err
	}
	if o.version != "" {
		c.Metadata.Version = o.version
	}
	if _, err := semver.NewVersion(c.Metadata.Version); err != nil {
		return err
	}
	if o.appVersion != "" {
		c.Metadata.AppVersion = o.appVersion
	}
	if err := chart.CheckDependencies(c); err != nil {
		return err
	}
	stamp, err := a.sourceDate()
	if err != nil {
		return err
	}
	var out bytes.Buffer
	if err := chart.Save(&out, c, stamp); err != nil {
		return err
	}
	if err := os.MkdirAll(o.destination, 0o755); err != nil {
		return err
	}
	folder := o.destination
	if folder == "." || !a.asHelm { // helm shows other paths as they were given
		if folder, err = filepath.Abs(folder); err != nil {
			return err
		}
	}
	name := filepath.Join(folder, chart.ArchiveName(c))
	if err := os.WriteFile(name, out.Bytes(), 0o644); err != nil {
		return err
	}
	if o.signing.sign {
		if err := o.signing.write(a, name, out.Bytes()); err != nil {
			return fmt.Errorf("sign %s: %w", name, err)
		}
	}
	_, err = fmt.Fprintf(a.Out, "Successfully packaged chart and saved it to: %s\n", name)
	return err
}

// sourceDate is the time that reproducible builds ask for, zero when none is.
func (a *app) sourceDate() (time.Time, error) {
	epoch := a.Env("SOURCE_DATE_EPOCH")
	if epoch == "" {
		return time.Time{}, nil
	}
	seconds, err := strconv.ParseInt(epoch, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH: %w", err)
	}
	return time.Unix(seconds, 0).UTC(), nil
}
