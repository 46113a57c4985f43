package chart

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"os"
	"path"
	"runtime"
	"sort"
	"strings"
	"sync"
	"sync/atomic"

	"sigs.k8s.io/yaml"

	"github.com/seed38700745/pkg/chart/plain"
)

// file is a file of a chart, its path relative to the chart's folder.
type file struct {
	Name string
	Data []byte
}

var utf8bom = []byte{0xEF, 0xBB, 0xBF}

// Load reads a chart from a directory or from a .tgz archive.
func Load(name string) (*Chart, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return LoadArchiveFile(name)
	}
	return loadDir(name)
}

// LoadFS reads a chart whose Chart.yaml is at the root of fsys. There is no
// .helmignore handling: what is in an embedded tree is there on purpose.
func LoadFS(fsys fs.FS) (*Chart, error) {
	var files []file
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(fsys, name)
		if err != nil {
			return err
		}
		files = append(files, file{name, bytes.TrimPrefix(data, utf8bom)})
		return nil
	})
	if err != nil {
		return nil, err
	}
	return loadFiles(files)
}

// loadFiles makes a chart of its files; those below charts/ become its subcharts.
// Rules and error texts are Helm's.
func loadFiles(files []file) (*Chart, error) {
	c, err := newChart(files)
	if err != nil {
		return nil, err
	}
	orderDependencies(c)
	return c, nil
}

func newChart(files []file) (*Chart, error) {
	c := &Chart{Raw: make([]*File, len(files))}
	raw := make([]File, len(files))
	for i, f := range files { // the other files need to know the API version
		raw[i] = File{Name: f.Name, Data: f.Data}
		c.Raw[i] = &raw[i]
		if f.Name != ChartfileName {
			continue
		}
		var err error
		if c.Metadata, err = ParseMetadata(f.Data); err != nil {
			return nil, fmt.Errorf("cannot load Chart.yaml: %w", err)
		}
		if c.Metadata.APIVersion == "" { // Helm 2 did not ask for one
			c.Metadata.APIVersion = "v1"
		}
	}
	subcharts := map[string][]file{}
	for i, f := range files {
		rest, below := strings.CutPrefix(f.Name, DependencyDir+"/")
		switch {
		case below && path.Ext(f.Name) != ".prov":
			name, _, _ := strings.Cut(rest, "/")
			subcharts[name] = append(subcharts[name], file{rest, f.Data})
		case strings.HasPrefix(f.Name, TemplatesDir+"/"):
			c.Templates = append(c.Templates, &raw[i])
		default:
			if err := addFile(c, f); err != nil {
				return nil, err
			}
		}
	}
	if c.Metadata == nil {
		return nil, errors.New("Chart.yaml file is missing")
	}
	if err := c.Validate(); err != nil {
		return nil, err
	}
	subs, err := newSubcharts(c, subcharts)
	c.AddDependency(subs...)
	return c, err
}

// parallelCharts is the size of all files of subcharts, in bytes, from which several
// goroutines make them.
const parallelCharts = 64 << 10

// newSubcharts loads what is in charts/, in the order of the names there. The error is
// that of the first one.
func newSubcharts(c *Chart, files map[string][]file) ([]*Chart, error) {
	var names []string
	size := 0
	for name, files := range files {
		if name == "" || name[0] == '_' || name[0] == '.' {
			continue
		}
		names = append(names, name)
		for _, f := range files {
			size += len(f.Data)
		}
	}
	sort.Strings(names)
	subs := make([]*Chart, len(names))
	failed := make([]error, len(names))
	var next atomic.Int64
	work := func() {
		for n := next.Add(1) - 1; n < int64(len(names)); n = next.Add(1) - 1 {
			subs[n], failed[n] = newSubchart(c, names[n], files[names[n]])
		}
	}
	var wg sync.WaitGroup
	if size >= parallelCharts {
		for range min(len(names), runtime.GOMAXPROCS(0)) - 1 {
			wg.Go(work)
		}
	}
	work()
	wg.Wait()
	for n, err := range failed {
		if err != nil {
			return nil, fmt.Errorf("error unpacking subchart %s in %s: %w", names[n], c.Name(), err)
		}
	}
	return subs, nil
}

// addFile takes in a file that is neither a template nor part of a subchart.
func addFile(c *Chart, f file) error {
	switch f.Name {
	case ChartfileName:
	case ValuesfileName:
		var plainly bool
		if c.Values, plainly = plain.Values(string(f.Data)); plainly {
			return nil
		}
		c.Values = map[string]any{}
		if err := yaml.Unmarshal(f.Data, &c.Values); err != nil {
			return fmt.Errorf("cannot load values.yaml: %w", err)
		}
	case SchemafileName:
		c.Schema = f.Data
	case LockfileName, "requirements.lock":
		var err error
		if c.Lock, err = parseLock(f.Data); err != nil {
			return fmt.Errorf("cannot load %s: %w", f.Name, err)
		}
		if f.Name != LockfileName {
			addRequirements(c, f, "Dependency locking is handled in Chart.lock since apiVersion \"v2\". We recommend migrating to Chart.lock.")
		}
	case "requirements.yaml":
		addRequirements(c, f, "Dependencies are handled in Chart.yaml since apiVersion \"v2\". We recommend migrating dependencies to Chart.yaml.")
		if err := addRequired(c.Metadata, f.Data); err != nil {
			return fmt.Errorf("cannot load requirements.yaml: %w", err)
		}
	default:
		c.Files = append(c.Files, &File{Name: f.Name, Data: f.Data})
	}
	return nil
}

// addRequirements keeps the files that say in charts v1 what Chart.yaml and
// Chart.lock say in v2.
func addRequirements(c *Chart, f file, warning string) {
	if c.Metadata == nil {
		c.Metadata = &Metadata{}
	}
	if c.Metadata.APIVersion != "v1" {
		log.Printf("Warning: %s", warning)
		return
	}
	c.Files = append(c.Files, &File{Name: f.Name, Data: f.Data})
}

// newSubchart loads what is under one name in charts/: a folder or an archive.
func newSubchart(parent *Chart, name string, files []file) (*Chart, error) {
	if path.Ext(name) == ".tgz" {
		if files[0].Name != name {
			return nil, fmt.Errorf("error unpacking subchart tar in %s: expected %s, got %s", parent.Name(), name, files[0].Name)
		}
		unpacked, err := readArchive(bytes.NewReader(files[0].Data))
		if err != nil {
			return nil, err
		}
		return newChart(unpacked)
	}
	var own []file
	for _, f := range files {
		if _, rest, ok := strings.Cut(f.Name, "/"); ok {
			own = append(own, file{rest, f.Data})
		}
	}
	return newChart(own)
}
