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

// ErrNoProvenance is wrapped when a chart was asked for with its provenance and there
// is none.
var ErrNoProvenance = errors.New("no provenance")

// noProvenance keeps the text of its cause, which is Helm's.
type noProvenance struct{ error }

func (n noProvenance) Unwrap() []error { return []error{ErrNoProvenance, n.error} }

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

// download returns an archive, which the kept content has if the index said its digest.
func (r *Resolver) download(ctx context.Context, l located) (*Archive, error) {
	u, err := url.Parse(l.url)
	if err != nil {
		return nil, fmt.Errorf("bad URL %q: %w", l.url, err)
	}
	a := &Archive{Name: path.Base(u.Path), url: l.url, access: l.access, origins: []string{l.chart, l.url, l.origin}}
	if l.provenance {
		if a.Provenance, err = r.fetchProvenance(ctx, l); err != nil {
			return nil, err
		}
	}
	var ok bool
	if a.Data, ok = r.kept(l.digest); !ok {
		a.Data, err = r.fetchArchive(ctx, l)
	}
	return a, err
}
