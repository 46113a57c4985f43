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
	Digest string // of the manifest
	Origin string // where it came from, for people
}

// Export fetches or builds an image as Ensure does and puts its blobs, the manifest
// among them, below Root/blobs; layers are neither unpacked nor is the image known to
// the store afterwards. So it needs root only to build.
func (s *Store) Export(ctx context.Context, reference string, progress func(cri.ImageProgress)) (Exported, error) {
	normal, err := Normalize(reference)
	if err != nil {
		return Exported{}, err
	}
	report := func(p cri.ImageProgress) {
		p.Name = normal
		progress(p)
	}
	img, err := s.export(ctx, normal, report)
	if err != nil {
		return Exported{}, fmt.Errorf("image %s: %w", reference, err)
	}
	return img, nil
}

func (s *Store) export(ctx context.Context, normal string, report func(cri.ImageProgress)) (Exported, error) {
	ref, err := parse(normal)
	if err != nil {
		return Exported{}, err
	}
	if ref.Context().RegistryStr() == debDomain {
		d, err := parseDebRef(ref)
		if err != nil {
			return Exported{}, err
		}
		return s.exportBuilt(ctx, normal, d, Overrides{}, report)
	}
	report(cri.ImageProgress{Stage: "resolving"})
	var out Exported
	err = s.fetch(ctx, normal, nil, func(source string, found *remote.Descriptor) error {
		img, err := found.Image()
		if err != nil {
			return err
		}
		out, err = s.keep(ctx, img, normal, "pulled from "+source, report)
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
	return s.exportBuilt(ctx, normal, d, sub.Config, report)
}

// exportBuilt keeps the image of a reference's packages.
func (s *Store) exportBuilt(ctx context.Context, normal string, d DebRef, over Overrides, report func(cri.ImageProgress)) (Exported, error) {
	base, packages, err := s.built(ctx, d, false, report)
	if err != nil {
		return Exported{}, err
	}
	img, err := override(base, over)
	if err != nil {
		return Exported{}, err
	}
	return s.keep(ctx, img, normal, "built from Debian packages "+list(packages, " ", ", "), report)
}

// keep writes an image's blobs.
func (s *Store) keep(ctx context.Context, img v1.Image, normal, origin string, report func(cri.ImageProgress)) (Exported, error) {
	layers, err := img.Layers()
	if err != nil {
		return Exported{}, err
	}
	if err := s.fetchLayers(ctx, layers, report); err != nil {
		return Exported{}, err
	}
	config, err := img.RawConfigFile()
	if err != nil {
		return Exported{}, err
	}
	manifest, err := img.RawManifest()
	if err != nil {
		return Exported{}, err
	}
	var digest v1.Hash
	for _, b := range [][]byte{config, manifest} {
		if digest, _, err = v1.SHA256(bytes.NewReader(b)); err != nil {
			return Exported{}, err
		}
		if err := writeFile(s.blob(digest), b); err != nil {
			return Exported{}, err
		}
	}
	return Exported{Name: normal, Digest: digest.String(), Origin: origin}, nil
}
