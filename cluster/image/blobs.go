package image

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/sync/errgroup"

	"github.com/seed38700745/pkg/cluster/cri"
)

// add stores an image and gives it names; without one it is known by its ID.
func (s *Store) add(ctx context.Context, img v1.Image, names []refRecord, progress func(cri.ImageProgress)) ([]cri.Image, error) {
	s.adding.RLock()
	defer s.adding.RUnlock()
	record, err := s.store(ctx, img, progress)
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		names = []refRecord{{Name: record.ID}}
	}
	var out []cri.Image
	for _, n := range names {
		added, err := s.put(n, record)
		if err != nil {
			return out, err
		}
		out = append(out, added)
	}
	return out, nil
}

// store copies an image's blobs into the store, verifying their digests, and
// unpacks its layers; s.adding is read-locked.
func (s *Store) store(ctx context.Context, img v1.Image, progress func(cri.ImageProgress)) (imageRecord, error) {
	config, err := img.ConfigFile()
	if err != nil {
		return imageRecord{}, err
	}
	if config.OS != "" && config.OS != "linux" {
		return imageRecord{}, fmt.Errorf("the image is for %s", config.OS)
	}
	if config.Architecture != "" && config.Architecture != s.config.Arch {
		return imageRecord{}, fmt.Errorf("the image is for architecture %s, this node is %s", config.Architecture, s.config.Arch)
	}
	manifest, err := img.Manifest()
	if err != nil {
		return imageRecord{}, err
	}
	layers, err := img.Layers()
	if err != nil {
		return imageRecord{}, err
	}
	if len(layers) != len(config.RootFS.DiffIDs) {
		return imageRecord{}, fmt.Errorf("the image has %d layers and %d diff IDs", len(layers), len(config.RootFS.DiffIDs))
	}
	record := imageRecord{ID: manifest.Config.Digest.String(), Config: imageConfig(config.Config)}
	if err := s.fetchLayers(ctx, layers, progress); err != nil {
		return imageRecord{}, err
	}
	digests := make([]v1.Hash, len(layers))
	for i, l := range layers {
		if digests[i], err = l.Digest(); err != nil {
			return imageRecord{}, err
		}
		record.Blobs = append(record.Blobs, digests[i].String())
	}
	progress(cri.ImageProgress{Stage: "unpacking", Total: int64(len(layers))})
	if record.Layers, err = s.unpackAll(ctx, digests, config.RootFS.DiffIDs, progress); err != nil {
		return imageRecord{}, err
	}
	for _, l := range record.Layers {
		record.Size += diskUse(s.layerDir(l))
	}
	return s.storeMetadata(img, record)
}

// storeMetadata writes the manifest and the configuration, last.
func (s *Store) storeMetadata(img v1.Image, record imageRecord) (imageRecord, error) {
	raw, err := img.RawConfigFile()
	if err != nil {
		return record, err
	}
	rawManifest, err := img.RawManifest()
	if err != nil {
		return record, err
	}
	for _, b := range [][]byte{raw, rawManifest} {
		h, _, err := v1.SHA256(bytes.NewReader(b))
		if err != nil {
			return record, err
		}
		if err := writeFile(s.blob(h), b); err != nil {
			return record, err
		}
		record.Blobs = append(record.Blobs, h.String())
		record.Manifest = h.String()
	}
	if got := record.Blobs[len(record.Blobs)-2]; got != record.ID {
		return record, fmt.Errorf("the configuration's digest is %s, the manifest says %s", got, record.ID)
	}
	return record, nil
}

func (s *Store) blob(h v1.Hash) string { return s.path("blobs", "sha256", h.Hex) }

// fetchLayers copies the layers that are not there yet.
func (s *Store) fetchLayers(ctx context.Context, layers []v1.Layer, progress func(cri.ImageProgress)) error {
	p := &meter{report: progress}
	for _, l := range layers {
		if n, err := l.Size(); err == nil {
			p.total += n
		}
	}
	var g *errgroup.Group
	g, ctx = errgroup.WithContext(ctx)
	g.SetLimit(layersAtOnce)
	seen := map[v1.Hash]bool{}
	for _, l := range layers {
		h, err := l.Digest()
		if err != nil {
			return errors.Join(err, g.Wait())
		}
		if h.Algorithm != "sha256" {
			return errors.Join(fmt.Errorf("layer %s: digests other than sha256 are not supported", h), g.Wait())
		}
		if size, err := l.Size(); err == nil && seen[h] { // the same again
			p.add(size)
			continue
		}
		seen[h] = true
		if st, err := os.Stat(s.blob(h)); err == nil {
			p.add(st.Size())
			continue
		}
		g.Go(func() error {
			if err := s.fetchLayer(ctx, l, h, p); err != nil {
				return fmt.Errorf("layer %s: %w", h, err)
			}
			return nil
		})
	}
	return g.Wait()
}

