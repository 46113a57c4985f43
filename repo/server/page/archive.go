package page

import (
	"archive/tar"
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/klauspost/compress/gzip"

	"github.com/seed38700745/pkg/chart"
	"github.com/seed38700745/pkg/repo/server/depot"
)

// archive is what pages show of a chart's files. The files of dependencies that lie
// in it are left out, but their Chart.yaml.
type archive struct {
	files []file // sorted by name
}

// file is one of a chart, named from the chart's folder.
type file struct {
	Name string
	Data []byte
}

// Size is in words.
func (f file) Size() string { return humanSize(int64(len(f.Data))) }

// find returns a file's content, nil when it is not there.
func (a *archive) find(name string) []byte {
	at, ok := slices.BinarySearchFunc(a.files, name, func(f file, name string) int { return strings.Compare(f.Name, name) })
	if !ok {
		return nil
	}
	return a.files[at].Data
}

// below returns the files of some folders, sorted.
func (a *archive) below(dirs ...string) []file {
	var out []file
	for _, f := range a.files {
		if slices.ContainsFunc(dirs, func(dir string) bool { return strings.HasPrefix(f.Name, dir+"/") }) {
			out = append(out, f)
		}
	}
	return out
}

// readme is the chart's README.md, spelled as one likes.
func (a *archive) readme() []byte {
	for _, f := range a.files {
		if strings.EqualFold(f.Name, "README.md") {
			return f.Data
		}
	}
	return nil
}

// archive unpacks a version, or takes it from memory.
func (p *Page) archive(ctx context.Context, tenant string, e *depot.Entry) (*archive, error) {
	return get(ctx, p.keep, "archive "+tenant+" "+e.Digest, func() (*archive, int, error) {
		p.unpack <- struct{}{}
		defer func() { <-p.unpack }()
		f, _, err := p.config.Charts.OpenFile(tenant, e.File)
		if err != nil {
			return nil, 0, err
		}
		defer f.Close()
		a, size, err := readArchive(f)
		if err != nil {
			return nil, 0, fmt.Errorf("%s: %w", e.File, err)
		}
		return a, size, nil
	})
}

// readArchive is a lighter chart.LoadArchive: pages need no values, no dependencies.
func readArchive(r io.Reader) (*archive, int, error) {
	unzipped, err := gzip.NewReader(bufio.NewReader(r))
	if err != nil {
		return nil, 0, err
	}
	a, size := &archive{}, 0
	for t := tar.NewReader(io.LimitReader(unzipped, chart.MaxArchiveSize)); ; {
		header, err := t.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, 0, err
		}
		_, name, ok := strings.Cut(strings.TrimPrefix(header.Name, "./"), "/")
		name = path.Clean(name)
		if !ok || header.Typeflag != tar.TypeReg || strings.HasPrefix(name, "../") || header.Size > chart.MaxFileSize {
			continue
		}
		if sub, ok := strings.CutPrefix(name, "charts/"); ok {
			switch {
			case strings.HasSuffix(sub, ".tgz") && !strings.Contains(sub, "/"):
				a.files = append(a.files, file{Name: name})
				continue
			case strings.Count(sub, "/") != 1 || path.Base(sub) != chart.ChartfileName:
				continue
			}
		}
		data := make([]byte, header.Size)
		if _, err := io.ReadFull(t, data); err != nil {
			return nil, 0, err
		}
		size += len(data) + len(name) + 100
		a.files = append(a.files, file{name, data})
	}
	slices.SortStableFunc(a.files, func(x, y file) int { return strings.Compare(x.Name, y.Name) })
	return a, size, nil
}
