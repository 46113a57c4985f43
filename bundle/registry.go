package bundle

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// This file shows a bundle to the library that speaks to registries, whose
// interfaces have no contexts: they keep that of the call that made them.

// Pushable is the bundle as an image index, which a registry takes as one thing.
func (b *Bundle) Pushable(ctx context.Context) v1.ImageIndex { return &pushable{ctx, b} }

// FromFolder is an image whose blobs are in a folder, as they are for [Create]: what it
// has for one platform or, the other being nil, for several.
func FromFolder(ctx context.Context, folder string, i Image) (v1.Image, v1.ImageIndex, error) {
	fail := func(err error) (v1.Image, v1.ImageIndex, error) {
		return nil, nil, fmt.Errorf("image %s: %w", i.Name, err)
	}
	m := &maker{folder: folder}
	b := &Bundle{open: m.open}
	d, err := m.manifestOf(i)
	if err != nil {
		return fail(err)
	}
	if b.raw, err = b.read(ctx, d, "the manifest of image "+i.Name, maxDocument); err != nil {
		return fail(err)
	}
	if err := json.Unmarshal(b.raw, &b.index); err != nil {
		return fail(err)
	}
	if b.index.Manifests != nil {
		return nil, b.Pushable(ctx), nil
	}
	img, err := b.imageOf(ctx, d, "image "+i.Name)
	if err != nil {
		return fail(err)
	}
	return img, nil, nil
}

// Image is one of the bundle's images.
func (b *Bundle) Image(ctx context.Context, i Image) (v1.Image, error) {
	d, err := b.image(i)
	if err != nil {
		return nil, err
	}
	return b.imageOf(ctx, d, "image "+i.Name)
}

// ImageID is the digest of an image's configuration, by which runtimes know it.
func (b *Bundle) ImageID(ctx context.Context, i Image) (string, error) {
	d, err := b.image(i)
	if err != nil {
		return "", err
	}
	_, m, err := b.blobsOf(ctx, d, i.Name)
	if err != nil {
		return "", err
	}
	return m.Config.Digest.String(), nil
}

func (b *Bundle) imageOf(ctx context.Context, d v1.Descriptor, what string) (v1.Image, error) {
	raw, err := b.read(ctx, d, "the manifest of "+what, maxDocument)
	if err != nil {
		return nil, err
	}
	i := &pushedImage{ctx: ctx, b: b, raw: raw, what: what}
	if err := json.Unmarshal(raw, &i.parsed); err != nil {
		return nil, fmt.Errorf("the manifest of %s: %w", what, err)
	}
	return partial.CompressedToImage(i)
}

// pushable implements v1.ImageIndex.
type pushable struct {
	ctx context.Context
	b   *Bundle
}

func (p *pushable) MediaType() (types.MediaType, error) {
	if p.b.index.MediaType == "" {
		return types.OCIImageIndex, nil
	}
	return p.b.index.MediaType, nil
}

func (p *pushable) Digest() (v1.Hash, error)                    { return partial.Digest(p) }
func (p *pushable) Size() (int64, error)                        { return partial.Size(p) }
func (p *pushable) RawManifest() ([]byte, error)                { return p.b.raw, nil }
func (p *pushable) IndexManifest() (*v1.IndexManifest, error)   { return p.b.index.DeepCopy(), nil }
func (p *pushable) ImageIndex(h v1.Hash) (v1.ImageIndex, error) { return nil, p.missing(h) }
func (p *pushable) missing(h v1.Hash) error                     { return fmt.Errorf("the bundle has no manifest %s", h) }

// Image returns the image, or what looks like one, of a manifest.
func (p *pushable) Image(h v1.Hash) (v1.Image, error) {
	for _, d := range p.b.index.Manifests {
		if d.Digest == h {
			return p.b.imageOf(p.ctx, d, firstOf(d.Annotations[ociName], d.Digest.String()))
		}
	}
	return nil, p.missing(h)
}

// pushedImage implements partial.CompressedImageCore.
type pushedImage struct {
	ctx    context.Context
	b      *Bundle
	raw    []byte
	parsed v1.Manifest
	what   string
}

func (i *pushedImage) RawManifest() ([]byte, error) { return i.raw, nil }

func (i *pushedImage) MediaType() (types.MediaType, error) {
	if i.parsed.MediaType == "" {
		return types.OCIManifestSchema1, nil
	}
	return i.parsed.MediaType, nil
}

func (i *pushedImage) RawConfigFile() ([]byte, error) {
	return i.b.read(i.ctx, i.parsed.Config, "the configuration of "+i.what, maxDocument)
}

func (i *pushedImage) LayerByDigest(h v1.Hash) (partial.CompressedLayer, error) {
	for n, d := range i.parsed.Layers {
		if d.Digest == h {
			return &pushedLayer{i, Blob{Descriptor: d, What: fmt.Sprintf("layer %d of %s", n+1, i.what)}}, nil
		}
	}
	return nil, fmt.Errorf("%s has no layer %s", i.what, h)
}

// pushedLayer implements partial.CompressedLayer.
type pushedLayer struct {
	image *pushedImage
	blob  Blob
}

func (l *pushedLayer) Digest() (v1.Hash, error)            { return l.blob.Digest, nil }
func (l *pushedLayer) Size() (int64, error)                { return l.blob.Size, nil }
func (l *pushedLayer) MediaType() (types.MediaType, error) { return l.blob.MediaType, nil }
func (l *pushedLayer) Compressed() (io.ReadCloser, error) {
	return l.image.b.openChecked(l.image.ctx, l.blob)
}
