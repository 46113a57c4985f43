//go:build !front

package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/seed38700745/pkg/repo"
	"github.com/seed38700745/pkg/repo/mirror"
)

// mirrorOptions are the flags of `pkg repo mirror`.
type mirrorOptions struct {
	source   chartFlags
	to       repo.Access
	charts   []string
	latest   int
	devel    bool
	since    string
	parallel int
	dryRun   bool
	format   outputFormat
	images   mirrorImages
}

func newRepoMirrorCommand(a *app) *cobra.Command {
	o := &mirrorOptions{}
	cmd := &cobra.Command{
		Use:   "mirror SOURCE DESTINATION",
		Short: "copy a repository, or charts of it, with their images if wanted",
		Long: `Copy charts, with their provenance files, from SOURCE (the name of a repository, its URL,
or oci://HOST/PATH) to DESTINATION: a folder, which gets an index.yaml; the URL of a
repository with ChartMuseum's API, such as pkg repo serve; or oci://HOST/PATH.

What is there with the same digest stays, so that the command can be run again and again,
also after it broke off. A chart that cannot be copied is named, and the others go on.

With --with-images the images that the charts run with their default values are copied into
a registry, below --images-to; if the destination is a registry, or pkg repo serve, below
its images/. What a cluster's registries.yaml then has to say is printed, or written into
--registries-file.

Exit codes: 0 done, 1 something was not copied, 2 wrong usage.`,
		Example: `  pkg repo mirror bitnami ./charts --chart redis@^18 --chart mysql --latest 3
  pkg repo mirror https://charts.example.com oci://registry.internal/charts
  pkg repo mirror stable http://10.0.0.5:8879 --with-images --registries-file registries.yaml`,
		Args: a.argCount(2, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runRepoMirror(cmd.Context(), a, o, args[0], args[1])
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&o.charts, "chart", nil, "NAME or NAME@CONSTRAINT of a chart that is meant (can specify multiple); default all")
	f.IntVar(&o.latest, "latest", 0, "only so many of the newest versions of each chart")
	f.BoolVar(&o.devel, "devel", false, "--latest and constraints count prereleases, too")
	f.StringVar(&o.since, "since", "", "only versions that were made since, 2006-01-02 or 720h; those that do not say when are taken")
	f.IntVar(&o.parallel, "parallel", mirror.DefaultParallel, "how many charts are copied at once")
	f.BoolVar(&o.dryRun, "dry-run", false, "only say what would be copied")
	o.source.addAccess(f)
	f.BoolVar(&o.source.PassCredentialsAll, "pass-credentials", false, "pass credentials to all domains")
	addDestinationAccess(f, &o.to)
	o.images.add(f)
	o.format.add(f)
	return cmd
}

// addDestinationAccess declares how the destination is reached.
func addDestinationAccess(f *pflag.FlagSet, a *repo.Access) {
	f.StringVar(&a.Username, "to-username", "", "the destination's username")
	f.StringVar(&a.Password, "to-password", "", "the destination's password")
	f.StringVar(&a.Token, "to-token", "", "the destination's bearer token")
	f.StringVar(&a.CertFile, "to-cert-file", "", "client certificate for the destination")
	f.StringVar(&a.KeyFile, "to-key-file", "", "its key")
	f.StringVar(&a.CAFile, "to-ca-file", "", "CA bundle for the destination")
	f.BoolVar(&a.InsecureSkipTLSVerify, "to-insecure-skip-tls-verify", false, "skip tls certificate checks for the destination")
	f.BoolVar(&a.PlainHTTP, "to-plain-http", false, "use insecure HTTP connections to a destination oci://")
}

// selection translates the flags.
func (o *mirrorOptions) selection(now time.Time) (mirror.Selection, error) {
	s := mirror.Selection{Latest: o.latest, Devel: o.devel}
	if o.latest < 0 || o.parallel < 1 {
		return s, usagef("--latest and --parallel are numbers above 0")
	}
	for _, c := range o.charts {
		name, constraint, _ := strings.Cut(c, "@")
		if name == "" {
			return s, usagef("--chart %q: want NAME or NAME@CONSTRAINT", c)
		}
		s.Charts = append(s.Charts, mirror.Wanted{Name: name, Constraint: constraint})
	}
	if o.since == "" {
		return s, nil
	}
	if d, err := time.ParseDuration(o.since); err == nil {
		s.Since = now.Add(-d)
		return s, nil
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if t, err := time.Parse(layout, o.since); err == nil {
			s.Since = t
			return s, nil
		}
	}
	return s, usagef("--since %q: want a date, 2006-01-02, or a time span, 720h", o.since)
}

// mirrored is the result as JSON.
type mirrored struct {
	Charts   int             `json:"charts"`
	Versions int             `json:"versions"`
	Copied   int             `json:"copied"`
	Present  int             `json:"present"` // were there with the same digest
	Bytes    int64           `json:"bytes"`   // of what was copied
	Images   int             `json:"images,omitempty"`
	Failed   []mirrorFailure `json:"failed,omitempty"`
}

type mirrorFailure struct {
	What  string `json:"what"`
	Error string `json:"error"`
}

func runRepoMirror(ctx context.Context, a *app, o *mirrorOptions, source, target string) error {
	chosen, err := o.selection(a.Now())
	if err != nil {
		return err
	}
	if err := o.images.check(target); err != nil {
		return err
	}
	start := a.Now()
	r := a.repositories()
	r.Passing = !o.images.with // charts are read again for their images
	all, note, err := r.List(ctx, source, o.source.access())
	if err != nil {
		return fmt.Errorf("source: %w", err)
	}
	if note != "" {
		return fmt.Errorf("source %s: %s", source, note)
	}
	list, err := chosen.Select(all)
	if err != nil {
		return withHint(fmt.Errorf("source %s: %w", source, err), "without --chart everything is copied; pkg search repo NAME --versions lists what is there")
	}
	to, err := a.mirrorDestination(ctx, r, target, o.to)
	if err != nil {
		return err
	}
	var mu sync.Mutex // Say is called by several goroutines
	verb := "copied"
	if o.dryRun {
		verb = "would copy"
	}
	job := mirror.Job{Resolver: r, To: to, Parallel: o.parallel, DryRun: o.dryRun, Say: func(l repo.Listed, size int) {
		mu.Lock()
		defer mu.Unlock()
		if size >= 0 {
			fmt.Fprintf(a.Err, "%s %s %s (%s)\n", verb, l.Chart, l.Version, megabytes(int64(size)))
		} else {
			fmt.Fprintf(a.Err, "%s %s %s\n", verb, l.Chart, l.Version)
		}
	}}
	result, err := job.Run(ctx, list)
	if err != nil {
		return err
	}
	out := mirrored{Charts: countCharts(list), Versions: len(list), Copied: result.Copied, Present: result.Present, Bytes: result.Bytes}
	for _, f := range result.Failed {
		fmt.Fprintf(a.Err, "not copied: %v\n", f)
		out.Failed = append(out.Failed, mirrorFailure{f.Chart + " " + f.Version, f.Err.Error()})
	}
	if o.images.with {
		if err := a.mirrorImages(ctx, r, o, list, &out); err != nil {
			return err
		}
	}
	return a.printMirrored(o, out, verb, a.Now().Sub(start))
}

func (a *app) printMirrored(o *mirrorOptions, out mirrored, verb string, took time.Duration) error {
	err := o.format.write(a.Out, out, func() error {
		images := ""
		if o.images.with {
			images = fmt.Sprintf(", %d image%s", out.Images, plural(out.Images))
		}
		_, err := fmt.Fprintf(a.Out, "%d chart%s in %d version%s: %s %d (%s), %d already there, %d failed%s, in %s\n", out.Charts, plural(out.Charts),
			out.Versions, plural(out.Versions), verb, out.Copied, megabytes(out.Bytes), out.Present, len(out.Failed), images, took.Round(time.Millisecond))
		return err
	})
	if err == nil && len(out.Failed) > 0 {
		err = withHint(fmt.Errorf("%d not copied", len(out.Failed)), "the same command tries these again")
	}
	return err
}

func countCharts(list []repo.Listed) int {
	names := map[string]bool{}
	for _, l := range list {
		names[l.Chart] = true
	}
	return len(names)
}

// mirrorDestination opens what charts are copied to.
func (a *app) mirrorDestination(ctx context.Context, r *repo.Resolver, target string, access repo.Access) (mirror.Destination, error) {
	switch {
	case repo.IsOCI(target):
		if _, err := r.Artifact(ctx, target, access); err != nil {
			return nil, err
		}
		return &mirror.Registry{Resolver: r, Below: target, Access: access}, nil
	case strings.Contains(target, "://"):
		u, err := url.Parse(target)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return nil, usagef("destination %q: want a folder, http(s)://HOST or oci://HOST/PATH", target)
		}
		s, err := mirror.OpenServer(ctx, r, target, access)
		if err != nil {
			return nil, fmt.Errorf("destination: %w", err)
		}
		return s, nil
	case target == "":
		return nil, usagef("the destination is empty")
	}
	dir, err := filepath.Abs(target)
	return &mirror.Folder{Dir: dir, Now: a.Now}, err
}

var errNoRegistry = errors.New("--with-images: a folder takes no images")
