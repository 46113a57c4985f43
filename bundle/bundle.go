// Package bundle is the one file that carries a chart to machines without a network:
// the chart with its dependencies, values, the images that it names, and a list of
// what is in them.
//
// A bundle is an OCI image layout in a tar archive. Its index.json names
//
//	the bundle's own manifest (artifact type [ArtifactType]), whose configuration is a
//	    [Config] and whose layers are the chart, the list of contents (SPDX) and
//	    perhaps pkg's programs;
//	perhaps a manifest with a signature, whose subject is the bundle's own;
//	the manifest of each image, under the image's name.
//
// Everything is named by its sha256, from the bundle's manifest down, so that a
// signature of that manifest is one of everything: the Config repeats the digests of
// the images. docs/bundles.md describes the format for others.
//
// A [Bundle] is the same whether it is being made, in a file, or in a registry; what
// differs is the function that opens its blobs.
package bundle

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/seed38700745/pkg/chart"
)

// ArtifactType marks a bundle's index and its own manifest.
const ArtifactType = "application/vnd.pkg.bundle.v1"

// signatureType marks the manifest that holds a signature.
const signatureType = "application/vnd.pkg.bundle.signature.v1"

// Media types of the parts of a bundle's own manifest.
const (
	mediaConfig    types.MediaType = "application/vnd.pkg.bundle.config.v1+json"
	mediaChart     types.MediaType = "application/vnd.cncf.helm.chart.content.v1.tar+gzip" // Helm's
	mediaContents  types.MediaType = "application/spdx+json"
	mediaRuntime   types.MediaType = "application/vnd.pkg.bundle.runtime.v1.tar+gzip"
	mediaSignature types.MediaType = "application/vnd.pkg.bundle.signature.v1+asc"
	mediaEmpty     types.MediaType = "application/vnd.oci.empty.v1+json"
)

// The annotations of a descriptor that name an image: containerd's and the OCI
// specification's; and ours, which says where the image came from.
const (
	containerdName   = "io.containerd.image.name"
	ociName          = "org.opencontainers.image.ref.name"
	ociTitle         = "org.opencontainers.image.title"
	originAnnotation = "pkg.internal/origin"
)

// format is the version of [Config] that this package writes and reads.
const format = 1

// maxDocument bounds manifests, configurations and the like, bytes.
const maxDocument = 16 << 20

// maxChart bounds a bundle's chart, bytes.
const maxChart = 100 << 20

// Config says what a bundle is.
type Config struct {
	Format   int            `json:"format"`
	Chart    Chart          `json:"chart"`
	Values   map[string]any `json:"values,omitempty"`
	Platform string         `json:"platform"` // of the images and programs, "linux/amd64"
	Images   []Image        `json:"images"`   // by name
	Runtime  *Runtime       `json:"runtime,omitempty"`
	Created  time.Time      `json:"created"` // of the newest part, or what SOURCE_DATE_EPOCH said
	Creator  string         `json:"creator"` // "pkg 1.2.3"
}

// Chart names the chart of a bundle.
type Chart struct {
	Name         string       `json:"name"`
	Version      string       `json:"version"`
	AppVersion   string       `json:"appVersion,omitempty"`
	Description  string       `json:"description,omitempty"`
	Source       string       `json:"source,omitempty"` // what it was called when the bundle was made
	Digest       string       `json:"digest"`           // of the archive
	Dependencies []Dependency `json:"dependencies,omitempty"`
}

// Dependency is a chart in the chart, by its path: "mysql", "web/redis".
type Dependency struct {
	Path       string `json:"path"`
	Name       string `json:"name"`
	Version    string `json:"version"`
	Repository string `json:"repository,omitempty"`
}

// Image is an image of a bundle.
type Image struct {
	Name     string    `json:"name"`   // in full, as manifests mean it
	Digest   string    `json:"digest"` // of its manifest
	Size     int64     `json:"size"`   // bytes of its blobs
	Origin   string    `json:"origin,omitempty"`
	Packages []Package `json:"packages,omitempty"` // of its distribution
}

// Runtime is pkg's own programs.
type Runtime struct {
	Version  string    `json:"version"`
	Digest   string    `json:"digest"` // of the archive
	Size     int64     `json:"size"`   // bytes of the archive
	Programs []Program `json:"programs"`
}

// Program is one of them.
type Program struct {
	Name   string `json:"name"`
	SHA256 string `json:"sha256"` // hex
	Size   int64  `json:"size"`   // bytes
}

