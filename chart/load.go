package chart

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/ignore"
	"sigs.k8s.io/yaml"

	"github.com/seed38700745/pkg/chart/plain"
)

// file is a file of a chart, its path relative to the chart's folder.
type file struct {
	Name string
	Data []byte
}

// errSymlink sends a folder with symbolic links to Helm's own loader.
var errSymlink = errors.New("symbolic link")

// loadDir reads a chart from a directory, without what .helmignore names.
func loadDir(dir string) (*Chart, error) {
	top, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	rules := ignore.Empty()
	if ignored := filepath.Join(top, IgnorefileName); exists(ignored) {
		if rules, err = ignore.ParseFile(ignored); err != nil {
			return nil, err
		}
	}
	rules.AddDefaults()
	w := walker{top: top, rules: rules}
	err = w.load()
	if errors.Is(err, errSymlink) {
		c, err := loader.LoadDir(dir)
		if err != nil {
			return nil, err
		}
		orderDependencies(c)
		return c, nil
	}
	if err != nil {
		return nil, err
	}
	return loadFiles(w.files)
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

// walker finds a folder's regular files in lexical order, and reads them.
type walker struct {
	top   string
	rules *ignore.Rules

	mu     sync.Mutex
	files  []file
	failed int   // the first of the files that could not be read
	err    error // its error
	next   int   // the file to be read next
	walked bool  // there will be no more files
	more   *sync.Cond
	wg     sync.WaitGroup // of readers
}

// parallelFiles is the number of files from which several goroutines read them, while
// others are still looked for: below that starting them takes longer.
const parallelFiles = 48

// load finds and reads the files. The error is that of the first one, in their order.
func (w *walker) load() error {
	w.more = sync.NewCond(&w.mu)
	err := w.walk("")
	w.mu.Lock()
	w.walked = true
	w.more.Broadcast()
	w.mu.Unlock()
	if err == nil {
		w.read()
	}
	w.wg.Wait()
	if err == nil {
		err = w.err
	}
	return err
}

// add takes in a file that is to be read.
func (w *walker) add(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.files = append(w.files, file{Name: name})
	if len(w.files) == parallelFiles {
		for range runtime.GOMAXPROCS(0) - 1 {
			w.wg.Go(w.read)
		}
	}
	w.more.Signal()
}

// read reads files until there are no more.
func (w *walker) read() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		for w.next == len(w.files) {
			if w.walked {
				return
			}
			w.more.Wait()
		}
		n := w.next
		w.next++
		name := w.files[n].Name
		w.mu.Unlock()
		data, err := readFile(w.top, name)
		w.mu.Lock()
		w.files[n].Data = data
		if err != nil && (w.err == nil || n < w.failed) {
			w.failed, w.err = n, err
		}
	}
}

// walk adds the files below a folder, without their content.
func (w *walker) walk(dir string) error {
	entries, err := os.ReadDir(filepath.Join(w.top, dir))
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := path.Join(dir, e.Name())
		if e.Type()&fs.ModeSymlink != 0 {
			return errSymlink
		}
		if w.rules.Ignore(name, entryInfo{e}) {
			continue
		}
		if e.IsDir() {
			if err := w.walk(name); err != nil {
				return err
			}
			continue
		}
		if !e.Type().IsRegular() {
			return fmt.Errorf("cannot load irregular file %s as it has file mode type bits set", filepath.Join(w.top, name))
		}
		w.add(name)
	}
	return nil
}

// readFile reads one file of a chart, up to the size that it has when it is opened.
// An os.File would cost two system calls more, to find out that it cannot be polled.
func readFile(top, name string) ([]byte, error) {
	file := filepath.Join(top, name)
	failed := func(op string, err error) error {
		return fmt.Errorf("error reading %s: %w", name, &fs.PathError{Op: op, Path: file, Err: err})
	}
	fd, err := uninterrupted(func() (int, error) { return syscall.Open(file, syscall.O_RDONLY|syscall.O_CLOEXEC, 0) })
	if err != nil {
		return nil, failed("open", err)
	}
	defer syscall.Close(fd)
	var info syscall.Stat_t
	if _, err := uninterrupted(func() (int, error) { return 0, syscall.Fstat(fd, &info) }); err != nil {
		return nil, failed("stat", err)
	}
	if info.Size > MaxFileSize {
		return nil, fmt.Errorf("chart file %q is larger than the maximum file size %d", path.Base(name), MaxFileSize)
	}
	data := make([]byte, info.Size)
	read := 0
	for read < len(data) {
		n, err := uninterrupted(func() (int, error) { return syscall.Read(fd, data[read:]) })
		if err != nil {
			return nil, failed("read", err)
		}
		if n == 0 { // the file became shorter
			break
		}
		read += n
	}
	return bytes.TrimPrefix(data[:read], utf8bom), nil
}

// uninterrupted repeats a system call that a signal interrupted.
func uninterrupted(call func() (int, error)) (int, error) {
	for {
		if n, err := call(); !errors.Is(err, syscall.EINTR) {
			return n, err
		}
	}
}

// entryInfo is what ignore rules ask of a file, without a system call.
type entryInfo struct{ fs.DirEntry }

func (e entryInfo) Size() int64        { return 0 }
func (e entryInfo) Mode() fs.FileMode  { return e.Type() }
func (e entryInfo) ModTime() time.Time { return time.Time{} }
func (e entryInfo) Sys() any           { return nil }

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
		if c.Metadata == nil {
			c.Metadata = &Metadata{}
		}
		if err := unmarshal(f.Data, c.Metadata); err != nil {
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

// unmarshal reads a document as sigs.k8s.io/yaml does, by way of JSON; a plain one
// goes that way faster.
func unmarshal(data []byte, into any) error {
	if top, ok := plain.Values(string(data)); ok {
		if text, err := json.Marshal(top); err == nil && json.Unmarshal(text, into) == nil {
			return nil
		}
	}
	return yaml.Unmarshal(data, into)
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
		c.Lock = &Lock{}
		if err := yaml.Unmarshal(f.Data, &c.Lock); err != nil {
			return fmt.Errorf("cannot load %s: %w", f.Name, err)
		}
		if f.Name != LockfileName {
			addRequirements(c, f, "Dependency locking is handled in Chart.lock since apiVersion \"v2\". We recommend migrating to Chart.lock.")
		}
	case "requirements.yaml":
		addRequirements(c, f, "Dependencies are handled in Chart.yaml since apiVersion \"v2\". We recommend migrating dependencies to Chart.yaml.")
		if err := yaml.Unmarshal(f.Data, c.Metadata); err != nil {
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
