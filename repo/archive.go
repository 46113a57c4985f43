package repo

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
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
}

// Load unpacks the chart.
func (a *Archive) Load() (*chart.Chart, error) {
	return chart.LoadArchive(bytes.NewReader(a.Data))
}

// Digest is the sha256 of the archive in hex.
func (a *Archive) Digest() string {
	sum := sha256.Sum256(a.Data)
	return hex.EncodeToString(sum[:])
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

var sha256Hex = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[0-9a-f]{64}$`) })

// download fetches an archive and checks it against the index's digest. With a
// digest it is kept, and found again, under that.
func (r *Resolver) download(ctx context.Context, l located) (*Archive, error) {
	u, err := url.Parse(l.url)
	if err != nil {
		return nil, fmt.Errorf("bad URL %q: %w", l.url, err)
	}
	a := &Archive{Name: path.Base(u.Path)}
	if l.provenance {
		target := l.url + ".prov"
		if a.Provenance, err = r.fetch(ctx, target, l.access, maxFileSize); err != nil {
			return nil, fmt.Errorf("failed to fetch provenance %q: %w", target, err)
		}
	}
	kept := ""
	if sha256Hex().MatchString(l.digest) {
		kept = filepath.Join(r.CacheDir, "archives", l.digest+".tgz")
		if data, err := os.ReadFile(kept); err == nil {
			a.Data = data
			if a.Digest() == l.digest {
				return a, nil
			}
		}
	}
	a.Data, err = r.fetch(ctx, l.url, l.access, maxArchiveSize)
	if err != nil {
		return nil, err
	}
	if l.digest != "" && a.Digest() != l.digest {
		return nil, fmt.Errorf("%s: the download's sha256 is %s, the index says %s", l.url, a.Digest(), l.digest)
	}
	if kept != "" {
		if err := writeFile(kept, a.Data, 0o644); err != nil {
			return nil, err
		}
	}
	return a, nil
}
