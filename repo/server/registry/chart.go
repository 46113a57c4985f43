package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/seed38700745/pkg/repo/server/depot"
)

// versionOf and tagOf translate between versions and tags, which know no "+".
func versionOf(tag string) string { return strings.ReplaceAll(tag, "_", "+") }
func tagOf(version string) string { return strings.ReplaceAll(version, "+", "_") }

// chartConfig is the config blob of a chart that was not pushed here: its metadata.
func chartConfig(e *depot.Entry) ([]byte, error) {
	meta, err := e.Metadata()
	if err != nil {
		return nil, err
	}
	return json.Marshal(meta)
}

// chartManifest computes the manifest of a stored chart. The same files give the
// same bytes.
func (g *Registry) chartManifest(tenant string, e *depot.Entry) (*manifest, error) {
	config, err := chartConfig(e)
	if err != nil {
		return nil, err
	}
	meta, err := e.Metadata()
	if err != nil {
		return nil, err
	}
	d := document{
		SchemaVersion: 2, MediaType: typeManifest,
		Config: &descriptor{MediaType: typeConfig, Digest: digestOf(config), Size: int64(len(config))},
		Layers: []descriptor{{MediaType: typeChart, Digest: "sha256:" + e.Digest, Size: e.Size}},
		Annotations: map[string]string{
			"org.opencontainers.image.title":   e.Name,
			"org.opencontainers.image.version": e.Version,
			"org.opencontainers.image.created": e.Created.Format(time.RFC3339),
		},
	}
	if meta.Description != "" {
		d.Annotations["org.opencontainers.image.description"] = meta.Description
	}
	prov, err := g.provenance(tenant, e)
	if err != nil {
		return nil, err
	}
	if prov != nil {
		d.Layers = append(d.Layers, descriptor{MediaType: typeProvenance, Digest: digestOf(prov), Size: int64(len(prov))})
	}
	data, err := json.Marshal(d)
	if err != nil {
		return nil, err
	}
	return parseManifest(data, "")
}

// provenance is a chart's .prov file, nil when it has none.
func (g *Registry) provenance(tenant string, e *depot.Entry) ([]byte, error) {
	f, _, err := g.charts.OpenFile(tenant, e.File+".prov")
	if errors.Is(err, depot.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}

// chartByDigest finds a computed manifest.
func (g *Registry) chartByDigest(q Request) (*manifest, error) {
	for _, e := range g.charts.Versions(q.Tenant, q.Chart) {
		if m, err := g.chartManifest(q.Tenant, e); err == nil && m.digest == q.ref {
			return m, nil
		}
	}
	return nil, g.unknown(q)
}

// blob is content that can be read from any place.
type blob interface {
	io.ReadSeeker
	io.Closer
}

type memoryBlob struct{ *strings.Reader }

func (memoryBlob) Close() error { return nil }

// openBlob opens a stored blob, or a part of a chart of the depot.
func (g *Registry) openBlob(q Request, digest string) (blob, error) {
	hex, err := hexOf(digest)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(g.path(q.Name, "_blobs", hex))
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return f, err
	}
	for _, e := range g.charts.Versions(q.Tenant, q.Chart) {
		if e.Digest == hex {
			f, _, err := g.charts.OpenFile(q.Tenant, e.File)
			return f, err
		}
	}
	for _, e := range g.charts.Versions(q.Tenant, q.Chart) {
		if config, err := chartConfig(e); err == nil && digestOf(config) == digest {
			return memoryBlob{strings.NewReader(string(config))}, nil
		}
		if prov, err := g.provenance(q.Tenant, e); err == nil && prov != nil && digestOf(prov) == digest {
			return memoryBlob{strings.NewReader(string(prov))}, nil
		}
	}
	return nil, &Error{http.StatusNotFound, "BLOB_UNKNOWN", fmt.Sprintf("%s: blob %s is not known", q.Name, digest)}
}

// storeChart puts a pushed chart into the depot. It must be what the repository
// and the tag say, as Helm's own rule for references has it.
func (g *Registry) storeChart(ctx context.Context, q Request, layer, prov *descriptor) error {
	f, err := g.openBlob(q, layer.Digest)
	if err != nil {
		return err
	}
	defer f.Close()
	u := depot.Upload{Tenant: q.Tenant, Archive: f, Same: true, Name: q.Chart, Version: versionOf(q.ref)}
	if prov != nil {
		p, err := g.openBlob(q, prov.Digest)
		if err != nil {
			return err
		}
		defer p.Close()
		if u.Provenance, err = io.ReadAll(io.LimitReader(p, maxManifest)); err != nil {
			return err
		}
	}
	_, err = g.charts.Put(ctx, u)
	return err
}
