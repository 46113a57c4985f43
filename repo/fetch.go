//go:build !front

package repo

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/seed38700745/pkg/repo/localindex"
)

// locateUnlisted finds a chart in a repository that is not configured.
func (r *Resolver) locateUnlisted(ctx context.Context, req Request) (located, error) {
	if IsOCI(req.RepoURL) {
		return located{chart: req.Ref, version: req.Version, url: strings.TrimSuffix(req.RepoURL, "/") + "/" + req.Ref, access: req.Access}, nil
	}
	e := unlisted(req.RepoURL, req.Access)
	if !r.Offline {
		if err := r.refresh(ctx, e); err != nil {
			return located{}, err
		}
	}
	return r.locateIn(ctx, e, req.Access, req.Ref, "repository "+redacted(req.RepoURL), req)
}

// accessOf completes the access to a URL with that of the repository whose index names
// it, as Helm does; credentials only where they may go.
func (r *Resolver) accessOf(target string, access Access) (Access, error) {
	list, err := r.Repositories()
	if err != nil {
		return Access{}, err
	}
	for _, e := range list {
		own := e.Access()
		if IsOCI(e.URL) || own == (Access{}) {
			continue
		}
		x, err := r.readIndex(e)
		if err != nil {
			continue // without an index it names nothing
		}
		named := errors.New("named")
		err = x.Range(func(_ string, versions []localindex.Entry) error {
			for _, v := range versions {
				if full, err := resolveURL(e.URL, v.URL); err == nil && full == target {
					return named
				}
			}
			return nil
		})
		if closeErr := x.Close(); closeErr != nil {
			return Access{}, closeErr
		}
		if errors.Is(err, named) {
			return own.forTarget(e.URL, target).or(access), nil
		}
	}
	return access, nil
}

// fetchProvenance fetches the .prov file of an archive.
func (r *Resolver) fetchProvenance(ctx context.Context, l located) ([]byte, error) {
	target := l.url + ".prov"
	data, _, err := r.fetchKept(ctx, target, l.access, maxFileSize)
	if err == nil {
		return data, nil
	}
	err = fmt.Errorf("failed to fetch provenance %q: %w", redacted(target), err)
	if missingProvenance(err) {
		err = noProvenance{err}
	}
	return nil, err
}

// fetchArchive fetches an archive and checks it against the index's digest; by that it
// is found again, too.
func (r *Resolver) fetchArchive(ctx context.Context, l located) ([]byte, error) {
	if l.digest == "" {
		data, _, err := r.fetchKept(ctx, l.url, l.access, maxArchiveSize)
		return data, l.offline(err)
	}
	data, err := r.fetch(ctx, l.url, l.access, maxArchiveSize)
	if err != nil {
		return nil, l.offline(err)
	}
	if sum := hexSum(data); sum != l.digest {
		return nil, fmt.Errorf("%s: the download's sha256 is %s, the index says %s", redacted(l.url), sum, l.digest)
	}
	if _, err := r.keep(l.url, data); err != nil {
		return nil, err
	}
	return data, nil
}

// offline names the chart in the error of one that is not cached.
func (l located) offline(err error) error {
	var missing *OfflineError
	if !errors.As(err, &missing) || l.chart == "" {
		return err
	}
	out := &OfflineError{What: "chart " + l.chart, Next: "pkg pull " + l.chart}
	if l.version != "" {
		out.What += " " + l.version
		out.Next += " --version " + l.version
	}
	out.What += " (" + redacted(l.url) + ")"
	return out
}

// fetchKept reads a URL and keeps what it led to; offline it returns that. It also
// returns the content's SHA-256.
func (r *Resolver) fetchKept(ctx context.Context, target string, access Access, limit int64) ([]byte, string, error) {
	if r.Offline {
		data, ok, err := r.recalled(target)
		if err == nil && !ok {
			_, err = r.get(ctx, target, access, nil) // says that it is not there
		}
		return data, hexSum(data), err
	}
	data, err := r.fetch(ctx, target, access, limit)
	if err != nil {
		return nil, "", err
	}
	sum, err := r.keep(target, data)
	if err != nil {
		return nil, "", fmt.Errorf("keep %s: %w", redacted(target), err)
	}
	return data, sum, nil
}
