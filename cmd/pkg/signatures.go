//go:build !front

package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/seed38700745/pkg/chart/provenance"
	"github.com/seed38700745/pkg/repo"
	"github.com/seed38700745/pkg/repo/signature"
)

// signatureFlags say which chart, and which keys count.
type signatureFlags struct {
	version string
	devel   bool
	access  repo.Access
	keyring string
	keys    []string
}

func (o *signatureFlags) add(f *pflag.FlagSet) {
	f.StringVar(&o.version, "version", "", "version or range of versions of a chart in a repository or registry")
	f.BoolVar(&o.devel, "devel", false, "use development versions, too")
	f.StringVar(&o.access.Username, "username", "", "chart repository username")
	f.StringVar(&o.access.Password, "password", "", "chart repository password")
	addRegistryTLS(f, &o.access, "insecure-skip-tls-verify")
	f.StringVar(&o.keyring, "keyring", "", "keyring containing public keys; default $GNUPGHOME/pubring.gpg, else ~/.gnupg/pubring.gpg")
	f.StringArrayVar(&o.keys, "key", nil, "file with a public key of cosign, PEM (can specify multiple)")
}

// find lists a chart's signatures, judged with the keys of the flags.
func (o *signatureFlags) find(ctx context.Context, a *app, ref string) (*repo.Archive, []repo.Signed, error) {
	keys, err := readKeys(o.keys)
	if err != nil {
		return nil, nil, err
	}
	req := repo.Request{Ref: ref, Version: o.version, Devel: o.devel, Access: o.access}
	return a.repositories().Signatures(ctx, req, keys, func(archive *repo.Archive) (string, error) {
		var found provenance.Verification
		err := a.verifierInto(o.keyring, &found)(archive)
		return strings.Join(found.SignedBy, ", "), err
	})
}

func readKeys(files []string) ([]signature.Key, error) {
	var keys []signature.Key
	for _, file := range files {
		more, err := signature.ReadKeys(file)
		if err != nil {
			return nil, err
		}
		keys = append(keys, more...)
	}
	return keys, nil
}

func newShowSignaturesCommand(a *app) *cobra.Command {
	var o signatureFlags
	var format outputFormat
	cmd := &cobra.Command{
		Use:   "signatures [CHART]",
		Short: "show who signed a chart: its provenance file, and cosign's signatures in a registry",
		Args:  a.argCount(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			_, list, err := o.find(cmd.Context(), a, args[0])
			if err != nil {
				return err
			}
			return format.write(a.Out, list, func() error { return a.printSignatures(list) })
		},
	}
	o.add(cmd.Flags())
	format.add(cmd.Flags())
	return cmd
}

func (a *app) printSignatures(list []repo.Signed) error {
	if len(list) == 0 {
		_, err := fmt.Fprintln(a.Out, "nobody signed this chart")
		return err
	}
	var t table
	t.add("FORM", "STATE", "BY")
	for _, s := range list {
		t.add(s.Form, strings.ReplaceAll(s.State, "\n", " "), s.By)
	}
	return t.write(a.Out)
}

// runVerifyRef wants one good signature of a chart in a repository or registry.
func runVerifyRef(ctx context.Context, a *app, o *signatureFlags, ref string) error {
	archive, list, err := o.find(ctx, a, ref)
	if err != nil {
		return err
	}
	good := 0
	for _, s := range list {
		if s.Good {
			good++
			fmt.Fprintf(a.Out, "Signed by: %s (%s)\n", s.By, s.Form)
		}
	}
	switch {
	case len(list) == 0:
		return withHint(fmt.Errorf("chart %s: nobody signed it", ref), "a packed chart is signed by pkg package --sign, one in a registry by cosign sign --key")
	case good == 0:
		return withHint(errors.Join(fmt.Errorf("chart %s: no signature is good", ref), reasons(list)), "--key names a public key of cosign, --keyring the keys of provenance files")
	case archive.Manifest != "":
		_, err = fmt.Fprintf(a.Out, "Manifest Verified: %s\n", archive.Manifest)
		return err
	}
	_, err = fmt.Fprintf(a.Out, "Chart Hash Verified: sha256:%s\n", archive.Digest())
	return err
}

func reasons(list []repo.Signed) error {
	var all []error
	for _, s := range list {
		all = append(all, fmt.Errorf("%s: %s", s.Form, s.State))
	}
	return errors.Join(all...)
}

