package image

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/match"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/seed38700745/pkg/cluster/cri"
)

// The annotations of an OCI layout's index that may hold a name: containerd's,
// which is full, before the specification's, which may be a tag only.
var nameAnnotations = []string{"io.containerd.image.name", "org.opencontainers.image.ref.name"}

// originAnnotation says in a bundle's index where an image came from, see package
// bundle.
const originAnnotation = "pkg.internal/origin"

// errNoArchive is returned for a file that is no image archive.
var errNoArchive = errors.New("it is neither an archive of docker save nor an OCI layout")

// Load takes in the images of an archive: what docker save writes or an OCI
// layout, as a tar file that may be compressed. It takes in all of them or none.
func (s *Store) Load(ctx context.Context, archive io.Reader) ([]cri.Image, error) {
	dir, err := os.MkdirTemp(s.config.Root, ".load-")
	if err != nil {
		return nil, fmt.Errorf("load images: %w", err)
	}
	defer os.RemoveAll(dir)
	before := s.known()
	images, err := s.loadArchive(ctx, archive, dir)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("load images: %w", err), s.restore(before, images))
	}
	return images, nil
}

// known are the names that there are.
func (s *Store) known() map[string]refRecord {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return maps.Clone(s.names)
}

// restore undoes the loading of images, which broke off: names that were not there
// before go, those that stood for others do so again, and what is left of blobs and
// layers goes.
func (s *Store) restore(before map[string]refRecord, loaded []cri.Image) error {
	s.mu.Lock()
	err := func() error {
		for _, l := range loaded {
			now, ok := s.names[l.Name]
			old, was := before[l.Name]
			switch {
			case !ok || now.ID != l.ID: // somebody else has it by now
			case !was:
				if err := s.forget([]string{l.Name}); err != nil {
					return err
				}
			case old.ID != now.ID:
				if err := writeJSON(s.refFile(old.Name), old); err != nil {
					return err
				}
				s.names[old.Name] = old
				if kept := keptName(old); kept != old.Name {
					if _, was := before[kept]; !was {
						if err := s.forget([]string{kept}); err != nil {
							return err
						}
					}
				}
			}
		}
		return nil
	}()
	s.mu.Unlock()
	_, cerr := s.collect()
	return errors.Join(err, cerr)
}

func (s *Store) loadArchive(ctx context.Context, archive io.Reader, dir string) ([]cri.Image, error) {
	content, err := decompress(&contextReader{ctx, archive})
	if err != nil {
		return nil, err
	}
	defer content.Close()
	path := filepath.Join(dir, "archive.tar")
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	_, err = io.Copy(f, content)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return nil, err
	}
	isLayout, isDocker, err := inspect(path)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", errNoArchive, err)
	case isDocker:
		return s.loadDocker(ctx, path)
	case !isLayout:
		return nil, errNoArchive
	}
	if err := extractLayout(path, dir); err != nil {
		return nil, err
	}
	if err := os.Remove(path); err != nil { // its room is needed
		return nil, err
	}
	return s.loadLayout(ctx, dir)
}

// inspect finds what an archive is by its entries; docker save of today writes
// both.
func inspect(path string) (isLayout, isDocker bool, err error) {
	err = eachEntry(path, func(h *tar.Header, _ io.Reader) error {
		switch filepath.Clean(h.Name) {
		case "index.json":
			isLayout = true
		case "manifest.json":
			isDocker = true
		}
		return nil
	})
	return isLayout, isDocker, err
}

func eachEntry(path string, visit func(*tar.Header, io.Reader) error) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	t := tar.NewReader(f)
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := visit(h, t); err != nil {
			return err
		}
	}
}

// layoutFile matches the files of an OCI layout; no other is extracted.
var layoutFile = regexp.MustCompile(`^(oci-layout|index\.json|blobs/sha256/[0-9a-f]{64})$`)

