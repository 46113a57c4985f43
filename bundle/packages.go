package bundle

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/klauspost/compress/zstd"
)

// Package is a package of an image's distribution.
type Package struct {
	Name         string `json:"name"`
	Version      string `json:"version"`
	Architecture string `json:"architecture,omitempty"`
	// Manager is "deb" or "apk", Distribution is "debian" and Release "bookworm".
	Manager      string `json:"manager"`
	Distribution string `json:"distribution,omitempty"`
	Release      string `json:"release,omitempty"`
}

// The labels of images that are built from Debian packages, see cluster/image.
const (
	labelSuite    = "pkg.internal/suite"
	labelPackages = "pkg.internal/packages" // "name=version ..."
)

// maxDatabase bounds a package manager's file, bytes.
const maxDatabase = 64 << 20

// packages finds out what is installed in an image: what the package manager's files
// in its layers say and, for images made of Debian packages without a manager, their
// labels. Images of other kinds have none.
func (b *Bundle) packages(ctx context.Context, layers []v1.Descriptor, config *v1.ConfigFile) ([]Package, error) {
	files := map[string][]byte{} // by path; the highest layer's count
	for n, layer := range layers {
		if err := b.findDatabases(ctx, Blob{Descriptor: layer, What: fmt.Sprintf("layer %d", n+1)}, files); err != nil {
			return nil, err
		}
	}
	distribution, release := osRelease(firstFile(files["etc/os-release"], files["usr/lib/os-release"]))
	found := map[Package]bool{}
	for name, text := range files {
		switch {
		case strings.HasPrefix(name, "var/lib/dpkg/"):
			stanzas(text, func(f map[string]string) {
				if status, ok := f["Status"]; !ok || strings.HasSuffix(status, " installed") {
					found[Package{f["Package"], f["Version"], f["Architecture"], "deb", distribution, release}] = true
				}
			})
		case name == apkDatabase:
			stanzas(text, func(f map[string]string) {
				found[Package{f["P"], f["V"], f["A"], "apk", distribution, release}] = true
			})
		}
	}
	for item := range strings.FieldsSeq(config.Config.Labels[labelPackages]) {
		name, version, _ := strings.Cut(item, "=")
		if !hasPackage(found, name, version) {
			found[Package{name, version, config.Architecture, "deb", "debian", config.Config.Labels[labelSuite]}] = true
		}
	}
	return slices.SortedFunc(maps.Keys(found), func(a, b Package) int {
		return strings.Compare(a.Name+"\n"+a.Version+"\n"+a.Architecture, b.Name+"\n"+b.Version+"\n"+b.Architecture)
	}), nil
}

func hasPackage(found map[Package]bool, name, version string) bool {
	for p := range found {
		if p.Name == name && p.Version == version {
			return true
		}
	}
	return false
}

const apkDatabase = "lib/apk/db/installed"

// isDatabase tells whether a path is one of what packages reads.
func isDatabase(name string) bool {
	switch name {
	case "var/lib/dpkg/status", apkDatabase, "etc/os-release", "usr/lib/os-release":
		return true
	}
	return path.Dir(name) == "var/lib/dpkg/status.d" && path.Ext(name) == "" // distroless
}

// findDatabases reads what one layer has of the package managers' files.
func (b *Bundle) findDatabases(ctx context.Context, blob Blob, into map[string][]byte) error {
	r, err := b.openChecked(ctx, blob)
	if err != nil {
		return err
	}
	defer r.Close()
	plain, err := decompress(r)
	if err != nil {
		return fmt.Errorf("%s: %w", blob.What, err)
	}
	defer plain.Close()
	for t := tar.NewReader(plain); ; {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("%s: %w", blob.What, err)
		}
		name := strings.TrimPrefix(path.Clean("/"+h.Name), "/")
		if h.Typeflag != tar.TypeReg || !isDatabase(name) || h.Size > maxDatabase {
			continue
		}
		if into[name], err = io.ReadAll(t); err != nil {
			return fmt.Errorf("%s: %s: %w", blob.What, name, err)
		}
	}
	return nil
}

// decompress undoes gzip or zstd, whichever the first bytes show.
func decompress(r io.Reader) (io.ReadCloser, error) {
	in := bufio.NewReaderSize(r, 1<<16)
	magic, err := in.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		return gzip.NewReader(in)
	case bytes.Equal(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		z, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, err
		}
		return z.IOReadCloser(), nil
	}
	return io.NopCloser(in), nil
}

// stanzas reads "Key: value" (dpkg) or "K:value" (apk) lines in paragraphs.
func stanzas(text []byte, each func(map[string]string)) {
	fields := map[string]string{}
	flush := func() {
		if len(fields) > 0 {
			each(fields)
			fields = map[string]string{}
		}
	}
	for line := range bytes.Lines(text) {
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			flush()
			continue
		}
		if line[0] == ' ' || line[0] == '\t' {
			continue // goes on with what nobody asks for
		}
		if key, value, ok := strings.Cut(string(line), ":"); ok && len(value) < 1<<10 {
			if _, twice := fields[key]; !twice {
				fields[key] = strings.TrimSpace(value)
			}
		}
	}
	flush()
}

// osRelease reads the names of a distribution and its release.
func osRelease(text []byte) (distribution, release string) {
	values := map[string]string{}
	for line := range bytes.Lines(text) {
		if key, value, ok := strings.Cut(strings.TrimSpace(string(line)), "="); ok {
			values[key] = strings.Trim(value, `"'`)
		}
	}
	return values["ID"], firstOf(values["VERSION_CODENAME"], values["VERSION_ID"])
}

func firstFile(a, b []byte) []byte {
	if len(a) > 0 {
		return a
	}
	return b
}
