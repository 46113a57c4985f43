//go:build !front

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/seed38700745/pkg/bundle"
	"github.com/seed38700745/pkg/chart/provenance"
)

// bundleInspectOptions are the flags of `pkg bundle inspect`.
type bundleInspectOptions struct {
	source chartFlags
	format outputFormat
	sbom   bool
}

func newBundleInspectCommand(a *app) *cobra.Command {
	o := &bundleInspectOptions{}
	cmd := &cobra.Command{
		Use:     "inspect FILE|oci://REFERENCE",
		Aliases: []string{"show"},
		Short:   "show what is in a bundle, and check it",
		Long: `Show the chart, values and images of a bundle, and whose signature it has. A file is read
whole and compared with its checksums; of a bundle in a registry the small parts are.

Exit codes: 0 done, 1 damaged or not signed by a key of the keyring, 2 wrong usage.`,
		Example: `  pkg bundle inspect mysql-1.0.0.bundle.tar
  pkg bundle inspect mysql-1.0.0.bundle.tar --sbom > mysql.spdx.json`,
		Args: a.argCount(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runBundleInspect(cmd.Context(), a, o, args[0])
		},
	}
	f := cmd.Flags()
	o.source.addAccess(f)
	f.BoolVar(&o.source.Verify, "verify", false, "fail unless a key of the keyring signed it")
	f.StringVar(&o.source.Keyring, "keyring", "", "location of public keys used for verification; default $GNUPGHOME/pubring.gpg, else ~/.gnupg/pubring.gpg")
	f.BoolVar(&o.sbom, "sbom", false, "print the list of contents, SPDX 2.3 as JSON")
	o.format.add(f)
	return cmd
}

// inspectedBundle is a bundle as JSON.
type inspectedBundle struct {
	bundle.Config
	Digest    string `json:"digest"`
	Signature string `json:"signature"` // see signatureState
}

func runBundleInspect(ctx context.Context, a *app, o *bundleInspectOptions, ref string) error {
	b, err := a.openBundle(ctx, ref, o.source.access())
	if err != nil {
		return err
	}
	defer b.close()
	if o.sbom {
		contents, err := b.Contents(ctx)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(a.Out, "%s\n", contents)
		return err
	}
	state, err := a.signatureState(ctx, b.Bundle, o.source)
	if err != nil {
		return err
	}
	checked := ""
	if b.source != ref || !strings.HasPrefix(ref, "oci://") {
		if err := b.Check(ctx); err != nil {
			return fmt.Errorf("bundle %s: %w", ref, err)
		}
		checked = ", all checksums match"
	}
	return o.format.write(a.Out, inspectedBundle{b.Config, b.Digest, state}, func() error {
		return printBundle(a, b.Bundle, state, checked)
	})
}

// signatureState says in a clause who signed a bundle. Without --verify what cannot be
// checked is no error.
func (a *app) signatureState(ctx context.Context, b *bundle.Bundle, o chartFlags) (string, error) {
	if !b.Signed() && !o.Verify {
		return "none", nil
	}
	by, err := a.signerOf(ctx, b, o.Keyring)
	switch {
	case err == nil:
		return fmt.Sprintf("by %s, key %s", strings.Join(by.Names, ", "), by.Fingerprint), nil
	case o.Verify:
		return "", err
	case errors.Is(err, os.ErrNotExist):
		return "not checked: there is no keyring " + firstOf(o.Keyring, a.defaultKeyring()), nil
	case errors.Is(err, provenance.ErrUnverified):
		return "not verified: " + err.Error(), nil
	}
	return "", err
}

func printBundle(a *app, b *bundle.Bundle, state, checked string) error {
	c := b.Config
	out := a.Out
	title := "CHART: " + c.Chart.Name + " " + c.Chart.Version
	if c.Chart.AppVersion != "" {
		title += " (" + c.Chart.AppVersion + ")"
	}
	fmt.Fprintln(out, title)
	for _, d := range c.Chart.Dependencies {
		fmt.Fprintf(out, "  with %s %s\n", d.Path, d.Version)
	}
	fmt.Fprintf(out, "PLATFORM: %s\nCREATED: %s by %s\nDIGEST: %s%s\nSIGNATURE: %s\n", c.Platform, c.Created.Format("2006-01-02 15:04:05 MST"), c.Creator, b.Digest, checked, state)
	if c.Runtime != nil {
		var names []string
		for _, p := range c.Runtime.Programs {
			names = append(names, p.Name)
		}
		fmt.Fprintf(out, "PROGRAMS: %s (pkg %s, %s)\n", strings.Join(names, ", "), c.Runtime.Version, megabytes(c.Runtime.Size))
	}
	if len(c.Values) > 0 {
		text, err := yaml.Marshal(c.Values)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "VALUES:\n  %s\n", strings.ReplaceAll(strings.TrimSpace(string(text)), "\n", "\n  "))
	}
	if len(c.Images) == 0 {
		_, err := fmt.Fprintln(out, "IMAGES: none")
		return err
	}
	fmt.Fprintln(out, "IMAGES:")
	t := table{MaxWidth: 60}
	t.add("NAME", "DIGEST", "SIZE", "PACKAGES", "ORIGIN")
	for _, i := range c.Images {
		t.add(i.Name, shortID(i.Digest), megabytes(i.Size), strconv.Itoa(len(i.Packages)), i.Origin)
	}
	return t.write(out)
}