func extractLayout(path, dir string) error {
	if err := os.MkdirAll(filepath.Join(dir, "blobs", "sha256"), 0o700); err != nil {
		return err
	}
	return eachEntry(path, func(h *tar.Header, content io.Reader) error {
		clean := filepath.Clean(h.Name)
		if h.Typeflag != tar.TypeReg || !layoutFile.MatchString(clean) {
			return nil
		}
		return writeContent(filepath.Join(dir, clean), content)
	})
}

func (s *Store) loadDocker(ctx context.Context, path string) ([]cri.Image, error) {
	opener := func() (io.ReadCloser, error) { return os.Open(path) }
	manifest, err := tarball.LoadManifest(opener)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNoArchive, err)
	}
	var out []cri.Image
	for _, d := range manifest {
		if len(d.RepoTags) == 0 && len(manifest) > 1 {
			continue // cannot be addressed
		}
		var tag *name.Tag
		if len(d.RepoTags) > 0 {
			t, err := name.NewTag(d.RepoTags[0])
			if err != nil {
				return out, fmt.Errorf("%w: %q", ErrInvalidName, d.RepoTags[0])
			}
			tag = &t
		}
		img, err := tarball.Image(opener, tag)
		if err != nil {
			return out, err
		}
		loaded, err := s.loadImage(ctx, img, d.RepoTags, "")
		out = append(out, loaded...)
		if err != nil {
			return out, err
		}
	}
	return out, nil
}

// LoadDir takes in the images of an OCI layout in a folder.
func (s *Store) LoadDir(ctx context.Context, dir string) ([]cri.Image, error) {
	if _, err := os.Stat(filepath.Join(dir, "index.json")); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("load images: %s: %w", dir, errNoArchive)
	}
	images, err := s.loadLayout(ctx, dir)
	if err != nil {
		return images, fmt.Errorf("load images: %w", err)
	}
	return images, nil
}

func (s *Store) loadLayout(ctx context.Context, dir string) ([]cri.Image, error) {
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNoArchive, err)
	}
	m, err := index.IndexManifest()
	if err != nil {
		return nil, err
	}
	var out []cri.Image
	for _, d := range m.Manifests {
		// A signature, or a bundle's own manifest. Some call an image's configuration its
		// artifact type.
		if d.ArtifactType != "" && !types.MediaType(d.ArtifactType).IsConfig() {
			continue
		}
		img, err := s.imageOf(index, d)
		if err != nil {
			return out, err
		}
		var names []string
		for _, a := range nameAnnotations {
			if n := d.Annotations[a]; n != "" {
				names = []string{n}
				break
			}
		}
		loaded, err := s.loadImage(ctx, img, names, d.Annotations[originAnnotation])
		out = append(out, loaded...)
		if err != nil {
			return out, err
		}
	}
	return out, nil
}

// imageOf returns an index's image, or that of a nested index for this machine.
func (s *Store) imageOf(index v1.ImageIndex, d v1.Descriptor) (v1.Image, error) {
	if d.MediaType.IsImage() {
		return index.Image(d.Digest)
	}
	if !d.MediaType.IsIndex() {
		return nil, fmt.Errorf("%s is a %s, not an image", d.Digest, d.MediaType)
	}
	nested, err := index.ImageIndex(d.Digest)
	if err != nil {
		return nil, err
	}
	images, err := partial.FindImages(nested, match.Platforms(v1.Platform{OS: "linux", Architecture: s.config.Arch}))
	if err != nil {
		return nil, err
	}
	if len(images) == 0 {
		return nil, fmt.Errorf("%s has no image for linux/%s", d.Digest, s.config.Arch)
	}
	return images[0], nil
}

// loadImage stores an image under its names, or under its ID without any.
func (s *Store) loadImage(ctx context.Context, img v1.Image, names []string, origin string) ([]cri.Image, error) {
	var records []refRecord
	for _, n := range names {
		normal, err := Normalize(n)
		if err != nil {
			return nil, err
		}
		records = append(records, refRecord{Name: normal, Origin: origin})
	}
	return s.add(ctx, img, records, func(cri.ImageProgress) {})
}
