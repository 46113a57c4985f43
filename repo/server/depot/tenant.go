package depot

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"time"
)

// tenant is the charts of one folder.
type tenant struct {
	name, dir string

	mu      sync.RWMutex
	charts  map[string]*versions // by chart name; guarded by mu
	names   []string             // keys of charts, sorted; guarded by mu
	files   map[string]*Entry    // by file name, shadowed ones included; guarded by mu
	busy    map[string]bool      // "name-version" that is being written; guarded by mu
	hidden  int                  // files shadowed by others; guarded by mu
	changed time.Time            // guarded by mu
	serial  uint64               // counts changes; guarded by mu

	render   sync.Mutex // held while an index is put together
	rendered *Index     // guarded by render
}

// versions is one chart's.
type versions struct {
	list  []*Entry // newest first
	piece *piece   // of the index; nil after a change
}

// order is Helm's for an index: newest first by SemVer. Versions that differ in
// build metadata only are equal there; here the text decides, to be definite.
func order(a, b *Entry) int {
	if c := b.semver.Compare(&a.semver); c != 0 {
		return c
	}
	return cmp.Or(cmp.Compare(b.Version, a.Version), cmp.Compare(a.File, b.File))
}

// reserve claims a version for writing, until release.
func (t *tenant) reserve(name, version string, overwrite bool, limit int) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	key := name + "-" + version
	if t.busy[key] {
		return fmt.Errorf("%s is being uploaded: %w", key, ErrExists)
	}
	// The file's name is what two charts can fight over: a-1 of version 2 is
	// a-1-2.tgz, and so is a of version 1-2.
	old := t.findLocked(name, version)
	if have := t.files[key+".tgz"]; have != nil && (have.Name != name || have.Version != version) {
		return fmt.Errorf("%s.tgz is chart %s of version %s: %w", key, have.Name, have.Version, ErrExists)
	}
	if old != nil && !overwrite {
		return fmt.Errorf("%s.tgz %w", key, ErrExists)
	}
	if v := t.charts[name]; limit > 0 && old == nil && v != nil && len(v.list) >= limit {
		return fmt.Errorf("chart %s has %d versions: %w", name, len(v.list), ErrLimit)
	}
	t.busy[key] = true
	return nil
}

func (t *tenant) release(name, version string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.busy, name+"-"+version)
}

func (t *tenant) findLocked(name, version string) *Entry {
	if v := t.charts[name]; v != nil {
		if i := slices.IndexFunc(v.list, func(e *Entry) bool { return e.Version == version }); i >= 0 {
			return v.list[i]
		}
	}
	return nil
}

// add publishes an entry, in place of the one of the same file. Of two files with
// the same chart and version the first by name counts.
func (t *tenant) add(e *Entry) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if old := t.files[e.File]; old != nil {
		if old.Digest == e.Digest && old.Created.Equal(e.Created) && old.inode == e.inode {
			return
		}
		t.dropLocked(old)
	}
	t.files[e.File] = e
	t.serial++
	if e.Created.After(t.changed) {
		t.changed = e.Created // so that the same charts have the same index
	}
	v := t.charts[e.Name]
	if v == nil {
		v = &versions{}
		t.charts[e.Name] = v
		at, _ := slices.BinarySearch(t.names, e.Name)
		t.names = slices.Insert(t.names, at, e.Name)
	}
	v.piece = nil
	if same := slices.IndexFunc(v.list, func(have *Entry) bool { return have.Version == e.Version }); same >= 0 {
		t.hidden++
		if e.File < v.list[same].File {
			v.list = slices.Clone(v.list)
			v.list[same] = e
		}
		return
	}
	at, _ := slices.BinarySearchFunc(v.list, e, order)
	// Readers hold the old slice without a lock: it is never written to.
	v.list = slices.Concat(v.list[:at], []*Entry{e}, v.list[at:])
}

// remove takes a file out of the index and returns its entry, nil when there is none.
func (t *tenant) remove(file string) *Entry {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.files[file]
	if e != nil {
		t.dropLocked(e)
		t.serial++
		t.changed = time.Now().UTC()
	}
	return e
}

func (t *tenant) dropLocked(e *Entry) {
	delete(t.files, e.File)
	v := t.charts[e.Name]
	at := slices.Index(v.list, e)
	if at < 0 {
		t.hidden--
		return
	}
	v.piece = nil
	v.list = slices.Concat(v.list[:at], v.list[at+1:])
	// A file that it shadowed comes forward.
	if t.hidden > 0 {
		for _, other := range t.files {
			if other.Name == e.Name && other.Version == e.Version {
				v.list = slices.Insert(v.list, at, other)
				t.hidden--
				break
			}
		}
	}
	if len(v.list) == 0 {
		delete(t.charts, e.Name)
		if i, ok := slices.BinarySearch(t.names, e.Name); ok {
			t.names = slices.Delete(t.names, i, i+1)
		}
	}
}

// Names lists a tenant's charts, sorted; a tenant that is not there has none.
func (d *Depot) Names(name string) []string {
	t := d.tenant(name)
	if t == nil {
		return nil
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	return slices.Clone(t.names)
}

// Versions lists a chart's versions, newest first. The slice must not be changed.
func (d *Depot) Versions(tenant, name string) []*Entry {
	t := d.tenant(tenant)
	if t == nil {
		return nil
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	if v := t.charts[name]; v != nil {
		return v.list
	}
	return nil
}

// Find returns one version of a chart, the newest that is no prerelease for "latest".
func (d *Depot) Find(tenant, name, version string) (*Entry, error) {
	list := d.Versions(tenant, name)
	for _, e := range list {
		if e.Version == version || version == "latest" && e.semver.Prerelease() == "" {
			return e, nil
		}
	}
	if version == "latest" && len(list) > 0 {
		return list[0], nil
	}
	return nil, fmt.Errorf("chart %s-%s: %w", name, version, ErrNotFound)
}

// File returns the entry of a stored archive.
func (d *Depot) File(tenant, file string) (*Entry, error) {
	if t := d.tenant(tenant); t != nil {
		t.mu.RLock()
		defer t.mu.RUnlock()
		if e := t.files[file]; e != nil {
			return e, nil
		}
	}
	return nil, fmt.Errorf("%s: %w", file, ErrNotFound)
}

// Count is the number of charts and of their versions, over all tenants.
func (d *Depot) Count() (charts, entries int) {
	for _, name := range d.Tenants() {
		t := d.tenant(name)
		t.mu.RLock()
		charts += len(t.charts)
		entries += len(t.files)
		t.mu.RUnlock()
	}
	return charts, entries
}
