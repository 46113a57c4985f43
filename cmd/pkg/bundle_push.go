//go:build !front

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/spf13/cobra"

	"github.com/seed38700745/pkg/bundle"
	"github.com/seed38700745/pkg/repo"
)

// bundlePushOptions are the flags of `pkg bundle push`.
type bundlePushOptions struct {
	source   chartFlags
	imagesTo string
	force    bool
}

func newBundlePushCommand(a *app) *cobra.Command {
	o := &bundlePushOptions{}
	cmd := &cobra.Command{
		Use:   "push FILE [oci://HOST/PATH[:TAG]]",
		Short: "put a bundle into a registry",
		Long: `Put a bundle into a registry, as one index of everything that is in it; without a TAG it
is the chart's version. pkg bundle install and pull take it from there. With --images-to
only the images go, each under its own name below a path, for clusters that pull.

Exit codes: 0 done, 1 failed, 2 wrong usage.`,
		Example: `  pkg bundle push mysql-1.0.0.bundle.tar oci://registry.example.com/bundles/mysql
  pkg bundle push mysql-1.0.0.bundle.tar --images-to registry.example.com/apps`,
		Args: a.argCount(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if (len(args) == 2) == (o.imagesTo != "") {
				return usagef("either a reference to push the bundle to, or --images-to for its images")
			}
			return runBundlePush(cmd.Context(), a, o, args)
		},
	}
	f := cmd.Flags()
	o.source.addAccess(f)
	f.BoolVar(&o.source.Verify, "verify", false, "push only what a key of the keyring signed")
	f.StringVar(&o.source.Keyring, "keyring", "", "location of public keys used for verification; default $GNUPGHOME/pubring.gpg, else ~/.gnupg/pubring.gpg")
	f.StringVar(&o.imagesTo, "images-to", "", "push only the images, below this path of a registry, HOST/PATH")
	f.BoolVar(&o.force, "force", false, "replace what is there, also if it is no bundle")
	return cmd
}

func runBundlePush(ctx context.Context, a *app, o *bundlePushOptions, args []string) error {
	if repo.IsOCI(args[0]) {
		return usagef("%s: pkg bundle push takes a file; pkg bundle pull makes one", args[0])
	}
	b, err := a.openChecked(ctx, args[0], o.source)
	if err != nil {
		return err
	}
	defer b.close()
	if o.imagesTo != "" {
		_, err := a.pushImages(ctx, b.Bundle, o.imagesTo, o.source.access())
		if err == nil {
			n := len(b.Config.Images)
			_, err = fmt.Fprintf(a.Out, "Pushed: %d image%s below %s\n", n, plural(n), o.imagesTo)
		}
		return err
	}
	at, err := a.repositories().Artifact(ctx, args[1], o.source.access())
	if err != nil {
		return err
	}
	if at.Version == nil {
		at.Version = at.Repository.Tag(strings.ReplaceAll(b.Config.Chart.Version, "+", "_")) // a tag has no +
	}
	if !o.force {
		if err := replaceable(at); err != nil {
			return err
		}
	}
	if err := remote.WriteIndex(at.Version, b.Pushable(ctx), at.Options...); err != nil {
		return fmt.Errorf("push %s: %w", at.Version, err)
	}
	_, err = fmt.Fprintf(a.Out, "Pushed: %s%s\nDigest: %s\n", repo.OCIScheme, at.Version.Name(), b.Digest)
	return err
}

// replaceable refuses to replace what is no bundle: a chart may have the same name.
func replaceable(at *repo.Artifact) error {
	found, err := remote.Get(at.Version, at.Options...)
	var answer *transport.Error
	if errors.As(err, &answer) && answer.StatusCode == http.StatusNotFound {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s: %w", at.Version, err)
	}
	if !found.MediaType.IsIndex() || !strings.Contains(string(found.Manifest), bundle.ArtifactType) {
		return withHint(fmt.Errorf("%s is there and is no bundle (%s)", at.Version, found.MediaType), "choose another path or tag; --force replaces it")
	}
	return nil
}

func newBundlePullCommand(a *app) *cobra.Command {
	var source chartFlags
	var output string
	cmd := &cobra.Command{
		Use:   "pull oci://HOST/PATH:TAG",
		Short: "fetch a bundle from a registry into a file",
		Long: `Fetch a bundle from a registry: the file is the one that was pushed, byte for byte.

Exit codes: 0 done, 1 failed, 2 wrong usage.`,
		Example: "  pkg bundle pull oci://registry.example.com/bundles/mysql:1.0.0",
		Args:    a.argCount(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runBundlePull(cmd.Context(), a, source, args[0], output)
		},
	}
	f := cmd.Flags()
	source.addAccess(f)
	f.BoolVar(&source.Verify, "verify", false, "fetch only what a key of the keyring signed")
	f.StringVar(&source.Keyring, "keyring", "", "location of public keys used for verification; default $GNUPGHOME/pubring.gpg, else ~/.gnupg/pubring.gpg")
	f.StringVarP(&output, "output", "o", "", "the file to write; default NAME-VERSION"+bundleExtension)
	return cmd
}

func runBundlePull(ctx context.Context, a *app, source chartFlags, ref, output string) error {
	if !repo.IsOCI(ref) {
		return usagef("%s: registries are named oci://HOST/PATH:TAG", ref)
	}
	b, err := a.openBundle(ctx, ref, source.access())
	if err != nil {
		return err
	}
	defer b.close()
	if err := a.trust(ctx, b.Bundle, source.Verify, source.Keyring); err != nil {
		return err
	}
	if output == "" {
		output = fmt.Sprintf("%s-%s%s", fileName(b.Config.Chart.Name), fileName(b.Config.Chart.Version), bundleExtension)
	}
	if err := writeFileWhole(output, func(w io.Writer) error { return b.Write(ctx, w) }); err != nil {
		return fmt.Errorf("bundle %s: %w", ref, err)
	}
	_, err = fmt.Fprintf(a.Out, "Pulled: %s\nDigest: %s\n", output, b.Digest)
	return err
}

// fileName makes a part of a file's name of what somebody else wrote.
func fileName(text string) string { return strings.NewReplacer("/", "_", "\\", "_").Replace(text) }
