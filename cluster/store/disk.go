package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/sys/unix"

	"github.com/seed38700745/pkg/cluster/object"
)

const (
	// Format is the version of the layout that DB documents.
	Format = 1
	// block is how many revisions are reserved at a time. A commit reserves
	// more when half of it is used. At 2^53, where clients that read numbers
	// as floats lose count, nine billion crashes have room.
	block = 1_000_000
	// lockTimeout is how long Open waits for another process to let go.
	lockTimeout = time.Second
	// mmapSize is the address space mapped at first, so that a growing file
	// is seldom mapped anew. It uses no memory.
	mmapSize = 64 << 20
	// allocSize is by how much the file grows at a time. That much is taken
	// from the file system at once.
	allocSize = 4 << 20
	// Room for what frees space is kept when the file system is full: writes
	// that make objects, or make them larger, leave spareForUpdates, and those
	// that change what is there (the status of an evicted pod) spareForDeletes.
	// A deletion writes what stands beside the object in the tree, too.
	spareForUpdates = 2 << 20
	spareForDeletes = 1 << 20
)

// The names in the file; see DB.
var (
	metaBucket    = []byte("meta")
	objectsBucket = []byte("objects")
	formatKey     = []byte("format")
	revisionKey   = []byte("revision")
)

// disk is the bbolt file. After Open only the writer's goroutine uses it, but
// for copy.
type disk struct {
	bolt     *bolt.DB
	path     string
	file     *os.File // bolt's
	size     int64    // what is taken from the file system; the file may be shorter
	faulted  bool     // bolt must not be used any more: not even closed
	created  bool     // by this process
	start    int64    // the revision at Open
	reserved int64    // revisions up to this one may be used
	broken   error    // why nothing is committed any more
}

// record is one object on its way to the disk.
type record struct {
	revision int64
	data     []byte // nil: delete
}

// place says where a record goes.
type place struct {
	resource object.Resource
	key      object.Key
}

// bytes is the place's key in its resource's bucket.
func (p place) bytes() []byte { return []byte(p.key.Namespace + "\x00" + p.key.Name) }

func openDisk(path string, noSync bool) (*disk, error) {
	d := &disk{path: path}
	b, err := openBolt(path, &bolt.Options{
		OpenFile: func(name string, flag int, mode os.FileMode) (f *os.File, err error) {
			d.file, err = os.OpenFile(name, flag, mode)
			return d.file, err
		},
		Timeout: lockTimeout,
		// The list of free pages is found again by a scan at Open, which
		// reads everything anyway.
		NoFreelistSync:  true,
		FreelistType:    bolt.FreelistMapType,
		InitialMmapSize: mmapSize,
		NoSync:          noSync,
		NoGrowSync:      noSync,
	})
	if err != nil {
		return nil, err
	}
	d.bolt = b
	b.AllocSize = allocSize
	err = b.Update(d.begin)
	if err == nil {
		var info os.FileInfo
		if info, err = d.file.Stat(); err == nil {
			_ = d.allocate(info.Size()) // may have holes; makeRoom tries again
		}
	}
	if err == nil && d.created && !noSync {
		err = syncFolder(filepath.Dir(path))
	}
	if err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return d, nil
}

// syncFolder makes the names of new files in a folder durable. (On ext4 they
// are with the file's own sync; POSIX does not promise it.)
func syncFolder(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// begin checks the format, finds the revision to start from, and reserves the
// first block.
func (d *disk) begin(tx *bolt.Tx) error {
	meta := tx.Bucket(metaBucket)
	if meta == nil {
		d.created = true
		return d.create(tx)
	}
	version, err := number(meta, formatKey)
	if err != nil {
		return err
	}
	if version > Format {
		return fmt.Errorf("it has format %d, and this program knows formats up to %d: %w", version, Format, ErrFormat)
	}
	if d.start, err = number(meta, revisionKey); err != nil {
		return err
	}
	d.reserved = d.start + block
	return putNumber(meta, revisionKey, d.reserved)
}

// create makes the buckets. An empty store has revision 1: 0 has a meaning of
// its own as a resourceVersion (Kubernetes: "any").
func (d *disk) create(tx *bolt.Tx) error {
	d.start, d.reserved = 1, 1+block
	if _, err := tx.CreateBucket(objectsBucket); err != nil {
		return err
	}
	meta, err := tx.CreateBucket(metaBucket)
	if err != nil {
		return err
	}
	return errors.Join(putNumber(meta, formatKey, Format), putNumber(meta, revisionKey, d.reserved))
}

func number(b *bolt.Bucket, key []byte) (int64, error) {
	v := b.Get(key)
	if len(v) != 8 {
		return 0, fmt.Errorf("damaged: %s has %d bytes instead of 8", key, len(v))
	}
	return int64(binary.BigEndian.Uint64(v)), nil
}

func putNumber(b *bolt.Bucket, key []byte, n int64) error {
	return b.Put(key, binary.BigEndian.AppendUint64(nil, uint64(n)))
}

// commit makes records durable, and reserves revisions up to a block beyond
// revision when few are left. After an error nothing of it is on disk, or the
// disk is broken and commits nothing any more.
func (d *disk) commit(records map[place]record, revision int64) (err error) {
	if d.broken != nil {
		return d.broken
	}
	// A page of the file that cannot be read is a fault in memory.
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if why := recover(); why != nil {
			d.faulted = true
			d.broken = fmt.Errorf("%w: %v", ErrBroken, why)
			err = d.broken
		}
	}()
	tx, err := d.bolt.Begin(true)
	if err != nil {
		return err
	}
	id := tx.ID()
	reserved := d.reserved
	if revision+block/2 > reserved {
		reserved = revision + block
	}
	grows, err := fill(tx, records, reserved)
	if err == nil {
		err = d.makeRoom(tx, records, grows)
	}
	if err != nil {
		return errors.Join(err, tx.Rollback())
	}
	if err := tx.Commit(); err != nil {
		return d.fail(err, id)
	}
	d.reserved = reserved
	return nil
}

