package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/seed38700745/pkg/cluster"
	"github.com/seed38700745/pkg/cluster/backup/archive"
	"github.com/seed38700745/pkg/cluster/instance"
)

// restore makes the cluster of a backup's file the one of the data folder. With
// --force it removes, once the file is known to be good, the cluster that is
// there, but not its volumes.
func restore(ctx context.Context, o *options) error {
	if len(o.args) != 1 {
		return fmt.Errorf("%w: restore needs one FILE", errUsage)
	}
	file := o.args[0]
	if pid, err := instance.Running(o.home); err != nil {
		return err
	} else if pid != 0 {
		return fmt.Errorf("the cluster in %s is running (pid %d): stop it first, or restore into another data folder (PKG_HOME)", o.home, pid)
	}
	if o.force && cluster.CheckRestored(o.home) == nil {
		if err := replaceable(ctx, o, file); err != nil {
			return err
		}
	}
	r, err := cluster.Restore(ctx, file, o.home, o.force)
	switch {
	case errors.Is(err, cluster.ErrHasCluster):
		return fmt.Errorf("%w: choose another data folder (PKG_HOME), or --force replaces it, but for its volumes", err)
	case errors.Is(err, cluster.ErrHasVolume):
		return fmt.Errorf("%w: --force replaces it", err)
	case err != nil:
		return err
	}
	tellRestored(os.Stderr, o.home, r)
	return nil
}

// replaceable removes the cluster of the data folder if the file can take its
// place.
func replaceable(ctx context.Context, o *options, file string) error {
	record, err := instance.Load(o.home)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, _, err := archive.Verify(f); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	shim, helper, err := installPrograms(record.RunDir())
	if err != nil {
		return err
	}
	return cluster.Delete(ctx, *record, shim, helper, false, newLogger())
}

// tellRestored says what a restore did, and what became different.
func tellRestored(w io.Writer, home string, r *cluster.Restored) {
	fmt.Fprintf(w, "restored the cluster of %s (%s, pkg %s) into %s\n", r.Header.Home, r.Header.Time.Local().Format("2006-01-02 15:04:05"), r.Header.Version, home)
	if r.From.ServiceCIDR != r.To.ServiceCIDR {
		fmt.Fprintf(w, "its Services had addresses in %s, and now have them in %s\n", r.From.ServiceCIDR, r.To.ServiceCIDR)
	}
	if r.From.FirstNodePort != r.To.FirstNodePort {
		fmt.Fprintf(w, "node port %d is now %d, and so on\n", r.From.FirstNodePort, r.To.FirstNodePort)
	}
	if r.From.Node != r.To.Node {
		fmt.Fprintf(w, "its node %s is now %s\n", r.From.Node, r.To.Node)
	}
	for _, v := range r.Manifest.Volumes {
		fmt.Fprintf(w, "volume %s of %s: %d files, %d bytes (%s)\n", v.Name, v.Claim, v.Files, v.Bytes, v.How)
	}
	for _, s := range r.Manifest.Skipped {
		fmt.Fprintf(w, "volume %s of %s is not in the backup (%s): it has what is in %s, or begins empty\n", s.Name, s.Claim, s.Why, home)
	}
}
