package chart

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
)

// Limits of what an archive may hold. Sizes are Helm's; the count bounds archives
// of millions of empty entries, which the sizes do not.
const (
	MaxArchiveSize  = 100 << 20 // unpacked, bytes
	MaxFileSize     = 5 << 20   // one entry, bytes
	MaxArchiveFiles = 50000
)

// ErrBadArchive is wrapped by every refusal of an archive's content.
var ErrBadArchive = errors.New("bad chart archive")

// sniffLength is how many bytes tell what kind of file it is.
const sniffLength = 512

var drivePath = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[a-zA-Z]:/`) })

// LoadArchiveFile reads a chart from a .tgz file.
func LoadArchiveFile(name string) (*Chart, error) { return loadArchiveFile(name, nil) }

func loadArchiveFile(name string, vals map[string]any) (*Chart, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r := bufio.NewReader(f)
	head, err := r.Peek(sniffLength)
	if err != nil && err != io.EOF {
		return nil, fmt.Errorf("file '%s' cannot be read: %w", name, err)
	}
	if !bytes.HasPrefix(head, []byte{0x1F, 0x8B, 0x08}) {
		if ext := filepath.Ext(name); ext == ".yml" || ext == ".yaml" {
			return nil, fmt.Errorf("file '%s' seems to be a YAML file, but expected a gzipped archive", name)
		}
		return nil, notGzipped(name, head)
	}
	c, err := LoadArchiveFor(r, vals)
	if err != nil && errors.Is(err, ErrBadArchive) {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return c, err
}

// LoadArchive reads a chart from a gzipped tar stream.
func LoadArchive(r io.Reader) (*Chart, error) { return LoadArchiveFor(r, nil) }

// LoadArchiveFor is to LoadArchive what [LoadFor] is to Load.
func LoadArchiveFor(r io.Reader, vals map[string]any) (*Chart, error) {
	files, err := readArchive(r)
	if err != nil {
		return nil, err
	}
	return loadFiles(files, outset{vals: vals})
}

// readArchive unpacks into memory. Links are dropped as in Helm (a chart's files
// are its regular files); everything that points outside is an error.
func readArchive(r io.Reader) ([]File, error) {
	unzipped, err := gzip.NewReader(r)
	if err != nil {
		return nil, badArchive("not a gzip stream: %v", err)
	}
	defer unzipped.Close()
	var files []File
	seen := map[string]bool{}
	left := int64(MaxArchiveSize)
	tr := tar.NewReader(unzipped)
	for {
		hd, err := tr.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, badArchive("truncated or corrupt after %d files: %v", len(files), err)
		}
		if hd.FileInfo().IsDir() || hd.Typeflag == tar.TypeXGlobalHeader || hd.Typeflag == tar.TypeXHeader {
			continue
		}
		name, err := entryName(hd.Name)
		if err != nil {
			return nil, err
		}
		if hd.Typeflag != tar.TypeReg {
			return nil, badArchive("%q is not a regular file (type %q)", hd.Name, string(hd.Typeflag))
		}
		if hd.Size > MaxFileSize {
			return nil, badArchive("decompressed chart file %q is larger than the maximum file size %d", hd.Name, MaxFileSize)
		}
		if hd.Size > left {
			return nil, badArchive("decompressed chart is larger than the maximum size %d (at %q)", MaxArchiveSize, hd.Name)
		}
		if len(files) == MaxArchiveFiles {
			return nil, badArchive("more than %d files (at %q)", MaxArchiveFiles, hd.Name)
		}
		if seen[name] {
			return nil, badArchive("%q occurs twice", hd.Name)
		}
		seen[name] = true
		data, err := io.ReadAll(io.LimitReader(tr, hd.Size))
		if err != nil {
			return nil, badArchive("%q: truncated or corrupt: %v", hd.Name, err)
		}
		left -= int64(len(data))
		files = append(files, File{name, bytes.TrimPrefix(data, utf8bom)})
	}
	if len(files) == 0 {
		return nil, badArchive("no files in chart archive")
	}
	if err := checkEnd(unzipped); err != nil {
		return nil, badArchive("truncated or corrupt after %d files: %v", len(files), err)
	}
	return files, nil
}

// checkEnd reads what follows the end of the tar stream, which is padding, so that
// the gzip checksum is checked. What follows the gzip stream does not matter.
func checkEnd(unzipped io.Reader) error {
	const padding = 1 << 20
	n, err := io.Copy(io.Discard, io.LimitReader(unzipped, padding+1))
	if errors.Is(err, gzip.ErrHeader) { // something else follows
		return nil
	}
	if err == nil && n > padding {
		return errors.New("data after the end of the archive")
	}
	return err
}

// entryName strips the archive's base folder from an entry's name and refuses
// every name that would not lie below it.
func entryName(full string) (string, error) {
	slashed := full
	if strings.ContainsRune(full, '\\') { // packed on Windows
		slashed = strings.ReplaceAll(full, `\`, "/")
	}
	base, name, _ := strings.Cut(slashed, "/")
	if path.IsAbs(slashed) || path.IsAbs(name) {
		return "", badArchive("chart illegally contains absolute paths: %q", full)
	}
	if base == ChartfileName {
		return "", badArchive("chart yaml not in base directory: %q", full)
	}
	name = path.Clean(name)
	switch {
	case name == ".":
		return "", badArchive("chart illegally contains content outside the base directory: %q", full)
	case base == ".." || name == ".." || strings.HasPrefix(name, "../"):
		return "", badArchive("chart illegally references parent directory: %q", full)
	case drivePath().MatchString(name):
		return "", badArchive("chart contains illegally named files: %q", full)
	}
	return name, nil
}

func badArchive(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrBadArchive, fmt.Sprintf(format, args...))
}