// layersAtOnce is how many layers of an image are downloaded at a time, as with
// Docker and containerd.
const layersAtOnce = 3

func (s *Store) fetchLayer(ctx context.Context, l v1.Layer, h v1.Hash, p *meter) error {
	in, err := l.Compressed()
	if err != nil {
		return err
	}
	defer in.Close()
	f, err := os.CreateTemp(s.path("blobs", "sha256"), ".tmp-")
	if err != nil {
		return err
	}
	got, _, err := v1.SHA256(io.TeeReader(&contextReader{ctx, in}, io.MultiWriter(f, p)))
	if err == nil && got != h {
		err = fmt.Errorf("its content has digest %s", got)
	}
	return commit(f, s.blob(h), err)
}

// meter counts bytes and reports them, now and then. Several may write to it.
type meter struct {
	report func(cri.ImageProgress)
	total  int64

	mu       sync.Mutex
	done, at int64 // guarded by mu
}

// meterStep is the number of bytes between two reports.
const meterStep = 1 << 20

func (m *meter) add(n int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.done += n
	if m.done-m.at >= meterStep || m.done == m.total {
		m.at = m.done
		m.report(cri.ImageProgress{Stage: "downloading", Done: m.done, Total: m.total})
	}
}

// Write implements io.Writer.
func (m *meter) Write(b []byte) (int, error) {
	m.add(int64(len(b)))
	return len(b), nil
}

// contextReader ends with its context.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (r *contextReader) Read(b []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	return r.r.Read(b)
}

// imageConfig takes over what containers need.
func imageConfig(c v1.Config) cri.ImageConfig {
	return cri.ImageConfig{Env: c.Env, Entrypoint: c.Entrypoint, Cmd: c.Cmd, User: c.User, WorkingDir: c.WorkingDir,
		StopSignal: c.StopSignal, Labels: c.Labels,
		ExposedPorts: slices.Sorted(maps.Keys(c.ExposedPorts)), Volumes: slices.Sorted(maps.Keys(c.Volumes))}
}

// stored is an image of the store, for saving it.
type stored struct {
	s        *Store
	manifest []byte
	parsed   *v1.Manifest
}

// open returns a stored image in its library's form.
func (s *Store) open(i imageRecord) (v1.Image, error) {
	h, err := v1.NewHash(i.Manifest)
	if err != nil {
		return nil, err
	}
	b, err := os.ReadFile(s.blob(h))
	if err != nil {
		return nil, err
	}
	m, err := v1.ParseManifest(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	return partial.CompressedToImage(&stored{s, b, m})
}

// RawManifest and the next methods implement partial.CompressedImageCore.
func (i *stored) RawManifest() ([]byte, error) { return i.manifest, nil }

// RawConfigFile returns the configuration as it came.
func (i *stored) RawConfigFile() ([]byte, error) {
	b, err := os.ReadFile(i.s.blob(i.parsed.Config.Digest))
	if err == nil && !json.Valid(b) {
		err = errors.New("its configuration is damaged")
	}
	return b, err
}

// MediaType is the manifest's.
func (i *stored) MediaType() (types.MediaType, error) { return i.parsed.MediaType, nil }

// LayerByDigest returns a layer's blob.
func (i *stored) LayerByDigest(h v1.Hash) (partial.CompressedLayer, error) {
	for _, d := range i.parsed.Layers {
		if d.Digest == h {
			return &storedLayer{i.s, d}, nil
		}
	}
	return nil, fmt.Errorf("the image has no layer %s", h)
}

// storedLayer is a layer's blob.
type storedLayer struct {
	s *Store
	d v1.Descriptor
}

// Digest and the next methods implement partial.CompressedLayer.
func (l *storedLayer) Digest() (v1.Hash, error) { return l.d.Digest, nil }

// Compressed opens the blob.
func (l *storedLayer) Compressed() (io.ReadCloser, error) { return os.Open(l.s.blob(l.d.Digest)) }

// Size is the blob's.
func (l *storedLayer) Size() (int64, error) { return l.d.Size, nil }

// MediaType is the layer's.
func (l *storedLayer) MediaType() (types.MediaType, error) { return l.d.MediaType, nil }
