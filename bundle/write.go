package bundle

import (
	"archive/tar"
	"context"
	"encoding/json"
	"io"
	"path"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Entries of the archive beside those of an OCI layout: the programs and the
// signature, for who has nothing but tar. Their blobs are hard links to them.
const (
	RuntimeEntry   = "runtime.tar.gz"
	SignatureEntry = "signature.asc"
)

// layoutFile is the content of a file oci-layout.
const layoutFile = `{"imageLayoutVersion":"1.0.0"}`

// epoch is the time of every entry.
var epoch = time.Unix(0, 0).UTC()

// Write writes the bundle as one archive. The same bundle gives the same bytes,
// wherever it is read from; every blob is checked on its way.
func (b *Bundle) Write(ctx context.Context, w io.Writer) error {
	blobs, err := b.Blobs(ctx)
	if err != nil {
		return err
	}
	return b.write(ctx, w, b.raw, blobs)
}

// WriteImages writes an OCI layout of images, for programs that load them.
func (b *Bundle) WriteImages(ctx context.Context, w io.Writer, images []Image) error {
	index := v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: []v1.Descriptor{}}
	for _, i := range images {
		d, err := b.image(i)
		if err != nil {
			return err
		}
		d.Annotations = nameAnnotations(i)
		index.Manifests = append(index.Manifests, d)
	}
	raw, err := json.Marshal(index)
	if err != nil {
		return err
	}
	blobs, err := b.imageBlobs(ctx, images)
	if err != nil {
		return err
	}
	return b.write(ctx, w, raw, blobs)
}

// ImagesSize is about what WriteImages writes, bytes.
func (b *Bundle) ImagesSize(ctx context.Context, images []Image) (n int64, err error) {
	blobs, err := b.imageBlobs(ctx, images)
	for _, blob := range blobs {
		n += blob.Size
	}
	return n, err
}

func nameAnnotations(i Image) map[string]string {
	out := map[string]string{containerdName: i.Name, ociName: i.Name}
	if i.Origin != "" {
		out[originAnnotation] = i.Origin
	}
	return out
}

func (b *Bundle) write(ctx context.Context, w io.Writer, index []byte, blobs []Blob) error {
	out := tar.NewWriter(w)
	for _, f := range []struct {
		name    string
		content []byte
	}{{"oci-layout", []byte(layoutFile)}, {"index.json", index}} {
		if err := out.WriteHeader(header(f.name, int64(len(f.content)))); err != nil {
			return err
		}
		if _, err := out.Write(f.content); err != nil {
			return err
		}
	}
	for _, blob := range blobs {
		if err := b.writeBlob(ctx, out, blob); err != nil {
			return err
		}
	}
	return out.Close()
}

func (b *Bundle) writeBlob(ctx context.Context, out *tar.Writer, blob Blob) error {
	r, err := b.openChecked(ctx, blob)
	if err != nil {
		return err
	}
	defer r.Close()
	own := blobEntry(blob.Digest)
	name := firstOf(blob.entry, own)
	if err := out.WriteHeader(header(name, blob.Size)); err != nil {
		return err
	}
	if _, err := io.Copy(out, r); err != nil {
		return err
	}
	if name == own {
		return nil
	}
	link := header(own, 0)
	link.Typeflag, link.Linkname = tar.TypeLink, name
	return out.WriteHeader(link)
}

func header(name string, size int64) *tar.Header {
	return &tar.Header{Name: name, Size: size, Mode: 0o644, Typeflag: tar.TypeReg, ModTime: epoch}
}

// blobEntry is a blob's path in an OCI layout.
func blobEntry(h v1.Hash) string { return path.Join("blobs", h.Algorithm, h.Hex) }
