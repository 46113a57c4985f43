package depot

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/seed38700745/pkg/chart"
	"github.com/seed38700745/pkg/chart/semver"
)

// Entry is one stored version of a chart. It never changes.
type Entry struct {
	Name, Version string
	File          string // in the tenant's folder: "mysql-1.0.0.tgz"
	Digest        string // sha256 of the archive, hex
	Size          int64
	Created       time.Time // the archive's modification time
	// JSON is the entry as the index and the API show it: the chart's metadata
	// with urls, created and digest.
	JSON []byte

	// What lists and searches show, so that they decode nothing.
	Description, AppVersion string
	Keywords                []string
	Deprecated              bool

	semver semver.Version // no pointer: there are many thousands for the collector to follow
	inode  uint64         // of the archive
}

// is tells whether an entry is that of a file that looks so.
func (e *Entry) is(info os.FileInfo) bool {
	return e.Size == info.Size() && e.Created.Equal(info.ModTime()) && e.inode == inodeOf(info)
}

func inodeOf(info os.FileInfo) uint64 {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return s.Ino
	}
	return 0
}

// indexEntry is the shape of Entry.JSON, that of Helm's index.
type indexEntry struct {
	*chart.Metadata
	URLs    []string  `json:"urls"`
	Created time.Time `json:"created"`
	Digest  string    `json:"digest"`
}

// Metadata decodes what the chart says of itself.
func (e *Entry) Metadata() (*chart.Metadata, error) {
	meta := &chart.Metadata{}
	if err := json.Unmarshal(e.JSON, meta); err != nil {
		return nil, fmt.Errorf("chart %s-%s: %w", e.Name, e.Version, err)
	}
	return meta, nil
}

func newEntry(meta *chart.Metadata, file, digest string, info os.FileInfo) (*Entry, error) {
	v, err := checkMetadata(meta)
	if err != nil {
		return nil, err
	}
	e := &Entry{
		Name: meta.Name, Version: meta.Version, File: file, Digest: digest,
		Size: info.Size(), Created: info.ModTime().UTC(), semver: *v, inode: inodeOf(info),
		Description: meta.Description, AppVersion: meta.AppVersion, Keywords: meta.Keywords, Deprecated: meta.Deprecated,
	}
	e.JSON, err = json.Marshal(indexEntry{Metadata: meta, URLs: []string{"charts/" + url.PathEscape(file)}, Created: e.Created, Digest: digest})
	return e, err
}

// Names and versions become file names and URLs, so they are plain words here.
// Helm's own rule for names is only that they are no path.
var (
	chartName    = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$`)
	chartVersion = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9.+-]{0,199}$`)
)

func checkMetadata(meta *chart.Metadata) (*semver.Version, error) {
	if meta == nil || meta.Name == "" {
		return nil, fmt.Errorf("%w chart: no name in Chart.yaml", ErrInvalid)
	}
	if !chartName.MatchString(meta.Name) {
		return nil, fmt.Errorf("%w chart: name %q: letters, digits, '.', '_' and '-' only", ErrInvalid, meta.Name)
	}
	if !chartVersion.MatchString(meta.Version) {
		return nil, fmt.Errorf("%w chart: version %q is not SemVer 2", ErrInvalid, meta.Version)
	}
	v, err := semver.NewVersion(meta.Version)
	if err != nil {
		return nil, fmt.Errorf("%w chart: version %q is not SemVer 2", ErrInvalid, meta.Version)
	}
	if err := meta.Validate(); err != nil {
		return nil, fmt.Errorf("%w chart: %w", ErrInvalid, err)
	}
	return v, nil
}

// scratch is the memory that reading an archive takes, used again for the next.
type scratch struct {
	unzip gzip.Reader
	in    *bufio.Reader // gzip would make one for each archive
	block [32 << 10]byte
}

func newScratch() any { return &scratch{in: bufio.NewReader(nil)} }

// readEntry makes the entry of an archive that lies in a tenant's folder. It
// reads Chart.yaml and no more of the content, as there may be many thousands.
func (s *scratch) readEntry(path string) (*Entry, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%w chart: no regular file", ErrInvalid)
	}
	// Most fit into the block, and are read once.
	n, err := io.ReadFull(f, s.block[:])
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		data := s.block[:n]
		meta, err := s.readMetadata(bytes.NewReader(data))
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(data)
		return newEntry(meta, filepath.Base(path), hex.EncodeToString(sum[:]), info)
	}
	if err != nil {
		return nil, err
	}
	s.in.Reset(io.MultiReader(bytes.NewReader(s.block[:]), f))
	meta, err := s.readMetadata(s.in)
	if err != nil {
		return nil, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	hash := sha256.New()
	// Without its other methods the file makes CopyBuffer use the block.
	if _, err := io.CopyBuffer(hash, struct{ io.Reader }{f}, s.block[:]); err != nil {
		return nil, err
	}
	return newEntry(meta, filepath.Base(path), hex.EncodeToString(hash.Sum(nil)), info)
}

func (s *scratch) readMetadata(r io.Reader) (*chart.Metadata, error) {
	if err := s.unzip.Reset(r); err != nil {
		return nil, fmt.Errorf("%w chart: %w", ErrInvalid, err)
	}
	// Bombs end here: an archive that unpacks to more is no chart.
	for archive := tar.NewReader(io.LimitReader(&s.unzip, chart.MaxArchiveSize)); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("%w chart: no Chart.yaml", ErrInvalid)
		}
		if err != nil {
			return nil, fmt.Errorf("%w chart: %w", ErrInvalid, err)
		}
		name := strings.TrimPrefix(header.Name, "./")
		if strings.Count(name, "/") != 1 || !strings.HasSuffix(name, "/"+chart.ChartfileName) {
			continue
		}
		data, err := io.ReadAll(io.LimitReader(archive, chart.MaxFileSize))
		if err != nil {
			return nil, fmt.Errorf("%w chart: %w", ErrInvalid, err)
		}
		meta, err := chart.ParseMetadata(data)
		if err != nil {
			return nil, fmt.Errorf("%w chart: Chart.yaml: %w", ErrInvalid, err)
		}
		if meta.APIVersion == "" {
			meta.APIVersion = "v1" // as Helm's loader does
		}
		return meta, nil
	}
}
