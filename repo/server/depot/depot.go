// Package depot keeps packed charts in a folder and the index of them in memory.
//
// The folder is the truth and may be filled by hand:
//
//	DIR/mysql-1.0.0.tgz[.prov]           charts of the tenant ""
//	DIR/org/repo/mysql-1.0.0.tgz[.prov]  charts of the tenant "org/repo"
//	DIR/.pkg/tmp/                        uploads that are not finished
//	DIR/.pkg/index.log                   what was read from the charts; a cache
//	DIR/.pkg/lock                        held by the process that serves the folder
//
// Guarantees: Put returns when the chart is on disk under its name (file and
// folder synced), and only then does the index name it; Delete takes a chart out of
// the index before its file goes. Uploads at the same time share the sync of
// their folder. The cost of an upload depends on that chart only: the index is
// kept as one compressed piece for each chart name, and put together
// when somebody asks for it.
//
// Caveats: a chart that is overwritten gets its new content a moment before the
// index gets its new digest. Files put in by hand are seen through inotify, which
// network file systems do not offer; there they are found at the next start.
package depot

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// Errors that callers branch on. The errors returned wrap them.
var (
	ErrNotFound = errors.New("not found")
	ErrExists   = errors.New("already exists")
	ErrInvalid  = errors.New("invalid")
	ErrTooLarge = errors.New("too large")
	ErrLimit    = errors.New("limit reached")
)

// stateDir is the folder of what is not charts. A tenant cannot have its name,
// as those do not begin with a dot.
const stateDir = ".pkg"

// DefaultMaxUpload is ChartMuseum's limit of an upload, in bytes.
const DefaultMaxUpload = 20 << 20

// maxTenantDepth bounds the folders that are looked into.
const maxTenantDepth = 4

// Overwrite says when a version that exists may be replaced.
type Overwrite string

const (
	OverwriteForced Overwrite = "forced" // when the request says force; the default
	OverwriteAlways Overwrite = "always"
	OverwriteNever  Overwrite = "never"
)

// Config is how a Depot is opened. Dir is required.
type Config struct {
	Dir         string
	Overwrite   Overwrite        // "" is OverwriteForced
	MaxUpload   int64            // bytes of one archive; 0 is DefaultMaxUpload
	MaxVersions int              // of one chart in one tenant; 0 is no limit
	Log         func(msg string) // hears of files that are no charts; may be nil
}

// Depot is an open folder of charts. It is safe for concurrent use.
type Depot struct {
	config Config
	lock   *os.File
	seen   *seenLog
	watch  *watcher

	// checks bounds how many archives are unpacked in memory at a time.
	checks chan struct{}

	scratch sync.Pool // of *scratch
	packers sync.Pool // of *packer

	mu      sync.RWMutex
	tenants map[string]*tenant // guarded by mu
	syncers map[string]*syncer // by folder; guarded by mu
}

// Open reads a folder, making it when it is not there. Only one process at a time
// can have it open.
func Open(c Config) (*Depot, error) {
	c.Overwrite = cmp.Or(c.Overwrite, OverwriteForced)
	c.MaxUpload = cmp.Or(c.MaxUpload, DefaultMaxUpload)
	if c.Log == nil {
		c.Log = func(string) {}
	}
	switch c.Overwrite {
	case OverwriteForced, OverwriteAlways, OverwriteNever:
	default:
		return nil, fmt.Errorf("overwrite policy %q is none of %s, %s, %s", c.Overwrite, OverwriteForced, OverwriteAlways, OverwriteNever)
	}
	d := &Depot{
		config:  c,
		checks:  make(chan struct{}, 2*runtime.GOMAXPROCS(0)),
		tenants: map[string]*tenant{},
		syncers: map[string]*syncer{},
		scratch: sync.Pool{New: newScratch},
		packers: sync.Pool{New: newPacker},
	}
	if err := d.open(); err != nil {
		return nil, errors.Join(fmt.Errorf("chart folder %s: %w", c.Dir, err), d.Close())
	}
	return d, nil
}

