// Package mirror copies charts from a repository to another one, a folder, or a
// registry, with their provenance files. What is there with the same digest stays, so
// that a copy that broke off goes on where it was; every chart arrives whole or not.
package mirror

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/seed38700745/pkg/chart/semver"
	"github.com/seed38700745/pkg/repo"
)

// DefaultParallel is how many charts are copied at once.
const DefaultParallel = 8

// Selection says what of a repository is meant; the zero value is everything.
type Selection struct {
	Charts []Wanted // none is all
	Latest int      // so many of the newest versions of each chart; 0 is all
	Devel  bool     // Latest and constraints count prereleases, too
	Since  time.Time
}

// Wanted is a chart with the versions that are meant.
type Wanted struct {
	Name       string
	Constraint string // "" is all
}

// Destination is where charts go. Its methods are called at once.
type Destination interface {
	// Has is the SHA-256, hex, of the archive that is there, "" if none is.
	Has(ctx context.Context, l repo.Listed) (string, error)
	// Put stores an archive, over what is there under its name and version.
	Put(ctx context.Context, l repo.Listed, a *repo.Archive) error
	// Finish ends the copying; changed tells whether anything was put.
	Finish(ctx context.Context, changed bool) error
}

// Job is one mirroring.
type Job struct {
	Resolver *repo.Resolver
	To       Destination
	Parallel int // DefaultParallel if 0
	DryRun   bool
	// Say is told of each chart that is, or with DryRun would be, copied; by several
	// goroutines. May be nil.
	Say func(l repo.Listed, size int)
}

// Failure is a chart that was not copied.
type Failure struct {
	Chart, Version string
	Err            error
}

func (f Failure) Error() string { return fmt.Sprintf("%s %s: %v", f.Chart, f.Version, f.Err) }

// Result tells what became of the charts.
type Result struct {
	Copied, Present int
	Bytes           int64 // of what was copied
	Failed          []Failure
}

// Select picks, newest first within each chart, charts by name.
func (s Selection) Select(all []repo.Listed) ([]repo.Listed, error) {
	by := map[string][]repo.Listed{}
	for _, l := range all {
		by[l.Chart] = append(by[l.Chart], l)
	}
	wanted := s.Charts
	if len(wanted) == 0 {
		for name := range by {
			wanted = append(wanted, Wanted{Name: name})
		}
	}
	slices.SortFunc(wanted, func(a, b Wanted) int {
		return strings.Compare(a.Name+"@"+a.Constraint, b.Name+"@"+b.Constraint)
	})
	var out []repo.Listed
	taken := map[[2]string]bool{}
	for _, w := range wanted {
		if len(by[w.Name]) == 0 {
			return nil, fmt.Errorf("chart %s: %w", w.Name, repo.ErrNotFound)
		}
		fitting, err := s.versions(w, by[w.Name])
		if err != nil {
			return nil, err
		}
		if len(fitting) == 0 && w.Constraint != "" {
			return nil, fmt.Errorf("chart %s: version %s: %w", w.Name, w.Constraint, repo.ErrNotFound)
		}
		for _, l := range fitting {
			if key := [2]string{l.Chart, l.Version}; !taken[key] {
				taken[key] = true
				out = append(out, l)
			}
		}
	}
	return out, nil
}

// versions are those of one chart that are meant.
func (s Selection) versions(w Wanted, all []repo.Listed) ([]repo.Listed, error) {
	var fits *semver.Constraints
	if w.Constraint != "" {
		var err error
		if fits, err = semver.NewConstraint(w.Constraint); err != nil {
			return nil, fmt.Errorf("chart %s: bad version constraint %q: %w", w.Name, w.Constraint, err)
		}
		fits.IncludePrerelease = s.Devel
	}
	var out []repo.Listed
	for _, l := range all { // newest first, as indexes have them
		v, err := semver.NewVersion(l.Version)
		switch {
		case fits != nil && (err != nil || !fits.Check(v)) && l.Version != w.Constraint,
			s.Latest > 0 && fits == nil && !s.Devel && (err != nil || v.Prerelease() != ""),
			!s.Since.IsZero() && !l.Created.IsZero() && l.Created.Before(s.Since):
			continue
		}
		if out = append(out, l); len(out) == s.Latest {
			break
		}
	}
	return out, nil
}

// Run copies charts. The error is of what concerns all of them; those of single charts
// are in the result, in the order of the list.
func (j *Job) Run(ctx context.Context, list []repo.Listed) (*Result, error) {
	var mu sync.Mutex
	out := &Result{}
	failed := make([]error, len(list))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(max(j.Parallel, 0))
	if j.Parallel == 0 {
		g.SetLimit(DefaultParallel)
	}
	for n, l := range list {
		g.Go(func() error {
			size, copied, err := j.copy(ctx, l)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err != nil && ctx.Err() != nil:
				return context.Cause(ctx)
			case err != nil:
				failed[n] = err
			case copied:
				out.Copied++
				out.Bytes += int64(size)
			default:
				out.Present++
			}
			return nil
		})
	}
	err := g.Wait()
	for n, l := range list {
		if failed[n] != nil {
			out.Failed = append(out.Failed, Failure{l.Chart, l.Version, failed[n]})
		}
	}
	if j.DryRun {
		return out, err
	}
	// What has been copied is good, also if the rest was not.
	return out, errors.Join(err, j.To.Finish(context.WithoutCancel(ctx), out.Copied > 0))
}

// copy copies one chart unless it is there.
func (j *Job) copy(ctx context.Context, l repo.Listed) (size int, copied bool, err error) {
	if !fs.ValidPath(archiveName(l)) || strings.Contains(archiveName(l), "/") {
		return 0, false, errors.New("this is no name of a chart")
	}
	sum, err := j.Resolver.DigestOf(ctx, l)
	if err != nil {
		return 0, false, err
	}
	there, err := j.To.Has(ctx, l)
	if err != nil {
		return 0, false, err
	}
	if there != "" && there == sum {
		return 0, false, nil
	}
	if j.DryRun && sum != "" {
		j.say(l, -1)
		return 0, true, nil
	}
	a, err := j.Resolver.PullListed(ctx, l)
	if err != nil {
		return 0, false, err
	}
	c, err := a.Load()
	if err != nil {
		return 0, false, err
	}
	if c.Name() != l.Chart || c.Metadata.Version != l.Version {
		return 0, false, fmt.Errorf("what the repository has there is %s %s", c.Name(), c.Metadata.Version)
	}
	a.Name = archiveName(l) // which is the one that a provenance file names
	if there != "" && there == a.Digest() {
		return 0, false, nil
	}
	if !j.DryRun {
		if err := j.To.Put(ctx, l, a); err != nil {
			return 0, false, err
		}
	}
	j.say(l, len(a.Data))
	return len(a.Data), true, nil
}

func (j *Job) say(l repo.Listed, size int) {
	if j.Say != nil {
		j.Say(l, size)
	}
}

// archiveName is the file name of a packed chart.
func archiveName(l repo.Listed) string { return l.Chart + "-" + l.Version + ".tgz" }