// Opener opens a blob. What it returns is checked by who reads it.
type Opener func(ctx context.Context, d v1.Descriptor) (io.ReadCloser, error)

// Bundle is a bundle whose small parts have been read and checked.
type Bundle struct {
	Config   Config
	Manifest v1.Manifest
	// Digest is that of the bundle's own manifest, which names everything.
	Digest string

	raw       []byte // index.json
	index     v1.IndexManifest
	own       v1.Descriptor
	signature *v1.Descriptor // of the signature's manifest
	open      Opener
}

// ErrNoBundle is wrapped when something readable is no bundle.
var ErrNoBundle = errors.New("it is no bundle")

// Read reads what index, the content of an index.json, and open give.
func Read(ctx context.Context, index []byte, open Opener) (*Bundle, error) {
	b := &Bundle{raw: index, open: open}
	if err := json.Unmarshal(index, &b.index); err != nil {
		return nil, fmt.Errorf("%w: index.json: %w", ErrNoBundle, err)
	}
	for _, d := range b.index.Manifests {
		switch d.ArtifactType {
		case ArtifactType:
			b.own = d
		case signatureType:
			b.signature = &d
		}
	}
	if b.own.ArtifactType == "" {
		return nil, fmt.Errorf("%w, but another OCI layout", ErrNoBundle)
	}
	b.Digest = b.own.Digest.String()
	if err := b.readJSON(ctx, b.own, "the bundle's manifest", &b.Manifest); err != nil {
		return nil, err
	}
	if b.Manifest.Config.MediaType != mediaConfig {
		return nil, fmt.Errorf("%w that this version of pkg knows: its configuration is %s", ErrNoBundle, b.Manifest.Config.MediaType)
	}
	if err := b.readJSON(ctx, b.Manifest.Config, "the bundle's configuration", &b.Config); err != nil {
		return nil, err
	}
	if b.Config.Format != format {
		return nil, fmt.Errorf("the bundle has format %d; this version of pkg reads %d", b.Config.Format, format)
	}
	values, err := restoreNumbers(b.Config.Values)
	if err != nil {
		return nil, err
	}
	b.Config.Values, _ = values.(map[string]any)
	for _, i := range b.Config.Images {
		if _, err := b.image(i); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// Index is the index.json.
func (b *Bundle) Index() []byte { return b.raw }

// image finds an image's manifest in the index.
func (b *Bundle) image(i Image) (v1.Descriptor, error) {
	at := slices.IndexFunc(b.index.Manifests, func(d v1.Descriptor) bool { return d.Digest.String() == i.Digest })
	if at < 0 {
		return v1.Descriptor{}, fmt.Errorf("the bundle lacks the manifest %s of image %s", i.Digest, i.Name)
	}
	return b.index.Manifests[at], nil
}

// layer finds a part of the bundle's own manifest; ok is false when it has none.
func (b *Bundle) layer(t types.MediaType) (d v1.Descriptor, ok bool) {
	at := slices.IndexFunc(b.Manifest.Layers, func(d v1.Descriptor) bool { return d.MediaType == t })
	if at < 0 {
		return d, false
	}
	return b.Manifest.Layers[at], true
}

// read returns a small blob whole, checked.
func (b *Bundle) read(ctx context.Context, d v1.Descriptor, what string, limit int64) ([]byte, error) {
	if d.Size > limit {
		return nil, fmt.Errorf("blob %s (%s) has %d bytes, more than the %d that it may have", d.Digest, what, d.Size, limit)
	}
	r, err := b.openChecked(ctx, Blob{Descriptor: d, What: what})
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

func (b *Bundle) readJSON(ctx context.Context, d v1.Descriptor, what string, into any) error {
	data, err := b.read(ctx, d, what, maxDocument)
	if err != nil {
		return err
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	if err := decoder.Decode(into); err != nil {
		return fmt.Errorf("blob %s (%s): %w", d.Digest, what, err)
	}
	return nil
}

// Chart unpacks the chart.
func (b *Bundle) Chart(ctx context.Context) (*chart.Chart, error) {
	d, ok := b.layer(mediaChart)
	if !ok || d.Digest.String() != b.Config.Chart.Digest {
		return nil, fmt.Errorf("%w: it holds no chart", ErrNoBundle)
	}
	data, err := b.read(ctx, d, "the chart", maxChart)
	if err != nil {
		return nil, err
	}
	return chart.LoadArchive(bytes.NewReader(data))
}

// Contents is the list of everything in the bundle, SPDX 2.3 as JSON.
func (b *Bundle) Contents(ctx context.Context) ([]byte, error) {
	d, ok := b.layer(mediaContents)
	if !ok {
		return nil, errors.New("the bundle holds no list of its contents")
	}
	return b.read(ctx, d, "the list of contents", maxDocument)
}

// Signed tells whether there is a signature. [Bundle.Verify] tells whose.
func (b *Bundle) Signed() bool { return b.signature != nil }

// Blob is a blob with what it is.
type Blob struct {
	v1.Descriptor
	What string // "layer 2 of image docker.io/library/nginx:1.22"
	// entry is the name in the archive under which it stands first; "" for its own.
	entry string
}

// Blobs lists all blobs, each once, in the order in which they are written.
func (b *Bundle) Blobs(ctx context.Context) ([]Blob, error) {
	l := &blobList{seen: map[v1.Hash]bool{}}
	l.add(Blob{Descriptor: b.own, What: "the bundle's manifest"}, Blob{Descriptor: b.Manifest.Config, What: "the bundle's configuration"})
	for _, d := range b.Manifest.Layers {
		blob := Blob{Descriptor: d, What: d.Annotations[ociTitle]}
		if d.MediaType == mediaRuntime {
			blob.What, blob.entry = "pkg's programs", RuntimeEntry
		}
		l.add(blob)
	}
	if b.signature != nil {
		var m v1.Manifest
		if err := b.readJSON(ctx, *b.signature, "the signature's manifest", &m); err != nil {
			return nil, err
		}
		l.add(Blob{Descriptor: *b.signature, What: "the signature's manifest"}, Blob{Descriptor: m.Config, What: "the signature's configuration"})
		for _, d := range m.Layers {
			l.add(Blob{Descriptor: d, What: "the signature", entry: SignatureEntry})
		}
	}
	images, err := b.imageBlobs(ctx, b.Config.Images)
	l.add(images...)
	return l.list, err
}

// imageBlobs lists the blobs of images, each once.
func (b *Bundle) imageBlobs(ctx context.Context, images []Image) ([]Blob, error) {
	l := &blobList{seen: map[v1.Hash]bool{}}
	for _, i := range images {
		d, err := b.image(i)
		if err != nil {
			return nil, err
		}
		blobs, _, err := b.blobsOf(ctx, d, i.Name)
		if err != nil {
			return nil, err
		}
		l.add(blobs...)
	}
	return l.list, nil
}

// blobsOf lists the blobs of one image: manifest, configuration, layers.
func (b *Bundle) blobsOf(ctx context.Context, d v1.Descriptor, name string) ([]Blob, *v1.Manifest, error) {
	var m v1.Manifest
	if err := b.readJSON(ctx, d, "the manifest of image "+name, &m); err != nil {
		return nil, nil, err
	}
	out := []Blob{{Descriptor: d, What: "the manifest of image " + name}, {Descriptor: m.Config, What: "the configuration of image " + name}}
	for n, layer := range m.Layers {
		out = append(out, Blob{Descriptor: layer, What: fmt.Sprintf("layer %d of image %s", n+1, name)})
	}
	return out, &m, nil
}

// blobList collects blobs, each once.
type blobList struct {
	seen map[v1.Hash]bool
	list []Blob
}

func (l *blobList) add(blobs ...Blob) {
	for _, b := range blobs {
		if !l.seen[b.Digest] {
			l.seen[b.Digest] = true
			l.list = append(l.list, b)
		}
	}
}

// Check reads everything and compares it with its digests. Errors are a
// [DamagedError] for the first blob that is not what its name says.
func (b *Bundle) Check(ctx context.Context) error {
	blobs, err := b.Blobs(ctx)
	if err != nil {
		return err
	}
	for _, blob := range blobs {
		r, err := b.openChecked(ctx, blob)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, r)
		if err := errors.Join(err, r.Close()); err != nil {
			return err
		}
	}
	return nil
}

// Relocated is where an image goes below a registry's path, "registry.example.com/apps":
// its whole name with its own registry as a folder. An image that is named by digest
// is named there by that of its manifest, which for one of several platforms is
// another.
func Relocated(prefix string, i Image) string {
	repository, digest, pinned := strings.Cut(i.Name, "@")
	host, rest, _ := strings.Cut(repository, "/")
	if pinned {
		if colon := strings.LastIndexByte(rest, ':'); colon >= 0 {
			rest = rest[:colon]
		}
		rest += "@" + firstOf(i.Digest, digest)
	}
	return strings.TrimSuffix(prefix, "/") + "/" + strings.ReplaceAll(host, ":", "-") + "/" + rest
}

func firstOf(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