func newRepoPolicyCommand(a *app) *cobra.Command {
	var format outputFormat
	cmd := a.group("policy", "show and set which charts have to be signed", newPolicyRequireCommand(a), newPolicyRemoveCommand(a))
	cmd.Long = `Which charts have to be signed, and by whom: an unsigned one is then refused by every
command, also called as helm. Rules are for the charts below a reference; the longest one
that fits counts. They are kept in policy.yaml beside repositories.yaml; rules in
` + a.SystemDir + `/policy.yaml, by an administrator, count in addition. Charts that come
with pkg, and those given as paths, are not asked for signatures.`
	cmd.Example = `  pkg repo policy require oci://registry.example.com/charts --key cosign.pub
  pkg repo policy require bitnami --keyring pubring.gpg
  pkg repo policy`
	format.add(cmd.Flags())
	cmd.Args = a.argCount(0, 0)
	cmd.RunE = func(*cobra.Command, []string) error { return runPolicy(a, format) }
	return cmd
}

func runPolicy(a *app, format outputFormat) error {
	type row struct {
		repo.Rule
		File string `json:"file"`
	}
	rows := []row{}
	for _, file := range a.repositories().Policies {
		p, err := repo.ReadPolicy(file)
		if err != nil {
			return err
		}
		for _, rule := range p.Signatures {
			rows = append(rows, row{rule, file})
		}
	}
	return format.write(a.Out, rows, func() error {
		if len(rows) == 0 {
			_, err := fmt.Fprintln(a.Out, "no chart has to be signed; pkg repo policy require CHARTS --key FILE changes that")
			return err
		}
		var t table
		t.add("CHARTS", "SIGNED WITH", "SAYS")
		for _, r := range rows {
			with := append([]string(nil), r.Keys...)
			if r.Keyring != "" {
				with = append(with, r.Keyring)
			}
			if len(with) == 0 {
				with = []string{"(need not be signed)"}
			}
			t.add(r.Charts, strings.Join(with, ", "), r.File)
		}
		return t.write(a.Out)
	})
}

func newPolicyRequireCommand(a *app) *cobra.Command {
	var keys []string
	var keyring string
	var exempt bool
	cmd := &cobra.Command{
		Use:     "require CHARTS",
		Short:   "refuse charts below a reference that are not signed with one of the keys",
		Long:    "CHARTS is a repository's name, oci://HOST/PATH, https://HOST/PATH, or '*' for all.",
		Example: "  pkg repo policy require oci://registry.example.com/charts --key cosign.pub",
		Args:    a.argCount(1, 1),
		RunE: func(_ *cobra.Command, args []string) error {
			return runPolicyRequire(a, repo.Rule{Charts: args[0], Keys: keys, Keyring: keyring}, exempt)
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&keys, "key", nil, "file with a public key of cosign, PEM (can specify multiple)")
	f.StringVar(&keyring, "keyring", "", "file with the OpenPGP keys of provenance files")
	f.BoolVar(&exempt, "exempt", false, "these need not be signed, though a rule for more charts says so")
	return cmd
}

func runPolicyRequire(a *app, rule repo.Rule, exempt bool) error {
	if signed := len(rule.Keys) > 0 || rule.Keyring != ""; signed == exempt {
		return usagef("whose signature counts? --key FILE (cosign) or --keyring FILE (provenance), or --exempt")
	}
	for i, file := range rule.Keys {
		if _, err := signature.ReadKeys(file); err != nil {
			return err
		}
		abs, err := filepath.Abs(file) // the policy is read from anywhere
		if err != nil {
			return err
		}
		rule.Keys[i] = abs
	}
	if rule.Keyring != "" {
		abs, err := filepath.Abs(rule.Keyring)
		if err != nil {
			return err
		}
		if _, err := provenance.ReadKeyring(abs); err != nil {
			return err
		}
		rule.Keyring = abs
	}
	err := repo.ChangePolicy(a.policyFile(), func(p *repo.Policy) error {
		for i := range p.Signatures {
			if p.Signatures[i].Charts == rule.Charts {
				p.Signatures[i] = rule
				return nil
			}
		}
		p.Signatures = append(p.Signatures, rule)
		return nil
	})
	if err != nil {
		return err
	}
	what := "have to be signed"
	if exempt {
		what = "need not be signed"
	}
	_, err = fmt.Fprintf(a.Out, "charts below %s %s (%s)\n", rule.Charts, what, a.policyFile())
	return err
}

func newPolicyRemoveCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "remove CHARTS",
		Aliases: []string{"rm"},
		Short:   "remove a rule",
		Args:    a.argCount(1, 1),
		RunE: func(_ *cobra.Command, args []string) error {
			err := repo.ChangePolicy(a.policyFile(), func(p *repo.Policy) error {
				for i := range p.Signatures {
					if p.Signatures[i].Charts == args[0] {
						p.Signatures = append(p.Signatures[:i], p.Signatures[i+1:]...)
						return nil
					}
				}
				return withHint(fmt.Errorf("%s has no rule for %s", a.policyFile(), args[0]), "pkg repo policy lists the rules")
			})
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(a.Out, "the rule for %s is removed\n", args[0])
			return err
		},
	}
}
