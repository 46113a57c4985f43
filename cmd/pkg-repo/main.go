// Pkg-repo hosts charts and images; `pkg repo serve` runs it. It is a program of its
// own because its libraries would make every command of pkg start later.
//
// Exit codes: 0 stopped by a signal, 1 failed, 2 wrong usage.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/seed38700745/pkg/cmd/internal/version"
	"github.com/seed38700745/pkg/repo/server"
	"github.com/seed38700745/pkg/repo/server/depot"
)

func main() { os.Exit(run()) }

// run is main with deferred calls and an exit code.
func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // the second signal ends it at once
	err := newCommand(os.Stderr).ExecuteContext(ctx)
	var usage *usageError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &usage):
		fmt.Fprintf(os.Stderr, "Error: %s\nhint: pkg repo serve --help\n", err)
		return 2
	}
	fmt.Fprintf(os.Stderr, "Error: %s\n", err)
	if errors.Is(err, syscall.EADDRINUSE) {
		fmt.Fprintln(os.Stderr, "hint: another process listens there; --listen takes another address")
	}
	return 1
}

// usageError is wrong usage: exit code 2.
type usageError struct{ error }

func (e *usageError) Unwrap() error { return e.error }

const long = `Host charts and images: a Helm repository, ChartMuseum's API, an OCI registry and
a page, over one folder. Everybody who reaches the address may pull; to push takes a
user of the htpasswd file or a token.

A rules file says who may do what, and replaces that:

  - {who: anonymous, repository: "**", can: [pull]}
  - {who: ci, repository: "team/*", can: [pull, push]}
  - {who: "*", repository: "**", can: [pull, push, delete]}

Exit codes: 0 stopped by a signal, 1 failed, 2 wrong usage.`

func newCommand(logs io.Writer) *cobra.Command {
	c := server.Config{Version: version.Version}
	var overwrite string
	var quiet bool
	cmd := &cobra.Command{
		Use:   "pkg repo serve",
		Short: "host charts and images",
		Long:  long,
		Example: `  pkg repo serve --data charts --allow-anonymous-push
  pkg repo serve --data /srv/charts --listen :443 --htpasswd users --tls-self-made`,
		Args: func(cmd *cobra.Command, args []string) error {
			if err := cobra.NoArgs(cmd, args); err != nil {
				return &usageError{err}
			}
			return nil
		},
		SilenceUsage: true, SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c.Charts.Overwrite = depot.Overwrite(overwrite)
			if err := check(c); err != nil {
				return &usageError{err}
			}
			level := slog.LevelInfo
			if quiet {
				level = slog.LevelWarn
			}
			c.Log = slog.New(slog.NewTextHandler(logs, &slog.HandlerOptions{Level: level}))
			return serve(cmd.Context(), c, logs)
		},
	}
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &usageError{err} })
	f := cmd.Flags()
	f.StringVar(&c.Data, "data", "", "folder of the charts; made when it is not there")
	f.StringVar(&c.Listen, "listen", server.DefaultListen, "address to listen on")
	f.StringVar(&overwrite, "overwrite", string(depot.OverwriteForced), "replace versions that exist: forced (when the request says so), always, never")
	f.Int64Var(&c.Charts.MaxUpload, "max-upload", depot.DefaultMaxUpload, "limit of a chart's size in bytes")
	f.IntVar(&c.Charts.MaxVersions, "max-versions", 0, "limit of versions of one chart, 0 for none")
	f.StringVar(&c.Access.Htpasswd, "htpasswd", "", "file of users with bcrypt hashes (htpasswd -B); read again when it changes")
	f.StringVar(&c.Access.Rules, "rules", "", "file that says who may do what")
	f.StringArrayVar(&c.Access.Keys, "token-key", nil, "PEM file of a public key, RSA or EC, that signs tokens; may be repeated")
	f.StringVar(&c.Access.Realm, "token-realm", "", "URL of the token server that clients are sent to")
	f.StringVar(&c.Access.Service, "token-service", "pkg", "name of this service in tokens")
	f.StringVar(&c.Access.SigningKey, "token-signing-key", "", "PEM file of an EC key of curve P-256: issue tokens at /token")
	f.BoolVar(&c.Access.AnonymousPush, "allow-anonymous-push", false, "everybody who reaches the address may push")
	f.StringVar(&c.Keyring, "keyring", "", "OpenPGP public keys: the page says which charts one of them signed")
	f.StringVar(&c.TLSCert, "tls-cert", "", "PEM file of the TLS certificate")
	f.StringVar(&c.TLSKey, "tls-key", "", "PEM file of its key")
	f.BoolVar(&c.TLSSelfMade, "tls-self-made", false, "TLS with a certificate that is made at the first start: DATA/.pkg/tls.crt is what clients need")
	f.DurationVar(&c.Patience, "client-timeout", server.DefaultPatience, "end transfers of clients that send or take nothing for so long")
	f.Float64Var(&c.Rate, "rate", 0, "limit of requests a second from one address, 0 for none")
	f.StringVar(&c.AuditLog, "audit-log", "", "file that gets a line of JSON for every write")
	f.BoolVarP(&quiet, "quiet", "q", false, "log warnings and errors only")
	return cmd
}

// check finds what cannot be meant.
func check(c server.Config) error {
	switch {
	case c.Data == "":
		return errors.New("--data is missing: the folder of the charts")
	case !slices.Contains([]depot.Overwrite{depot.OverwriteForced, depot.OverwriteAlways, depot.OverwriteNever}, c.Charts.Overwrite):
		return fmt.Errorf("--overwrite is forced, always or never, not %q", c.Charts.Overwrite)
	case c.Charts.MaxUpload <= 0:
		return errors.New("--max-upload must be more than 0")
	case c.Patience <= 0:
		return errors.New("--client-timeout must be more than 0")
	case c.Charts.MaxVersions < 0 || c.Rate < 0:
		return errors.New("--max-versions and --rate must not be less than 0")
	case (c.TLSCert == "") != (c.TLSKey == ""):
		return errors.New("--tls-cert and --tls-key belong together")
	case c.TLSCert != "" && c.TLSSelfMade:
		return errors.New("--tls-cert and --tls-self-made exclude each other")
	}
	return nil
}

// memoryGoal keeps the heap of a large folder near what it holds: 40 MB of 20,000
// versions live long, which Go would let grow to twice as much.
const memoryGoal = 75 // percent, see GOGC

func serve(ctx context.Context, c server.Config, talk io.Writer) (err error) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(memoryGoal)
	}
	s, err := server.Open(c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	l, err := s.Listen()
	if err != nil {
		return err
	}
	fmt.Fprintf(talk, "serving %s at %s://%s\n", c.Data, s.Scheme(), l.Addr())
	defer context.AfterFunc(ctx, func() {
		fmt.Fprintf(talk, "stopping: requests that run have %s to finish\n", server.ShutdownTime)
	})()
	return s.Serve(ctx, l)
}
