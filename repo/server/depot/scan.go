package depot

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sync/errgroup"
)

// scan reads a tenant's folder and those below it. Archives that known has with
// the same size, time and inode are not opened.
func (d *Depot) scan(name string, known map[seenKey]*Entry) error {
	t := d.tenantOrNew(name)
	if err := d.watch.add(t.dir, name); err != nil {
		return err
	}
	list, err := os.ReadDir(t.dir)
	if err != nil {
		return err
	}
	var readers errgroup.Group
	readers.SetLimit(runtime.GOMAXPROCS(0))
	there := map[string]bool{}
	for _, item := range list {
		file := item.Name()
		if item.IsDir() {
			sub := strings.TrimPrefix(name+"/"+file, "/")
			if CheckTenant(sub) == nil {
				if err := d.scan(sub, known); err != nil {
					return err
				}
			}
			continue
		}
		if !isArchive(file) {
			continue
		}
		there[file] = true
		info, err := item.Info()
		if err != nil {
			continue // gone meanwhile
		}
		if e := known[seenKey{name, file}]; e != nil && e.is(info) {
			t.add(e)
			continue
		}
		readers.Go(func() error {
			d.look(t, file)
			return nil
		})
	}
	_ = readers.Wait() // never fails
	d.forgetMissing(t, there)
	return nil
}

// forgetMissing takes files out of the index that a folder no longer has.
func (d *Depot) forgetMissing(t *tenant, there map[string]bool) {
	t.mu.RLock()
	var gone []string
	for file := range t.files {
		if !there[file] {
			gone = append(gone, file)
		}
	}
	t.mu.RUnlock()
	for _, file := range gone {
		// It may have come after the folder was read.
		if _, err := os.Lstat(filepath.Join(t.dir, file)); errors.Is(err, fs.ErrNotExist) {
			t.remove(file)
		}
	}
}

func isArchive(file string) bool {
	return strings.HasSuffix(file, ".tgz") && !strings.HasPrefix(file, ".")
}

// look brings the index up to date with one file of a tenant's folder.
func (d *Depot) look(t *tenant, file string) {
	path := filepath.Join(t.dir, file)
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		t.remove(file)
		return
	}
	t.mu.RLock()
	have := t.files[file]
	t.mu.RUnlock()
	if err == nil && have != nil && have.is(info) {
		return
	}
	memory := d.scratch.Get().(*scratch)
	e, err := memory.readEntry(path)
	d.scratch.Put(memory)
	if err != nil {
		t.remove(file)
		d.config.Log(fmt.Sprintf("%s is not served: %v", strings.TrimPrefix(t.name+"/"+file, "/"), err))
		return
	}
	// An upload publishes its own file, after it is on disk.
	t.mu.RLock()
	busy := t.busy[e.Name+"-"+e.Version]
	t.mu.RUnlock()
	if !busy {
		t.add(e)
		d.seen.append(t.name, e)
		// It may have been deleted since it was read.
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			t.remove(file)
		}
	}
}

// Run follows what is done to the folder by hand, until ctx ends.
func (d *Depot) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, d.watch.stop)
	defer stop()
	for {
		changes, err := d.watch.next()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("watch of the chart folder: %w", err)
		}
		for _, c := range changes {
			if err := d.follow(c); err != nil && !errors.Is(err, fs.ErrNotExist) {
				d.config.Log(err.Error())
			}
		}
	}
}

func (d *Depot) follow(c change) error {
	switch {
	case c.overflow:
		return d.scan("", nil)
	case c.dir:
		sub := strings.TrimPrefix(c.tenant+"/"+c.file, "/")
		if CheckTenant(sub) != nil {
			return nil
		}
		if c.gone {
			d.dropTenant(sub)
			return nil
		}
		return d.scan(sub, nil)
	case isArchive(c.file):
		if t := d.tenant(c.tenant); t != nil {
			d.look(t, c.file)
		}
	}
	return nil
}

// dropTenant forgets a folder that is gone, and those below it.
func (d *Depot) dropTenant(name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for other, t := range d.tenants {
		if other == name || strings.HasPrefix(other, name+"/") {
			delete(d.tenants, other)
			if s := d.syncers[t.dir]; s != nil {
				delete(d.syncers, t.dir)
				_ = s.close()
			}
		}
	}
}