func (d *Depot) open() error {
	if err := os.MkdirAll(d.StatePath(), 0o755); err != nil {
		return err
	}
	if err := d.takeLock(); err != nil {
		return err
	}
	tmp := d.StatePath("tmp")
	if err := os.RemoveAll(tmp); err != nil {
		return err
	}
	if err := os.Mkdir(tmp, 0o755); err != nil {
		return err
	}
	seen, known, err := openSeenLog(d.StatePath("index.log"))
	if err != nil {
		return err
	}
	d.seen = seen
	// Watches come before the scan, so that nothing falls between the two.
	if d.watch, err = newWatcher(); err != nil {
		return err
	}
	d.tenantOrNew("")
	if err := d.scan("", known); err != nil {
		return err
	}
	return d.seen.compact(d.allEntries())
}

// takeLock claims the folder for this process, whose number it leaves in the lock's file.
func (d *Depot) takeLock() error {
	f, err := os.OpenFile(d.StatePath("lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return err
	}
	d.lock = f
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		var pid int
		if _, err := fmt.Fscan(f, &pid); err != nil {
			return errors.New("another process serves it")
		}
		return fmt.Errorf("process %d serves it already", pid)
	}
	if err != nil {
		return fmt.Errorf("lock: %w", err)
	}
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err = fmt.Fprintln(f, os.Getpid())
	return err
}

// Close lets the folder go. Run must have returned.
func (d *Depot) Close() error {
	var errs []error
	if d.watch != nil {
		errs = append(errs, d.watch.close())
	}
	if d.seen != nil {
		errs = append(errs, d.seen.close())
	}
	for _, s := range d.syncers {
		errs = append(errs, s.close())
	}
	if d.lock != nil {
		errs = append(errs, d.lock.Close())
	}
	return errors.Join(errs...)
}

// StatePath is the place of a file that is not a chart, such as the registry's.
func (d *Depot) StatePath(elem ...string) string {
	return filepath.Join(append([]string{d.config.Dir, stateDir}, elem...)...)
}

// MaxUpload is the limit of an archive's size in bytes.
func (d *Depot) MaxUpload() int64 { return d.config.MaxUpload }

// tenantSegment is what one folder of a tenant may be called. It is what an OCI
// repository name allows, so that every tenant is reachable both ways.
var tenantSegment = regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*$`)

// reservedSegments have a meaning in URLs.
var reservedSegments = []string{"api", "charts", "prov", "v2", "info", "health", "metrics", "token", "static"}

// CheckTenant refuses names that are not "" or a few plain words joined by "/".
func CheckTenant(name string) error {
	if name == "" {
		return nil
	}
	segments := strings.Split(name, "/")
	if len(segments) > maxTenantDepth || len(name) > 200 {
		return fmt.Errorf("%w: repository %q is nested too deeply or too long", ErrInvalid, name)
	}
	for _, s := range segments {
		if !tenantSegment.MatchString(s) || slices.Contains(reservedSegments, s) {
			return fmt.Errorf("%w: repository name %q", ErrInvalid, name)
		}
	}
	return nil
}

func (d *Depot) tenant(name string) *tenant {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.tenants[name]
}

func (d *Depot) tenantOrNew(name string) *tenant {
	if t := d.tenant(name); t != nil {
		return t
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	t := d.tenants[name]
	if t == nil {
		t = &tenant{
			name: name, dir: filepath.Join(d.config.Dir, filepath.FromSlash(name)),
			charts: map[string]*versions{}, files: map[string]*Entry{}, busy: map[string]bool{},
		}
		d.tenants[name] = t
	}
	return t
}

// Tenants lists the tenants, "" included, sorted.
func (d *Depot) Tenants() []string {
	d.mu.RLock()
	defer d.mu.RUnlock()
	names := make([]string, 0, len(d.tenants))
	for name := range d.tenants {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func (d *Depot) allEntries() map[string][]*Entry {
	all := map[string][]*Entry{}
	for _, name := range d.Tenants() {
		t := d.tenant(name)
		t.mu.RLock()
		for _, e := range t.files {
			all[name] = append(all[name], e)
		}
		t.mu.RUnlock()
	}
	return all
}
