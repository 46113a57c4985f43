//go:build !front

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed38700745/pkg/repo"
)

func newRepoCommand(a *app) *cobra.Command {
	cmd := a.group("repo", "add, list, remove, update, and index chart repositories",
		newRepoAddCommand(a), newRepoListCommand(a), newRepoRemoveCommand(a), newRepoUpdateCommand(a), newRepoIndexCommand(a),
		newRepoImportCommand(a), newRepoMirrorCommand(a), newRepoPolicyCommand(a), newRepoServeCommand(a))
	cmd.Long = `Chart repositories. Those that come with pkg need no adding: bundled/ is always
there, and stable/ means the same until a repository of that name is added.`
	return cmd
}

type repoAddOptions struct {
	repo.Repository
	passwordStdin bool
	tokenStdin    bool
	force         bool
	timeout       time.Duration
}

func newRepoAddCommand(a *app) *cobra.Command {
	o := &repoAddOptions{}
	cmd := &cobra.Command{
		Use:   "add [NAME] [URL]",
		Short: "add a chart repository",
		Example: `  pkg repo add bitnami https://charts.bitnami.com/bitnami
  pkg repo add team oci://registry.example.com/charts     # its charts are team/NAME`,
		Args: a.argCount(2, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runRepoAdd(cmd.Context(), a, o, args[0], args[1])
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Username, "username", "", "chart repository username")
	f.StringVar(&o.Password, "password", "", "chart repository password")
	f.BoolVar(&o.passwordStdin, "password-stdin", false, "read chart repository password from stdin")
	f.StringVar(&o.Token, "token", "", "bearer token, instead of username and password")
	f.BoolVar(&o.tokenStdin, "token-stdin", false, "read the bearer token from stdin")
	f.BoolVar(&o.PlainHTTP, "plain-http", false, "use insecure HTTP connections to a registry (oci://)")
	f.BoolVar(&o.force, "force-update", false, "replace (overwrite) the repo if it already exists")
	f.Bool("allow-deprecated-repos", false, "accepted for helm's sake; no repository is refused for its age")
	f.Bool("no-update", false, "accepted for helm's sake; without effect here")
	f.StringVar(&o.CertFile, "cert-file", "", "identify HTTPS client using this SSL certificate file")
	f.StringVar(&o.KeyFile, "key-file", "", "identify HTTPS client using this SSL key file")
	f.StringVar(&o.CAFile, "ca-file", "", "verify certificates of HTTPS-enabled servers using this CA bundle")
	f.BoolVar(&o.InsecureSkipTLSVerify, "insecure-skip-tls-verify", false, "skip tls certificate checks for the repository")
	f.BoolVar(&o.PassCredentialsAll, "pass-credentials", false, "pass credentials to all domains")
	f.DurationVar(&o.timeout, "timeout", 2*time.Minute, "time to wait for the index file download to complete")
	return cmd
}

func runRepoAdd(ctx context.Context, a *app, o *repoAddOptions, name, url string) error {
	e := o.Repository
	e.Name, e.URL = name, url
	if o.passwordStdin || o.tokenStdin {
		data, err := io.ReadAll(io.LimitReader(a.In, 1<<16))
		if err != nil {
			return err
		}
		secret := &e.Password
		if o.tokenStdin {
			secret = &e.Token
		}
		*secret = strings.TrimRight(string(data), "\r\n")
	}
	for _, file := range []*string{&e.CertFile, &e.KeyFile, &e.CAFile} {
		if *file == "" {
			continue
		}
		abs, err := filepath.Abs(*file) // the configuration is read from anywhere
		if err != nil {
			return err
		}
		*file = abs
	}
	if err := repo.CheckRepository(&e); err != nil {
		return err
	}
	if a.asHelm && repo.IsOCI(e.URL) {
		return fmt.Errorf("could not find protocol handler for: oci")
	}
	r := a.repositories()
	have, err := r.Repositories()
	if err != nil {
		return err
	}
	for _, old := range have {
		if old.Name != name || o.force {
			continue
		}
		if *old == e {
			_, err = fmt.Fprintf(a.Out, "%q already exists with the same configuration, skipping\n", name)
			return err
		}
		return withHint(fmt.Errorf("repository name (%s) already exists, please specify a different name", name),
			"--force-update replaces it")
	}
	// The index comes first: a repository that cannot be read is not added, and the
	// configuration is not locked meanwhile.
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	p := a.newDownloads()
	r.Progress = p.report
	done, err := r.Update(ctx, &e)
	p.erase()
	if err != nil {
		return err
	}
	err = r.ChangeConfig(a.Now(), func(c *repo.Config) error {
		at := slices.IndexFunc(c.Repositories, func(old *repo.Repository) bool { return old.Name == name })
		if at >= 0 && !o.force && *c.Repositories[at] != e { // another process was faster
			return fmt.Errorf("repository name (%s) already exists, please specify a different name", name)
		}
		if at >= 0 {
			c.Repositories[at] = &e
		} else {
			c.Repositories = append(c.Repositories, &e)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if done.Note != "" {
		fmt.Fprintln(a.Err, done.Note)
	}
	_, err = fmt.Fprintf(a.Out, "%q has been added to your repositories\n", name)
	return err
}

func newRepoListCommand(a *app) *cobra.Command {
	var format outputFormat
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "list chart repositories",
		Args:    a.argCount(0, 0),
		RunE:    func(*cobra.Command, []string) error { return runRepoList(a, format) },
	}
	format.add(cmd.Flags())
	return cmd
}

func runRepoList(a *app, format outputFormat) error {
	type row struct {
		Name string `json:"name"`
		URL  string `json:"url"`
		// System: from the system's configuration.
		System bool `json:"system,omitempty"`
	}
	r := a.repositories()
	list, err := r.Repositories()
	if err != nil {
		return err
	}
	rows := []row{}
	for _, e := range list {
		rows = append(rows, row{e.Name, e.URL, e.System && !a.asHelm})
	}
	if a.asHelm {
		if len(rows) == 0 && format == "table" {
			return errors.New("no repositories to show")
		}
	} else {
		names, err := r.Names()
		if err != nil {
			return err
		}
		for _, name := range names {
			if !slices.ContainsFunc(rows, func(have row) bool { return have.Name == name }) {
				rows = append(rows, row{Name: name, URL: "(comes with pkg)"})
			}
		}
	}
	return format.write(a.Out, rows, func() error {
		var t table
		t.add("NAME", "URL")
		for _, r := range rows {
			if r.System {
				r.URL += " (for all users, by " + a.SystemDir + ")"
			}
			t.add(r.Name, r.URL)
		}
		return t.write(a.Out)
	})
}

func newRepoRemoveCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "remove [REPO1 [REPO2 ...]]",
		Aliases: []string{"rm"},
		Short:   "remove one or more chart repositories",
		Args:    a.argCount(1, -1),
		RunE:    func(_ *cobra.Command, args []string) error { return runRepoRemove(a, args) },
	}
}

func runRepoRemove(a *app, names []string) error {
	r := a.repositories()
	have, err := r.Repositories()
	if err != nil {
		return err
	}
	if len(have) == 0 {
		return errors.New("no repositories configured")
	}
	for _, name := range names {
		if slices.ContainsFunc(have, func(e *repo.Repository) bool { return e.Name == name && e.System }) {
			return withHint(fmt.Errorf("repository %s is set up for all users, in %s", name, r.SystemConfig), "an administrator can remove it there")
		}
		err := r.ChangeConfig(a.Now(), func(c *repo.Config) error {
			at := slices.IndexFunc(c.Repositories, func(e *repo.Repository) bool { return e.Name == name })
			if at < 0 {
				return fmt.Errorf("no repo named %q found", name)
			}
			c.Repositories = slices.Delete(c.Repositories, at, at+1)
			return nil
		})
		if err != nil {
			return err
		}
		if err := r.Forget(name); err != nil {
			return err
		}
		fmt.Fprintf(a.Out, "%q has been removed from your repositories\n", name)
	}
	return nil
}

type repoIndexOptions struct {
	url    string
	merge  string
	asJSON bool
}

func newRepoIndexCommand(a *app) *cobra.Command {
	o := &repoIndexOptions{}
	cmd := &cobra.Command{
		Use:   "index [DIR]",
		Short: "generate an index file given a directory containing packaged charts",
		Args:  a.argCount(1, 1),
		RunE:  func(_ *cobra.Command, args []string) error { return runRepoIndex(a, o, args[0]) },
	}
	f := cmd.Flags()
	f.StringVar(&o.url, "url", "", "url of chart repository")
	f.StringVar(&o.merge, "merge", "", "merge the generated index into the given index")
	f.BoolVar(&o.asJSON, "json", false, "output in JSON format")
	return cmd
}

func runRepoIndex(a *app, o *repoIndexOptions, dir string) error {
	index, err := repo.IndexFolder(dir, o.url, a.Now())
	if err != nil {
		return err
	}
	if o.merge != "" {
		data, err := os.ReadFile(o.merge)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		if err == nil {
			old, err := repo.ParseIndex(data)
			if err != nil {
				return fmt.Errorf("%s: %w", o.merge, err)
			}
			index.Merge(old)
		}
	}
	return index.Write(filepath.Join(dir, "index.yaml"), o.asJSON)
}
