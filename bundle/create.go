package bundle

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/seed38700745/pkg/chart"
)

// Input is what a bundle is made of.
type Input struct {
	Chart    *chart.Chart // with the charts that it depends on
	Source   string       // what the user called it; may be ""
	Values   map[string]any
	Platform string  // "linux/amd64"
	Images   []Image // Name, Digest and Origin; the rest is found out
	// Folder holds the blobs of the images below blobs/sha256. Others are added to it.
	Folder string
	// Programs are the files of pkg's programs, RuntimeVersion is theirs; none for a
	// bundle without them.
	Programs       []string
	RuntimeVersion string
	// Created is the time of everything; if zero, that of the newest image.
	Created time.Time
	Creator string // "pkg 1.2.3"
	// Sign clear-signs a text; nil for a bundle without a signature.
	Sign func(text []byte) ([]byte, error)
}

// Create makes a bundle. The same input gives the same bundle. It reads from the
// folder for as long as it is used.
func Create(ctx context.Context, in Input) (*Bundle, error) {
	m := &maker{folder: in.Folder, documents: map[v1.Hash][]byte{}}
	c := Config{Format: format, Values: in.Values, Platform: in.Platform, Images: []Image{}, Created: in.Created, Creator: in.Creator}
	described := &Bundle{open: m.open}
	var manifests []v1.Descriptor
	for _, i := range in.Images {
		image, d, created, err := m.image(ctx, described, i)
		if err != nil {
			return nil, err
		}
		c.Images, manifests = append(c.Images, image), append(manifests, d)
		if in.Created.IsZero() && created.After(c.Created) {
			c.Created = created
		}
	}
	if c.Created.IsZero() {
		c.Created = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC) // as in packed charts
	}
	c.Created = c.Created.UTC().Truncate(time.Second)
	layers, err := m.parts(ctx, in, &c)
	if err != nil {
		return nil, err
	}
	written := c
	written.Values, _ = keepNumbers(c.Values).(map[string]any)
	config, err := m.document(mediaConfig, written)
	if err != nil {
		return nil, err
	}
	own, err := m.document(types.OCIManifestSchema1, v1.Manifest{
		SchemaVersion: 2, MediaType: types.OCIManifestSchema1, ArtifactType: ArtifactType, Config: config, Layers: layers,
		Annotations: map[string]string{
			ociTitle:                           c.Chart.Name,
			"org.opencontainers.image.version": c.Chart.Version,
		},
	})
	if err != nil {
		return nil, err
	}
	own.ArtifactType = ArtifactType
	own.Annotations = map[string]string{ociName: "bundle"}
	index := v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, ArtifactType: ArtifactType, Manifests: append([]v1.Descriptor{own}, manifests...)}
	if in.Sign == nil {
		return m.read(ctx, index)
	}
	unsigned, err := m.read(ctx, index)
	if err != nil {
		return nil, err
	}
	signature, err := m.signature(unsigned, own, in.Sign)
	if err != nil {
		return nil, err
	}
	index.Manifests = slices.Insert(index.Manifests, 1, signature)
	return m.read(ctx, index)
}

// maker keeps the documents of a bundle that is being made.
type maker struct {
	folder    string
	documents map[v1.Hash][]byte
}

func (m *maker) read(ctx context.Context, index v1.IndexManifest) (*Bundle, error) {
	raw, err := json.Marshal(index)
	if err != nil {
		return nil, err
	}
	return Read(ctx, raw, m.open)
}

// open is the new bundle's Opener.
func (m *maker) open(_ context.Context, d v1.Descriptor) (io.ReadCloser, error) {
	if data, ok := m.documents[d.Digest]; ok {
		return io.NopCloser(bytes.NewReader(data)), nil
	}
	return os.Open(m.path(d.Digest.Hex))
}

func (m *maker) path(hex string) string { return filepath.Join(m.folder, "blobs", "sha256", hex) }

// add keeps a document.
func (m *maker) add(t types.MediaType, data []byte) (v1.Descriptor, error) {
	h, n, err := v1.SHA256(bytes.NewReader(data))
	m.documents[h] = data
	return v1.Descriptor{MediaType: t, Digest: h, Size: n}, err
}

func (m *maker) document(t types.MediaType, v any) (v1.Descriptor, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return v1.Descriptor{}, err
	}
	return m.add(t, data)
}

// manifestOf describes the manifest of an image of the folder.
func (m *maker) manifestOf(i Image) (v1.Descriptor, error) {
	digest, err := v1.NewHash(i.Digest)
	if err != nil {
		return v1.Descriptor{}, err
	}
	info, err := os.Stat(m.path(digest.Hex))
	if err != nil {
		return v1.Descriptor{}, err
	}
	return v1.Descriptor{Digest: digest, Size: info.Size()}, nil
}

