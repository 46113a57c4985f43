package repo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/seed38700745/pkg/chart"
)

// Archive is a packed chart.
type Archive struct {
	Name string // file name, "mysql-1.0.0.tgz"
	Data []byte
	// Provenance is the signed .prov file, when the request asked for it.
	Provenance []byte
	// Ref and Manifest name an archive from a registry; "" for others.
	Ref, Manifest string

	url     string   // it was fetched from, unless that was a registry
	access  Access   // to where it was fetched from
	origins []string // the references by which policies may name it
}

// Load unpacks the chart.
func (a *Archive) Load() (*chart.Chart, error) {
	return chart.LoadArchive(bytes.NewReader(a.Data))
}

// Digest is the sha256 of the archive in hex.
func (a *Archive) Digest() string {
	return hexSum(a.Data)
}

// ReadArchive reads an archive from disk with the provenance file beside it, which
// must be there. The texts of its errors are Helm's.
func ReadArchive(name string) (*Archive, error) {
	info, err := os.Stat(name)
	switch {
	case err != nil:
		return nil, err
	case info.IsDir():
		return nil, errors.New("unpacked charts cannot be verified")
	case !strings.EqualFold(filepath.Ext(name), ".tgz"):
		return nil, errors.New("chart must be a tgz file")
	}
	if _, err := os.Stat(name + ".prov"); err != nil {
		return nil, fmt.Errorf("could not load provenance file %s.prov: %w", name, err)
	}
	a := &Archive{Name: filepath.Base(name)}
	if a.Data, err = os.ReadFile(name); err != nil {
		return nil, err
	}
	if a.Provenance, err = os.ReadFile(name + ".prov"); err != nil {
		return nil, err
	}
	return a, nil
}

func pack(c *chart.Chart) (*Archive, error) {
	var out bytes.Buffer
	if err := chart.Save(&out, c, time.Time{}); err != nil {
		return nil, err
	}
	return &Archive{Name: chart.ArchiveName(c), Data: out.Bytes()}, nil
}

// download fetches an archive and checks it against the index's digest; by that it is
// found again, too.
func (r *Resolver) download(ctx context.Context, l located) (*Archive, error) {
	u, err := url.Parse(l.url)
	if err != nil {
		return nil, fmt.Errorf("bad URL %q: %w", l.url, err)
	}
	a := &Archive{Name: path.Base(u.Path), url: l.url, access: l.access, origins: []string{l.chart, l.url, l.origin}}
	if l.provenance {
		target := l.url + ".prov"
		if a.Provenance, _, err = r.fetchKept(ctx, target, l.access, maxFileSize); err != nil {
			err = fmt.Errorf("failed to fetch provenance %q: %w", redacted(target), err)
			if missingProvenance(err) {
				err = noProvenance{err}
			}
			return nil, err
		}
	}
	if data, ok := r.kept(l.digest); ok {
		a.Data = data
		return a, nil
	}
	if l.digest == "" {
		a.Data, _, err = r.fetchKept(ctx, l.url, l.access, maxArchiveSize)
		return a, l.offline(err)
	}
	if a.Data, err = r.fetch(ctx, l.url, l.access, maxArchiveSize); err != nil {
		return nil, l.offline(err)
	}
	if sum := a.Digest(); sum != l.digest {
		return nil, fmt.Errorf("%s: the download's sha256 is %s, the index says %s", redacted(l.url), sum, l.digest)
	}
	if _, err := r.keep(l.url, a.Data); err != nil {
		return nil, err
	}
	return a, nil
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
