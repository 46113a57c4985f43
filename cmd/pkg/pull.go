//go:build !front

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed38700745/pkg/chart"
	"github.com/seed38700745/pkg/chart/provenance"
	"github.com/seed38700745/pkg/repo"
)

type pullOptions struct {
	source      chartFlags
	destination string
	untar       bool
	prov        bool
	untarDir    string
}

func newPullCommand(a *app) *cobra.Command {
	o := &pullOptions{}
	cmd := &cobra.Command{
		Use:     "pull [chart URL | repo/chartname] [...]",
		Aliases: []string{"fetch"},
		Short:   "download a chart from a repository and (optionally) unpack it in local directory",
		Example: "  pkg pull stable/mysql --untar",
		Args:    a.argCount(1, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, ref := range args {
				if err := runPull(cmd.Context(), a, o, ref); err != nil {
					return err
				}
			}
			return nil
		},
	}
	f := cmd.Flags()
	o.source.add(f)
	f.StringVarP(&o.destination, "destination", "d", ".", "location to write the chart. If this and untardir are specified, untardir is appended to this")
	f.BoolVar(&o.untar, "untar", false, "if set to true, will untar the chart after downloading it")
	f.BoolVar(&o.prov, "prov", false, "fetch the provenance file, but don't perform verification")
	f.StringVar(&o.untarDir, "untardir", ".", "if untar is specified, this flag specifies the name of the directory into which the chart is expanded")
	return cmd
}

func runPull(ctx context.Context, a *app, o *pullOptions, ref string) error {
	var signed provenance.Verification
	req := a.request(o.source, ref)
	req.Provenance = o.prov
	if o.source.Verify {
		req.Verify = a.verifierInto(o.source.Keyring, &signed)
	}
	r, p := a.repositories(), a.newDownloads()
	r.Progress = p.report
	archive, err := r.Pull(ctx, req)
	p.erase()
	if err != nil {
		return err
	}
	if archive.Ref != "" {
		fmt.Fprintf(a.Err, "Pulled: %s\nDigest: %s\n", strings.TrimPrefix(archive.Ref, repo.OCIScheme), archive.Manifest)
	}
	if signed.Hash != "" {
		fmt.Fprint(a.Out, signed.String())
	}
	if !o.untar {
		return archive.Save(o.destination)
	}
	c, err := archive.Load()
	if err != nil {
		return fmt.Errorf("chart %s: %w", ref, err)
	}
	dir := o.untarDir
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(o.destination, dir)
	}
	dir = filepath.Join(dir, c.Name())
	if _, err := os.Stat(dir); err == nil {
		return fmt.Errorf("failed to untar: a file or directory with the name %s already exists", dir)
	}
	return unpackChart(c, dir)
}

// unpackChart writes a chart's files into a new folder, all or none. Their names were
// checked when the archive was read; os.Root makes sure once more.
func unpackChart(c *chart.Chart, dir string) (err error) {
	pending, err := repo.PendingFolder(dir)
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(pending.Name())
	if err != nil {
		return errors.Join(err, repo.DiscardFolder(pending))
	}
	for _, f := range c.Raw {
		err = root.MkdirAll(filepath.Dir(f.Name), 0o755)
		if err == nil {
			err = root.WriteFile(f.Name, f.Data, 0o644)
		}
		if err != nil {
			return errors.Join(err, root.Close(), repo.DiscardFolder(pending))
		}
	}
	if err := root.Close(); err != nil {
		return err
	}
	return repo.CommitFolder(pending, dir)
}
