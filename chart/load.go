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
	"unsafe"

	"sigs.k8s.io/yaml"

	"github.com/seed38700745/pkg/chart/plain"
)

var utf8bom = []byte{0xEF, 0xBB, 0xBF}

// Load reads a chart from a directory or from a .tgz archive.
func Load(name string) (*Chart, error) { return LoadFor(name, nil) }

// LoadFor reads a chart as [Load] does, to be rendered with vals and no other values. Of
// subcharts that vals are sure to turn off it takes only what can be wrong with a chart,
// metadata and values: nobody would ever look at the rest.
func LoadFor(name string, vals map[string]any) (*Chart, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return loadArchiveFile(name, vals)
	}
	return loadDir(name, vals)
}

// LoadFS reads a chart whose Chart.yaml is at the root of fsys. There is no
// .helmignore handling: what is in an embedded tree is there on purpose.
func LoadFS(fsys fs.FS) (*Chart, error) {
	var files []File
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(fsys, name)
		if err != nil {
			return err
		}
		files = append(files, File{name, bytes.TrimPrefix(data, utf8bom)})
		return nil
	})
	if err != nil {
		return nil, err
	}
	return loadFiles(files, outset{})
}

// outset is what is known of a chart before it is made of its files.
type outset struct {
	vals     map[string]any       // what it will be rendered with; nil if that is open
	defaults map[string]any       // what its values.yaml holds, if that was read already
	off      func(*Metadata) bool // whether it will be turned off; nil for no
}

// loadFiles makes a chart of its files, which it keeps; those below charts/ become its
// subcharts. Rules and error texts are Helm's.
func loadFiles(files []File, known outset) (*Chart, error) {
	c, err := newChart(files, known)
	if err != nil {
		return nil, err
	}
	orderDependencies(c)
	return c, nil
}

func newChart(files []File, known outset) (*Chart, error) {
	c := &Chart{Raw: make([]*File, len(files)), Values: known.defaults}
	for i := range files { // the other files need to know the API version
		f := &files[i]
		c.Raw[i] = f
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
	off := known.off != nil && c.Metadata != nil && known.off(c.Metadata)
	var values []byte // of a chart that is off
	subcharts := map[string][]File{}
	for _, f := range c.Raw {
		rest, below := strings.CutPrefix(f.Name, DependencyDir+"/")
		switch {
		case below && path.Ext(f.Name) != ".prov":
			name, _, _ := strings.Cut(rest, "/")
			subcharts[name] = append(subcharts[name], File{rest, f.Data})
		case off && f.Name == ValuesfileName:
			values = f.Data
		case off && !bareFile(f.Name):
		case strings.HasPrefix(f.Name, TemplatesDir+"/"):
			c.Templates = append(c.Templates, f)
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
	below := func(*Metadata) bool { return true }
	if !off {
		below = newSwitches(c.Metadata, known.vals, c.Values).off
	}
	subs, err := newSubcharts(c, subcharts, below)
	if err != nil {
		return nil, err
	}
	c.AddDependency(subs...)
	if values != nil {
		c.Values, err = bareValues(values, subs)
	}
	return c, err
}

// parallelCharts is the size of all files of subcharts, in bytes, from which several
// goroutines make them.
const parallelCharts = 64 << 10

// newSubcharts loads what is in charts/, in the order of the names there. The error is
// that of the first one.
func newSubcharts(c *Chart, files map[string][]File, off func(*Metadata) bool) ([]*Chart, error) {
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
			subs[n], failed[n] = newSubchart(c, names[n], files[names[n]], off)
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
func addFile(c *Chart, f *File) error {
	switch f.Name {
	case ChartfileName:
	case ValuesfileName:
		if c.Values != nil { // known from the outset
			return nil
		}
		var err error
		if c.Values, err = parseValues(f.Data); err != nil {
			return err
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
		c.Files = append(c.Files, f)
	}
	return nil
}

// parseValues reads a values.yaml.
func parseValues(data []byte) (map[string]any, error) {
	vals, err := readValues(asText(data))
	if err != nil {
		return nil, fmt.Errorf("cannot load values.yaml: %w", err)
	}
	return vals, nil
}

// readValues reads a document as sigs.k8s.io/yaml does; nil when it holds nothing.
func readValues(text string) (map[string]any, error) {
	if vals, ok := plain.Values(text); ok {
		return vals, nil
	}
	vals := map[string]any{}
	err := yaml.Unmarshal([]byte(text), &vals)
	return vals, err
}

// asText returns a file of a chart as text. The two share their bytes, which nothing ever
// changes.
func asText(data []byte) string { return unsafe.String(unsafe.SliceData(data), len(data)) }

// addRequirements keeps the files that say in charts v1 what Chart.yaml and
// Chart.lock say in v2.
func addRequirements(c *Chart, f *File, warning string) {
	if c.Metadata == nil {
		c.Metadata = &Metadata{}
	}
	if c.Metadata.APIVersion != "v1" {
		log.Printf("Warning: %s", warning)
		return
	}
	c.Files = append(c.Files, f)
}

// newSubchart loads what is under one name in charts/: a folder or an archive.
func newSubchart(parent *Chart, name string, files []File, off func(*Metadata) bool) (*Chart, error) {
	if path.Ext(name) == ".tgz" {
		if files[0].Name != name {
			return nil, fmt.Errorf("error unpacking subchart tar in %s: expected %s, got %s", parent.Name(), name, files[0].Name)
		}
		unpacked, err := readArchive(bytes.NewReader(files[0].Data))
		if err != nil {
			return nil, err
		}
		return newChart(unpacked, outset{off: off})
	}
	own := files[:0]
	for _, f := range files {
		if _, rest, ok := strings.Cut(f.Name, "/"); ok {
			own = append(own, File{rest, f.Data})
		}
	}
	return newChart(own, outset{off: off})
}
