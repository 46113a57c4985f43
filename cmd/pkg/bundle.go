//go:build !front

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/spf13/cobra"

	"github.com/seed38700745/pkg/bundle"
	"github.com/seed38700745/pkg/chart/provenance"
	"github.com/seed38700745/pkg/repo"
)

func newBundleCommand(a *app) *cobra.Command {
	cmd := a.group("bundle", "a chart with its images and all it needs in one file, for machines without network",
		newBundleCreateCommand(a), newBundleInspectCommand(a), newBundleInstallCommand(a), newBundlePushCommand(a), newBundlePullCommand(a))
	cmd.Long = `Put a chart, the charts that it depends on, values and all images that it names into one
file, and install from that where there is no network. docs/bundles.md describes the file.`
	cmd.Example = `  pkg bundle create stable/mysql --with-runtime
  pkg bundle install mysql-1.0.0.bundle.tar
On a machine that has nothing yet, as root:
  tar -xOf mysql-1.0.0.bundle.tar runtime.tar.gz | tar -xz -C /usr/local/bin
  pkg bundle install mysql-1.0.0.bundle.tar`
	return cmd
}

// bundleExtension ends the names of bundles' files.
const bundleExtension = ".bundle.tar"

// openedBundle is a bundle, wherever it is.
type openedBundle struct {
	*bundle.Bundle
	source string // absolute path, or the reference in a registry
	close  func() error
}

// openBundle opens a bundle in a file or a registry and reads its small parts.
func (a *app) openBundle(ctx context.Context, ref string, access repo.Access) (*openedBundle, error) {
	if repo.IsOCI(ref) {
		b, err := a.remoteBundle(ctx, ref, access)
		if err != nil {
			return nil, err
		}
		return &openedBundle{b, ref, func() error { return nil }}, nil
	}
	f, err := bundle.Open(ctx, ref)
	switch {
	case errors.Is(err, bundle.ErrNoBundle):
		return nil, withHint(err, "pkg bundle create CHART makes bundles")
	case err != nil:
		return nil, err
	}
	source, err := filepath.Abs(ref)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &openedBundle{f.Bundle, source, f.Close}, nil
}

// remoteBundle is a bundle in a registry, whose blobs are fetched when they are read.
func (a *app) remoteBundle(ctx context.Context, ref string, access repo.Access) (*bundle.Bundle, error) {
	at, err := a.repositories().Artifact(ctx, ref, access)
	if err != nil {
		return nil, err
	}
	if at.Version == nil {
		return nil, withHint(usagef("%s: which bundle? The reference has no tag", ref), "%s:VERSION", ref)
	}
	found, err := remote.Get(at.Version, at.Options...)
	if err != nil {
		return nil, fmt.Errorf("bundle %s: %w", ref, err)
	}
	if !found.MediaType.IsIndex() {
		return nil, withHint(fmt.Errorf("bundle %s: %w: the registry has a %s there", ref, bundle.ErrNoBundle, found.MediaType), "pkg install installs charts")
	}
	open := func(_ context.Context, d v1.Descriptor) (io.ReadCloser, error) {
		digest := at.Repository.Digest(d.Digest.String())
		if d.MediaType.IsImage() || d.MediaType.IsIndex() {
			m, err := remote.Get(digest, at.Options...)
			if err != nil {
				return nil, err
			}
			return io.NopCloser(strings.NewReader(string(m.Manifest))), nil
		}
		layer, err := remote.Layer(digest, at.Options...)
		if err != nil {
			return nil, err
		}
		return layer.Compressed()
	}
	b, err := bundle.Read(ctx, found.Manifest, open)
	if err != nil {
		return nil, fmt.Errorf("bundle %s: %w", ref, err)
	}
	return b, nil
}

// trust checks a bundle's signature if that is wanted, and says who made it.
func (a *app) trust(ctx context.Context, b *bundle.Bundle, verify bool, keyring string) error {
	if !verify {
		if b.Signed() {
			fmt.Fprintln(a.Err, "the bundle is signed; --verify checks by whom")
		}
		return nil
	}
	by, err := a.signerOf(ctx, b, keyring)
	if err != nil {
		return err
	}
	fmt.Fprintf(a.Err, "signed by %s, key %s\n", strings.Join(by.Names, ", "), by.Fingerprint)
	return nil
}

// signerOf verifies a signature with a keyring.
func (a *app) signerOf(ctx context.Context, b *bundle.Bundle, keyring string) (*provenance.Signer, error) {
	keyring = firstOf(keyring, a.defaultKeyring())
	ring, err := provenance.ReadKeyring(keyring)
	if err != nil {
		return nil, withHint(fmt.Errorf("failed to load keyring: %w", err), "gpg --export > %s writes GnuPG's public keys there", keyring)
	}
	by, err := b.Verify(ctx, ring)
	if err != nil {
		return nil, withHint(fmt.Errorf("signature of the bundle: %w", err), "keys are looked for in %s; --keyring names another file", keyring)
	}
	return by, nil
}

// writeFileWhole writes a file that is on disk complete, or not there at all. What a
// killed process leaves is removed by the next one that writes into the same folder.
func writeFileWhole(path string, write func(io.Writer) error) (err error) {
	pending, err := repo.PendingFolder(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, repo.DiscardFolder(pending)) }()
	f, err := os.Create(filepath.Join(pending.Name(), "file"))
	if err != nil {
		return err
	}
	err = write(f)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Chmod(0o644), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
