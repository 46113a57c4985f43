package depot

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed38700745/pkg/chart"
)

// OpenFile opens a stored archive, or its provenance when the name ends in .prov.
func (d *Depot) OpenFile(tenant, file string) (*os.File, *Entry, error) {
	e, err := d.File(tenant, strings.TrimSuffix(file, ".prov"))
	if err != nil {
		return nil, nil, err
	}
	f, err := os.Open(filepath.Join(d.tenant(tenant).dir, file))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("%s: %w", file, ErrNotFound)
	}
	return f, e, err
}

// Content is what a stored file has.
type Content struct {
	Data     []byte
	Modified time.Time
	// Entry is that of the archive; of the same content, unless the file was replaced a
	// moment ago.
	Entry *Entry
	Same  bool
}

// ReadSmall reads a file as OpenFile opens it, when it fits into the buffer; false
// otherwise. It costs half of what opening an *os.File does, and downloads of charts
// are little else.
func (d *Depot) ReadSmall(tenant, file string, buf []byte) (Content, bool) {
	t := d.tenant(tenant)
	e, err := d.File(tenant, strings.TrimSuffix(file, ".prov"))
	if t == nil || err != nil || e.Size > int64(len(buf)) {
		return Content{}, false
	}
	fd, err := unix.Open(t.dir+"/"+file, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return Content{}, false
	}
	defer func() { _ = unix.Close(fd) }() // nothing was written
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil || stat.Mode&unix.S_IFMT != unix.S_IFREG || stat.Size > int64(len(buf)) {
		return Content{}, false
	}
	// A regular file gives what it has; one that is being cut gives less.
	n, err := unix.Read(fd, buf[:stat.Size])
	if err != nil || int64(n) != stat.Size {
		return Content{}, false
	}
	c := Content{Data: buf[:n], Modified: time.Unix(stat.Mtim.Unix()), Entry: e}
	c.Same = stat.Size == e.Size && stat.Ino == e.inode && c.Modified.Equal(e.Created)
	return c, true
}

// Load unpacks a stored chart.
func (d *Depot) Load(tenant string, e *Entry) (*chart.Chart, error) {
	f, _, err := d.OpenFile(tenant, e.File)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	c, err := chart.LoadArchive(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", e.File, err)
	}
	return c, nil
}
