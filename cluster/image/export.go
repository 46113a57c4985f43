package image

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/seed38700745/pkg/cluster/cri"
)

// Exported is an image whose blobs are in the store's folder.
type Exported struct {
	Name   string // in full
	Digest string // of the manifest, or of the index of a whole one
	Origin string // where it came from, for people
}

// ExportOptions qualify Export.
type ExportOptions struct {
	// Known is the digest of an image that need not be fetched, only described; "" for
	// none.
	Known string
	// Whole takes an image of several platforms with its index and all of them.
	Whole bool
}

// Export fetches or builds an image as Ensure does and puts its blobs, the manifest
// among them, below Root/blobs; layers are neither unpacked nor is the image known to
// the store afterwards. So it needs root only to build.
func (s *Store) Export(ctx context.Context, reference string, o ExportOptions, progress func(cri.ImageProgress)) (Exported, error) {
	normal, err := Normalize(reference)
	if err != nil {
		return Exported{}, err
	}
	report := func(p cri.ImageProgress) {
		p.Name = normal
		progress(p)
	}
	img, err := s.export(ctx, normal, o, report)
	if err != nil {
		return Exported{}, fmt.Errorf("image %s: %w", reference, err)
	}
	return img, nil
}

func (s *Store) export(ctx context.Context, normal string, o ExportOptions, report func(cri.ImageProgress)) (Exported, error) {
	ref, err := parse(normal)
	if err != nil {
		return Exported{}, err
	}
	if ref.Context().RegistryStr() == debDomain {
		d, err := parseDebRef(ref)
		if err != nil {
			return Exported{}, err
		}
		return s.exportBuilt(ctx, normal, o.Known, d, Overrides{}, report)
	}
	report(cri.ImageProgress{Stage: "resolving"})
	var out Exported
	err = s.fetch(ctx, normal, nil, func(source string, found *remote.Descriptor) error {
		out = Exported{Name: normal, Digest: found.Digest.String(), Origin: "pulled from " + source}
		if out.Digest == o.Known {
			return nil
		}
		if o.Whole && found.MediaType.IsIndex() {
			index, err := found.ImageIndex()
			if err != nil {
				return err
			}
			return s.keepIndex(ctx, index, report)
		}
		img, err := found.Image()
		if err != nil {
			return err
		}
		out, err = s.keep(ctx, img, o.Known, out, report)
		return err
	})
	var unreachable *connectError
	if err == nil || !errors.As(err, &unreachable) {
		return out, err
	}
	sub, d, serr := s.substitute(normal, err)
	if serr != nil {
		return Exported{}, serr
	}
	return s.exportBuilt(ctx, normal, o.Known, d, sub.Config, report)
}

// exportBuilt keeps the image of a reference's packages.
func (s *Store) exportBuilt(ctx context.Context, normal, known string, d DebRef, over Overrides, report func(cri.ImageProgress)) (Exported, error) {
	base, packages, err := s.built(ctx, d, false, report)
	if err != nil {
		return Exported{}, err
	}
	img, err := override(base, over)
	if err != nil {
		return Exported{}, err
	}
	return s.keep(ctx, img, known, Exported{Name: normal, Origin: "built from Debian packages " + list(packages, " ", ", ")}, report)
}

// keep writes an image's blobs, unless they are known, and completes its description.
func (s *Store) keep(ctx context.Context, img v1.Image, known string, out Exported, report func(cri.ImageProgress)) (Exported, error) {
	digest, err := img.Digest()
	if err != nil {
		return out, err
	}
	if out.Digest = digest.String(); out.Digest == known {
		return out, nil
	}
	layers, err := img.Layers()
	if err != nil {
		return out, err
	}
	if err := s.fetchLayers(ctx, layers, report); err != nil {
		return out, err
	}
	return out, errors.Join(s.keepDocument(img.RawConfigFile), s.keepDocument(img.RawManifest))
}

// keepIndex writes the blobs of all images of an index, and the index.
func (s *Store) keepIndex(ctx context.Context, index v1.ImageIndex, report func(cri.ImageProgress)) error {
	m, err := index.IndexManifest()
	if err != nil {
		return err
	}
	for _, d := range m.Manifests {
		if !d.MediaType.IsImage() {
			return fmt.Errorf("the index has a %s in it", d.MediaType)
		}
		img, err := index.Image(d.Digest)
		if err != nil {
			return err
		}
		if _, err := s.keep(ctx, img, "", Exported{}, report); err != nil {
			return err
		}
	}
	return s.keepDocument(index.RawManifest)
}

// keepDocument writes a configuration, a manifest or an index.
func (s *Store) keepDocument(read func() ([]byte, error)) error {
	data, err := read()
	if err != nil {
		return err
	}
	h, _, err := v1.SHA256(bytes.NewReader(data))
	if err != nil {
		return err
	}
	return writeFile(s.blob(h), data)
}
