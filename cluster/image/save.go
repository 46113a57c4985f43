package image

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// dockerEntry is an image in the manifest.json of docker save.
type dockerEntry struct {
	Config   string
	RepoTags []string
	Layers   []string
}

// saving is an archive being written.
type saving struct {
	out   *tar.Writer
	index v1.IndexManifest
	list  []dockerEntry
	done  map[v1.Hash]bool // blobs that are in it
}

// Save writes images, by name or ID, as a tar file that is both what docker save
// writes and an OCI layout, as Docker's own are since version 25: docker load,
// podman, skopeo, ctr and Load read it. Errors: ErrNotFound, before anything is
// written.
func (s *Store) Save(ctx context.Context, names []string, w io.Writer) error {
	a := &saving{
		out:   tar.NewWriter(&contextWriter{ctx, w}),
		index: v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex},
		done:  map[v1.Hash]bool{},
	}
	var images []v1.Image
	full := make([]string, len(names))
	for i, n := range names {
		name, record, err := s.find(n)
		if err != nil {
			return fmt.Errorf("save image %s: %w", n, err)
		}
		full[i] = name
		img, err := s.open(record)
		if err != nil {
			return fmt.Errorf("save image %s: %w", n, err)
		}
		images = append(images, img)
	}
	for i, img := range images {
		if err := s.saveImage(a, img, full[i]); err != nil {
			return fmt.Errorf("save image %s: %w", names[i], err)
		}
	}
	if err := a.finish(); err != nil {
		return fmt.Errorf("save images: %w", err)
	}
	return nil
}

// find returns an image by a name or its ID, and the name in full, "" with an ID.
func (s *Store) find(n string) (name string, record imageRecord, err error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if i, ok := s.images[n]; ok {
		return "", i, nil
	}
	name, err = Normalize(n)
	if err != nil {
		return "", imageRecord{}, err
	}
	r, ok := s.names[name]
	if !ok {
		for _, other := range s.names {
			if other.Digest == name {
				r, ok = other, true
			}
		}
	}
	if !ok {
		return name, imageRecord{}, ErrNotFound
	}
	return name, s.images[r.ID], nil
}

// saveImage adds an image's blobs, and the image to both lists.
func (s *Store) saveImage(a *saving, img v1.Image, name string) error {
	manifest, err := img.Manifest()
	if err != nil {
		return err
	}
	raw, err := img.RawManifest()
	if err != nil {
		return err
	}
	digest, err := img.Digest()
	if err != nil {
		return err
	}
	mediaType, err := img.MediaType()
	if err != nil {
		return err
	}
	entry := dockerEntry{Config: blobName(manifest.Config.Digest), Layers: []string{}}
	blobs := []v1.Hash{digest, manifest.Config.Digest}
	for _, l := range manifest.Layers {
		entry.Layers = append(entry.Layers, blobName(l.Digest))
		blobs = append(blobs, l.Digest)
	}
	for _, h := range blobs {
		if err := a.blob(h, s.blob(h)); err != nil {
			return err
		}
	}
	d := v1.Descriptor{MediaType: mediaType, Size: int64(len(raw)), Digest: digest}
	if name != "" {
		d.Annotations = map[string]string{nameAnnotations[0]: name}
		if tag := name[strings.LastIndex(name, ":")+1:]; !strings.Contains(name, "@") {
			d.Annotations[nameAnnotations[1]] = tag
			entry.RepoTags = []string{name}
		}
	}
	a.index.Manifests = append(a.index.Manifests, d)
	same := slices.IndexFunc(a.list, func(e dockerEntry) bool { return e.Config == entry.Config && slices.Equal(e.Layers, entry.Layers) })
	if same >= 0 {
		a.list[same].RepoTags = append(a.list[same].RepoTags, entry.RepoTags...)
		return nil
	}
	a.list = append(a.list, entry)
	return nil
}

// blobName is a blob's path in an OCI layout.
func blobName(h v1.Hash) string { return path.Join("blobs", h.Algorithm, h.Hex) }

// blob adds a file, once.
func (a *saving) blob(h v1.Hash, file string) error {
	if a.done[h] {
		return nil
	}
	a.done[h] = true
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if err := a.out.WriteHeader(&tar.Header{Name: blobName(h), Mode: 0o644, Size: info.Size(), Typeflag: tar.TypeReg}); err != nil {
		return err
	}
	_, err = io.Copy(a.out, f)
	return err
}

// finish adds what says what the archive is.
func (a *saving) finish() error {
	index, err := json.Marshal(a.index)
	if err != nil {
		return err
	}
	list, err := json.Marshal(a.list)
	if err != nil {
		return err
	}
	for _, f := range []struct {
		name    string
		content []byte
	}{{"oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`)}, {"index.json", index}, {"manifest.json", list}} {
		err := a.out.WriteHeader(&tar.Header{Name: f.name, Mode: 0o644, Size: int64(len(f.content)), Typeflag: tar.TypeReg})
		if err == nil {
			_, err = a.out.Write(f.content)
		}
		if err != nil {
			return errors.Join(err, a.out.Close())
		}
	}
	return a.out.Close()
}

// contextWriter ends with its context.
type contextWriter struct {
	ctx context.Context
	w   io.Writer
}

func (w *contextWriter) Write(b []byte) (int, error) {
	if w.ctx.Err() != nil {
		return 0, context.Cause(w.ctx)
	}
	return w.w.Write(b)
}