// makeRoom takes from the file system what records may need and what is to stay spare
// then. Grows tells whether they make anything larger.
func (d *disk) makeRoom(tx *bolt.Tx, records map[place]record, grows bool) error {
	need, deletes := int64(0), true
	for _, r := range records {
		need += 2 * int64(len(r.data)) // with what stands beside it
		deletes = deletes && r.data == nil
	}
	switch {
	case grows:
		need += spareForUpdates
	case !deletes:
		need += spareForDeletes
	default:
		return nil
	}
	stats := d.bolt.Stats()
	free := int64(stats.FreePageN+stats.PendingPageN) * int64(d.bolt.Info().PageSize)
	missing := need - (d.size - tx.Size() + free)
	if missing <= 0 {
		return nil
	}
	err := d.allocate(max(missing, allocSize))
	if noSpace(err) && missing < allocSize {
		err = d.allocate(missing)
	}
	if noSpace(err) {
		return d.full(err)
	}
	return nil // where allocating is not possible, writes fail when their time comes
}

// allocate takes so many bytes more from the file system.
func (d *disk) allocate(n int64) error {
	err := unix.Fallocate(int(d.file.Fd()), unix.FALLOC_FL_KEEP_SIZE, d.size, n)
	if err == nil {
		d.size += n
	}
	return err
}

func (d *disk) full(err error) error {
	return fmt.Errorf("%w: free some on the file system of %s, and writes go on: %w", ErrFull, filepath.Dir(d.path), err)
}

// fill puts records into the buckets, and tells whether any is new or became larger.
func fill(tx *bolt.Tx, records map[place]record, reserved int64) (grows bool, err error) {
	if err := putNumber(tx.Bucket(metaBucket), revisionKey, reserved); err != nil {
		return false, err
	}
	const slack = 4 << 10 // by which a change of status may be larger
	objects := tx.Bucket(objectsBucket)
	for p, r := range records {
		b, err := objects.CreateBucketIfNotExists([]byte(p.resource.String()))
		if err != nil {
			return false, err
		}
		key := p.bytes()
		if r.data == nil {
			err = b.Delete(key)
		} else {
			before := b.Get(key)
			grows = grows || before == nil || len(r.data) > len(before)+slack
			err = b.Put(key, r.data)
		}
		if err != nil {
			return false, err
		}
	}
	return grows, nil
}

// fail judges a failed commit. A full disk took nothing, and may have room
// later. After other errors the kernel may hold as written what the disk does
// not have, so that a later success would prove nothing.
func (d *disk) fail(err error, id int) error {
	full := noSpace(err)
	landed := true
	if viewErr := d.bolt.View(func(tx *bolt.Tx) error {
		landed = tx.ID() >= id
		return nil
	}); viewErr != nil {
		err = errors.Join(err, viewErr)
	}
	if full && !landed {
		return d.full(err)
	}
	d.broken = fmt.Errorf("%w: %w", ErrBroken, err)
	if full {
		d.broken = fmt.Errorf("%w: %w", ErrFull, d.broken)
	}
	return d.broken
}

// noSpace recognises a full disk also where bbolt keeps only the text.
func noSpace(err error) bool {
	if err == nil {
		return false
	}
	for _, e := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG} {
		if errors.Is(err, e) || strings.Contains(err.Error(), e.Error()) {
			return true
		}
	}
	return false
}

// finish gives back the reserved revisions above revision, so that an orderly
// restart goes on where it stopped.
func (d *disk) finish(revision int64) error {
	if d.broken != nil {
		return nil
	}
	return d.bolt.Update(func(tx *bolt.Tx) error {
		return putNumber(tx.Bucket(metaBucket), revisionKey, revision)
	})
}

// copy writes the file as of the last commit.
func (d *disk) copy(w io.Writer) error {
	return d.bolt.View(func(tx *bolt.Tx) error {
		_, err := tx.WriteTo(w)
		return err
	})
}

// close closes the file. After a fault bolt may hold its own locks: the end of
// the process closes it then.
func (d *disk) close() error {
	if d.faulted {
		return nil
	}
	return d.bolt.Close()
}
