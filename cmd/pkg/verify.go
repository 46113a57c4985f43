//go:build !front

package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"github.com/seed38700745/pkg/chart/provenance"
	"github.com/seed38700745/pkg/repo"
)

func newVerifyCommand(a *app) *cobra.Command {
	var o signatureFlags
	cmd := &cobra.Command{
		Use:   "verify PATH",
		Short: "verify that a chart at the given path has been signed and is valid",
		Long: `Check a packed chart against the provenance file beside it (PATH.prov): that a key
of the keyring signed it, and that the archive is the one that was signed. A chart in a
repository or registry (repository/chart, oci://HOST/PATH/CHART) has to have one good
signature: its provenance file, or one of cosign's made with a key of --key.`,
		Example: `  pkg verify mychart-1.0.0.tgz --keyring pubring.gpg
  pkg verify oci://registry.example.com/charts/shop --version 1.2.0 --key cosign.pub`,
		Args: a.argCount(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := os.Stat(args[0]); err != nil && !a.asHelm && strings.Contains(args[0], "/") && !strings.HasPrefix(args[0], ".") && !filepath.IsAbs(args[0]) {
				return runVerifyRef(cmd.Context(), a, &o, args[0])
			}
			return runVerify(a, args[0], o.keyring)
		},
	}
	o.add(cmd.Flags())
	return cmd
}

func runVerify(a *app, path, keyring string) error {
	archive, err := repo.ReadArchive(path)
	if err != nil {
		return err
	}
	var found provenance.Verification
	if err := a.verifierInto(keyring, &found)(archive); err != nil {
		return err
	}
	_, err = fmt.Fprint(a.Out, found.String())
	return err
}

// verifier checks archives against a keyring.
func (a *app) verifier(keyring string) func(*repo.Archive) error { return a.verifierInto(keyring, nil) }

// verifierInto is a verifier; what it finds goes to into unless that is nil.
func (a *app) verifierInto(keyring string, into *provenance.Verification) func(*repo.Archive) error {
	if keyring == "" {
		keyring = a.defaultKeyring()
	}
	return func(archive *repo.Archive) error {
		ring, err := provenance.ReadKeyring(keyring)
		if err != nil {
			return withHint(fmt.Errorf("failed to load keyring: %w", err), "gpg --export > %s writes GnuPG's public keys there", keyring)
		}
		v, err := provenance.Verify(archive.Name, archive.Data, archive.Provenance, ring)
		if err != nil {
			return withHint(err, "keys are looked for in %s; --keyring names another file", keyring)
		}
		if into != nil {
			*into = *v
		}
		return nil
	}
}

// defaultKeyring is GnuPG's old file of public keys, as in Helm.
func (a *app) defaultKeyring() string {
	if home := a.Env("GNUPGHOME"); home != "" {
		return filepath.Join(home, "pubring.gpg")
	}
	return filepath.Join(a.Env("HOME"), ".gnupg", "pubring.gpg")
}

// signFlags are those of `pkg package` that sign.
type signFlags struct {
	sign           bool
	key            string
	keyring        string
	passphraseFile string
}

// add declares them for what is signed; --keyring may be there already.
func (s *signFlags) add(f *pflag.FlagSet, what string) {
	f.BoolVar(&s.sign, "sign", false, "use a PGP private key to sign "+what)
	f.StringVar(&s.key, "key", "", "name of the key to use when signing. Used if --sign is true")
	if f.Lookup("keyring") == nil {
		f.StringVar(&s.keyring, "keyring", "", "location of the keyring with the private key; default $GNUPGHOME/pubring.gpg, else ~/.gnupg/pubring.gpg")
	}
	f.StringVar(&s.passphraseFile, "passphrase-file", "", `location of a file which contains the passphrase for the signing key. Use "-" in order to read from stdin.`)
}

// unlocked finds the key and decrypts it.
func (s *signFlags) unlocked(a *app) (*provenance.Key, error) {
	ring, err := provenance.ReadKeyring(firstOf(s.keyring, a.defaultKeyring()))
	if err != nil {
		return nil, err
	}
	key, err := ring.Key(s.key)
	if err != nil {
		return nil, withHint(err, "gpg --export-secret-keys > FILE writes the private keys; name it with --keyring")
	}
	return key, key.Unlock(func(name string) ([]byte, error) { return s.passphrase(a, name) })
}

// write writes the provenance file of a packed chart.
func (s *signFlags) write(a *app, archive string, data []byte) error {
	key, err := s.unlocked(a)
	if err != nil {
		return err
	}
	signed, err := provenance.Sign(filepath.Base(archive), data, key)
	if err != nil {
		return err
	}
	return os.WriteFile(archive+provenance.Extension, signed, 0o644)
}

// passphrase comes from the file, from standard input, or from the terminal.
func (s *signFlags) passphrase(a *app, name string) ([]byte, error) {
	switch s.passphraseFile {
	case "":
		in, ok := a.In.(*os.File)
		if !ok || !term.IsTerminal(int(in.Fd())) {
			return nil, errors.New("the key has a passphrase: give it with --passphrase-file")
		}
		fmt.Fprintf(a.Err, "Password for key %q >  ", name)
		defer fmt.Fprintln(a.Err)
		return term.ReadPassword(int(in.Fd()))
	case "-":
		line, _, err := bufio.NewReader(a.In).ReadLine()
		return line, err
	}
	data, err := os.ReadFile(s.passphraseFile)
	if err != nil {
		return nil, err
	}
	line, _, _ := bytes.Cut(data, []byte("\n"))
	return bytes.TrimSuffix(line, []byte("\r")), nil
}
