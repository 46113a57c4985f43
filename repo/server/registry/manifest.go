package registry

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"slices"
	"strings"

	"github.com/seed38700745/pkg/repo/server/depot"
)

// Media types of the OCI image specification and of Helm's charts.
const (
	typeManifest   = "application/vnd.oci.image.manifest.v1+json"
	typeIndex      = "application/vnd.oci.image.index.v1+json"
	typeConfig     = "application/vnd.cncf.helm.config.v1+json"
	typeChart      = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
	typeProvenance = "application/vnd.cncf.helm.chart.provenance.v1.prov"
)

type descriptor struct {
	MediaType    string            `json:"mediaType"`
	Digest       string            `json:"digest"`
	Size         int64             `json:"size"`
	Annotations  map[string]string `json:"annotations,omitempty"`
	ArtifactType string            `json:"artifactType,omitempty"`

	subject string // the digest of what a referrer is about
}

// document is what the registry needs to know of a manifest or an index.
type document struct {
	SchemaVersion int               `json:"schemaVersion"`
	MediaType     string            `json:"mediaType,omitempty"`
	ArtifactType  string            `json:"artifactType,omitempty"`
	Config        *descriptor       `json:"config,omitempty"`
	Layers        []descriptor      `json:"layers,omitempty"`
	Manifests     []descriptor      `json:"manifests,omitempty"`
	Subject       *descriptor       `json:"subject,omitempty"`
	Annotations   map[string]string `json:"annotations,omitempty"`
}

// manifest is a stored or a computed one.
type manifest struct {
	data   []byte
	digest string // "sha256:..."
	document
}

func parseManifest(data []byte, contentType string) (*manifest, error) {
	m := &manifest{data: data, digest: digestOf(data)}
	invalid := func(text string) error { return &Error{http.StatusBadRequest, "MANIFEST_INVALID", text} }
	if err := json.Unmarshal(data, &m.document); err != nil {
		return nil, invalid("manifest is not JSON: " + err.Error())
	}
	if m.SchemaVersion != 2 || (m.Config == nil) == (m.Manifests == nil) {
		return nil, invalid("neither an image manifest nor an index of version 2")
	}
	if contentType != "" && m.MediaType != "" && contentType != m.MediaType {
		return nil, invalid(fmt.Sprintf("the Content-Type is %s, the manifest says %s", contentType, m.MediaType))
	}
	if m.MediaType == "" {
		m.MediaType = typeManifest
		if m.Manifests != nil {
			m.MediaType = typeIndex
		}
	}
	return m, nil
}

// chartLayer is the archive of a Helm chart's manifest.
func (m *manifest) chartLayer() (archive, provenance *descriptor) {
	if m.Config == nil || m.Config.MediaType != typeConfig {
		return nil, nil
	}
	for i := range m.Layers {
		switch m.Layers[i].MediaType {
		case typeChart:
			archive = &m.Layers[i]
		case typeProvenance:
			provenance = &m.Layers[i]
		}
	}
	return archive, provenance
}

func digestOf(data []byte) string {
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func (g *Registry) unknown(q Request) error {
	return &Error{http.StatusNotFound, "MANIFEST_UNKNOWN", fmt.Sprintf("%s: %s is not known", q.Name, q.ref)}
}

// isUnknown tells that something is not here, rather than that it cannot be read.
func isUnknown(err error) bool {
	var known *Error
	return errors.As(err, &known) && known.Status == http.StatusNotFound
}

// readManifest returns a stored manifest.
func (g *Registry) readManifest(q Request, digest string) (*manifest, error) {
	hex, err := hexOf(digest)
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(g.path(q.Name, "_manifests", hex))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, g.unknown(q)
	}
	if err != nil {
		return nil, err
	}
	return parseManifest(data, "")
}

// find resolves a tag or a digest. A chart's tag follows the depot: what was
// deleted or replaced there is so here.
func (g *Registry) find(q Request) (*manifest, error) {
	if strings.Contains(q.ref, ":") {
		m, err := g.readManifest(q, q.ref)
		if isUnknown(err) {
			return g.chartByDigest(q)
		}
		return m, err
	}
	if !tagName.MatchString(q.ref) {
		return nil, g.unknown(q)
	}
	stored, err := g.tagged(q)
	if err != nil {
		return nil, err
	}
	e, _ := g.charts.Find(q.Tenant, q.Chart, versionOf(q.ref))
	if stored != nil {
		layer, _ := stored.chartLayer()
		if layer == nil || e != nil && layer.Digest == "sha256:"+e.Digest {
			return stored, nil
		}
	}
	if e == nil || q.ref == "latest" {
		return nil, g.unknown(q)
	}
	return g.chartManifest(q.Tenant, e)
}