// image describes an image of the folder.
func (m *maker) image(ctx context.Context, b *Bundle, i Image) (Image, v1.Descriptor, time.Time, error) {
	fail := func(err error) (Image, v1.Descriptor, time.Time, error) {
		return i, v1.Descriptor{}, time.Time{}, fmt.Errorf("image %s: %w", i.Name, err)
	}
	d, err := m.manifestOf(i)
	if err != nil {
		return fail(err)
	}
	blobs, manifest, err := b.blobsOf(ctx, d, i.Name)
	if err != nil {
		return fail(err)
	}
	var config v1.ConfigFile
	if err := b.readJSON(ctx, manifest.Config, "its configuration", &config); err != nil {
		return fail(err)
	}
	i.Size = 0
	for _, blob := range blobs {
		i.Size += blob.Size
	}
	if i.Packages, err = b.packages(ctx, manifest.Layers, &config); err != nil {
		return fail(err)
	}
	d.MediaType = manifest.MediaType
	if d.MediaType == "" {
		d.MediaType = types.OCIManifestSchema1
	}
	d.Annotations = nameAnnotations(i)
	d.Platform = &v1.Platform{OS: config.OS, Architecture: config.Architecture, Variant: config.Variant}
	return i, d, config.Created.Time, nil
}

// parts makes the layers of the bundle's manifest, and completes its configuration.
func (m *maker) parts(ctx context.Context, in Input, c *Config) ([]v1.Descriptor, error) {
	var packed bytes.Buffer
	if err := chart.Save(&packed, in.Chart, in.Created); err != nil {
		return nil, err
	}
	archive, err := m.add(mediaChart, packed.Bytes())
	if err != nil {
		return nil, err
	}
	archive.Annotations = map[string]string{ociTitle: chart.ArchiveName(in.Chart)}
	md := in.Chart.Metadata
	c.Chart = Chart{Name: md.Name, Version: md.Version, AppVersion: md.AppVersion, Description: md.Description,
		Source: in.Source, Digest: archive.Digest.String(), Dependencies: dependencies(in.Chart, "")}
	layers := []v1.Descriptor{archive}
	if len(in.Programs) > 0 {
		runtime, err := m.runtime(ctx, in, c)
		if err != nil {
			return nil, err
		}
		layers = append(layers, runtime)
	}
	contents, err := m.document(mediaContents, contentsOf(c))
	if err != nil {
		return nil, err
	}
	contents.Annotations = map[string]string{ociTitle: "contents.spdx.json"}
	return append(layers, contents), nil
}

// runtime packs the programs into the folder.
func (m *maker) runtime(ctx context.Context, in Input, c *Config) (v1.Descriptor, error) {
	f, err := os.CreateTemp(m.folder, "runtime-")
	if err != nil {
		return v1.Descriptor{}, err
	}
	programs, err := packPrograms(ctx, in.Programs, f)
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	var h v1.Hash
	var n int64
	if err == nil {
		h, n, err = v1.SHA256(f)
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return v1.Descriptor{}, err
	}
	if err := os.MkdirAll(filepath.Dir(m.path("")), 0o755); err != nil {
		return v1.Descriptor{}, err
	}
	c.Runtime = &Runtime{Version: in.RuntimeVersion, Digest: h.String(), Size: n, Programs: programs}
	d := v1.Descriptor{MediaType: mediaRuntime, Digest: h, Size: n, Annotations: map[string]string{ociTitle: RuntimeEntry}}
	return d, os.Rename(f.Name(), m.path(h.Hex))
}

// signature makes the manifest of a signature.
func (m *maker) signature(b *Bundle, own v1.Descriptor, sign func([]byte) ([]byte, error)) (v1.Descriptor, error) {
	text, err := b.signedText()
	if err != nil {
		return v1.Descriptor{}, err
	}
	if text, err = sign(text); err != nil {
		return v1.Descriptor{}, err
	}
	layer, err := m.add(mediaSignature, text)
	if err != nil {
		return v1.Descriptor{}, err
	}
	layer.Annotations = map[string]string{ociTitle: SignatureEntry}
	empty, err := m.add(mediaEmpty, []byte("{}"))
	if err != nil {
		return v1.Descriptor{}, err
	}
	own.Annotations = nil
	d, err := m.document(types.OCIManifestSchema1, v1.Manifest{
		SchemaVersion: 2, MediaType: types.OCIManifestSchema1, ArtifactType: signatureType,
		Config: empty, Layers: []v1.Descriptor{layer}, Subject: &own,
	})
	d.ArtifactType = signatureType
	return d, err
}

// dependencies lists the charts in a chart.
func dependencies(c *chart.Chart, below string) []Dependency {
	declared := map[string]*chart.Dependency{}
	for _, d := range c.Metadata.Dependencies {
		if d != nil {
			declared[d.Name] = d
		}
	}
	var out []Dependency
	for _, sub := range c.Dependencies() {
		d := Dependency{Path: below + sub.Name(), Name: sub.Name(), Version: sub.Metadata.Version}
		if of := declared[sub.Name()]; of != nil {
			d.Repository = of.Repository
		}
		out = append(append(out, d), dependencies(sub, d.Path+"/")...)
	}
	slices.SortStableFunc(out, func(a, b Dependency) int { return strings.Compare(a.Path, b.Path) })
	return out
}
