//go:build !front

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"github.com/seed38700745/pkg/chart/provenance"
	"github.com/seed38700745/pkg/repo"
)

// addRegistryTLS declares how a registry is reached.
func addRegistryTLS(f *pflag.FlagSet, access *repo.Access, insecure string) {
	f.BoolVar(&access.InsecureSkipTLSVerify, insecure, false, "allow connections to TLS registry without certs")
	f.StringVar(&access.CertFile, "cert-file", "", "identify registry client using this SSL certificate file")
	f.StringVar(&access.KeyFile, "key-file", "", "identify registry client using this SSL key file")
	f.StringVar(&access.CAFile, "ca-file", "", "verify certificates of HTTPS-enabled servers using this CA bundle")
	f.BoolVar(&access.PlainHTTP, "plain-http", false, "use insecure HTTP connections for the chart upload")
}

func newPushCommand(a *app) *cobra.Command {
	var access repo.Access
	cmd := &cobra.Command{
		Use:     "push [chart] [remote]",
		Short:   "push a chart to remote",
		Long:    "Upload a packed chart to a registry, with its provenance file if one lies beside it.",
		Example: "  pkg push shop-0.1.0.tgz oci://registry.example.com/charts",
		Args:    a.argCount(2, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runPush(cmd.Context(), a, args[0], args[1], access)
		},
	}
	f := cmd.Flags()
	addRegistryTLS(f, &access, "insecure-skip-tls-verify")
	f.StringVar(&access.Username, "username", "", "chart repository username where to locate the requested chart")
	f.StringVar(&access.Password, "password", "", "chart repository password where to locate the requested chart")
	return cmd
}

func runPush(ctx context.Context, a *app, file, below string, access repo.Access) error {
	info, err := os.Stat(file)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("%s: no such file", file)
	case err != nil:
		return err
	case info.IsDir():
		return withHint(errors.New("cannot push directory, must provide chart archive (.tgz)"), "pkg package %s", file)
	}
	archive := &repo.Archive{Name: filepath.Base(file)}
	if archive.Data, err = os.ReadFile(file); err != nil {
		return err
	}
	archive.Provenance, err = os.ReadFile(file + provenance.Extension)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	pushed, err := a.repositories().Push(ctx, archive, below, access)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.Out, "Pushed: %s\nDigest: %s\n", pushed.Ref, pushed.Digest)
	return err
}

func newRegistryCommand(a *app) *cobra.Command {
	return a.group("registry", "login to or logout from a registry", newRegistryLoginCommand(a), newRegistryLogoutCommand(a))
}

func newRegistryLoginCommand(a *app) *cobra.Command {
	var access repo.Access
	var fromStdin bool
	cmd := &cobra.Command{
		Use:   "login [host]",
		Short: "login to a registry",
		Long: `Check credentials with a registry and keep them, in Docker's format, in the file that
--registry-config names. A credential helper that the file names is used.`,
		Example: "  pkg registry login registry.example.com -u me --password-stdin < password",
		Args:    a.argCount(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runRegistryLogin(cmd.Context(), a, args[0], access, fromStdin)
		},
	}
	f := cmd.Flags()
	f.StringVarP(&access.Username, "username", "u", "", "registry username")
	f.StringVarP(&access.Password, "password", "p", "", "registry password or identity token")
	f.BoolVar(&fromStdin, "password-stdin", false, "read password or identity token from stdin")
	addRegistryTLS(f, &access, "insecure")
	return cmd
}

func runRegistryLogin(ctx context.Context, a *app, host string, access repo.Access, fromStdin bool) error {
	var err error
	switch {
	case fromStdin:
		var data []byte
		if data, err = io.ReadAll(io.LimitReader(a.In, 1<<16)); err != nil {
			return err
		}
		access.Password = strings.TrimRight(string(data), "\r\n")
	case access.Password != "":
		a.warnf("Using --password via the CLI is insecure. Use --password-stdin.")
	default:
		if err = askCredentials(a, &access); err != nil {
			return err
		}
	}
	if err := a.repositories().Login(ctx, host, access); err != nil {
		return err
	}
	_, err = fmt.Fprintln(a.Err, "Login Succeeded")
	return err
}

// askCredentials asks at the terminal for what the flags did not give.
func askCredentials(a *app, access *repo.Access) error {
	in := bufio.NewReader(a.In)
	if access.Username == "" {
		fmt.Fprint(a.Err, "Username: ")
		line, err := in.ReadString('\n')
		if err != nil {
			return err
		}
		access.Username = strings.TrimSpace(line)
	}
	fmt.Fprint(a.Err, "Password: ")
	file, ok := a.In.(*os.File)
	if ok && term.IsTerminal(int(file.Fd())) {
		data, err := term.ReadPassword(int(file.Fd()))
		fmt.Fprintln(a.Err)
		if err != nil {
			return err
		}
		access.Password = string(data)
	} else if line, err := in.ReadString('\n'); err == nil || line != "" {
		access.Password = strings.TrimRight(line, "\r\n")
	}
	if access.Password == "" {
		return errors.New("password required")
	}
	return nil
}

func newRegistryLogoutCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "logout [host]",
		Short: "logout from a registry",
		Args:  a.argCount(1, 1),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := a.repositories().Logout(args[0]); err != nil {
				return err
			}
			_, err := fmt.Fprintf(a.Err, "Removing login credentials for %s\n", args[0])
			return err
		},
	}
}