// tagged is the manifest that a stored tag names; nil when there is none.
func (g *Registry) tagged(q Request) (*manifest, error) {
	data, err := os.ReadFile(g.path(q.Name, "_tags", q.ref))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return g.readManifest(q, string(bytes.TrimSpace(data)))
}

// put stores a manifest whose parts are there; one of a chart goes to the depot too.
func (g *Registry) put(ctx context.Context, q Request, data []byte, contentType string) (*manifest, error) {
	m, err := parseManifest(data, contentType)
	if err != nil {
		return nil, err
	}
	isDigest := strings.Contains(q.ref, ":")
	switch {
	case isDigest && q.ref != m.digest:
		return nil, &Error{http.StatusBadRequest, "DIGEST_INVALID", fmt.Sprintf("the manifest has %s, not %s", m.digest, q.ref)}
	case !isDigest && !tagName.MatchString(q.ref):
		return nil, &Error{http.StatusBadRequest, "TAG_INVALID", fmt.Sprintf("tag %q", q.ref)}
	}
	defer g.lock(q.Name)() // parts that are there stay until the manifest names them
	if err := g.checkParts(q, m); err != nil {
		return nil, err
	}
	if layer, prov := m.chartLayer(); layer != nil && !isDigest {
		if err := g.storeChart(ctx, q, layer, prov); err != nil {
			return nil, err
		}
	}
	if err := g.writeFile(g.path(q.Name, "_manifests", strings.TrimPrefix(m.digest, "sha256:")), data); err != nil {
		return nil, err
	}
	if !isDigest {
		return m, g.writeFile(g.path(q.Name, "_tags", q.ref), []byte(m.digest))
	}
	return m, nil
}

// checkParts refuses manifests that name what is not here.
func (g *Registry) checkParts(q Request, m *manifest) error {
	parts := slices.Clone(m.Layers)
	if m.Config != nil {
		parts = append(parts, *m.Config)
	}
	for _, d := range parts {
		// Layers that may not be distributed stay where their URLs say.
		if strings.Contains(d.MediaType, "nondistributable") || strings.Contains(d.MediaType, "foreign") {
			continue
		}
		f, err := g.openBlob(q, d.Digest)
		if isUnknown(err) {
			return &Error{http.StatusNotFound, "MANIFEST_BLOB_UNKNOWN", fmt.Sprintf("blob %s is not here", d.Digest)}
		}
		if err != nil {
			return err
		}
		if err := f.Close(); err != nil {
			return err
		}
	}
	for _, d := range m.Manifests {
		part := q
		part.ref = d.Digest
		_, err := g.find(part)
		if isUnknown(err) {
			return &Error{http.StatusNotFound, "MANIFEST_UNKNOWN", fmt.Sprintf("manifest %s is not here", d.Digest)}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// remove deletes a tag, or a manifest with the tags that name it; charts go from
// the depot too.
func (g *Registry) remove(q Request) error {
	defer g.lock(q.Name)()
	m, err := g.find(q)
	if err != nil {
		return err
	}
	if layer, _ := m.chartLayer(); layer != nil {
		for _, e := range g.charts.Versions(q.Tenant, q.Chart) {
			if "sha256:"+e.Digest == layer.Digest && (strings.Contains(q.ref, ":") || versionOf(q.ref) == e.Version) {
				if err := g.charts.Delete(q.Tenant, e.Name, e.Version); err != nil && !errors.Is(err, depot.ErrNotFound) {
					return err
				}
			}
		}
	}
	if layer, _ := m.chartLayer(); layer != nil || strings.Contains(q.ref, ":") {
		return g.dropManifest(q.Name, m.digest) // a chart has one tag, its version
	}
	return g.dropTag(q.Name, q.ref, m.digest)
}

func (g *Registry) storedTags(name string) ([]string, error) {
	list, err := os.ReadDir(g.path(name, "_tags"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	tags := make([]string, 0, len(list))
	for _, item := range list {
		tags = append(tags, item.Name())
	}
	return tags, nil
}
