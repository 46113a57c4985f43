package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// existing is a folder, or the nearest one above it that exists.
func existing(path string) string {
	for {
		if _, err := os.Stat(path); err == nil || filepath.Dir(path) == path {
			return path
		}
		path = filepath.Dir(path)
	}
}

// How little space is too little: the node evicts pods below a twentieth.
const (
	littleSpace = 5 << 30 // bytes
	noSpace     = 1 << 30
	littleShare = 0.1
)

func checkSpace(s Subject) Finding {
	f := Finding{Name: "disk space", Grade: OK}
	dir := existing(s.Home)
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return Finding{Name: f.Name, Grade: Warning, Detail: dir + ": " + err.Error()}
	}
	free, share := int64(st.Bavail)*st.Bsize, float64(st.Bavail)/float64(max(st.Blocks, 1))
	f.Detail = fmt.Sprintf("%.1f GiB free, %.0f %%, where %s is", float64(free)/(1<<30), share*100, s.Home)
	inodes := float64(st.Ffree) / float64(max(st.Files, 1))
	switch {
	case free < noSpace:
		f.Grade, f.Remedy = Failed, "free some, or choose another folder with PKG_HOME; pkg image prune"
	case free < littleSpace || share < littleShare:
		f.Grade, f.Remedy = Warning, "pods are evicted when less than 10 % are free; pkg image prune"
	case st.Files > 0 && inodes < littleShare:
		f.Grade, f.Detail, f.Remedy = Warning, f.Detail+fmt.Sprintf("; inodes %.0f %%", inodes*100), "remove files, or choose another file system"
	}
	return f
}

// How a disk is measured: the median of syncTries small durable writes; every change
// in the cluster waits for one such write.
const (
	syncTries = 9
	slowSync  = 25 * time.Millisecond
)

func checkSync(s Subject) Finding {
	f := Finding{Name: "disk speed", Grade: OK}
	took, err := syncTime(existing(s.Home))
	switch {
	case errors.Is(err, fs.ErrPermission):
		f.Detail = "not measured: needs the right to write in " + s.Home
	case err != nil:
		f.Grade, f.Detail = Failed, err.Error()
		f.Remedy = "the data folder must be writable"
	default:
		f.Detail = fmt.Sprintf("a durable write takes %s", took.Round(10*time.Microsecond))
		if took > slowSync {
			f.Grade, f.Remedy = Warning, "slow disk: every change waits for it; a local SSD is better than a network or USB disk"
		}
	}
	return f
}

// syncTime is the median time of writing a page durably in a folder.
func syncTime(dir string) (_ time.Duration, err error) {
	file, err := os.CreateTemp(dir, ".pkg-check")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, file.Close(), os.Remove(file.Name())) }()
	page := make([]byte, 4096)
	var all []time.Duration
	for range syncTries {
		begun := time.Now()
		if _, err := file.WriteAt(page, 0); err != nil {
			return 0, err
		}
		if err := file.Sync(); err != nil {
			return 0, err
		}
		all = append(all, time.Since(begun))
	}
	slices.Sort(all)
	return all[len(all)/2], nil
}

// sane is a time before this program was made: certificates of a clock behind it
// would not be valid yet.
func sane() time.Time { return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC) }

func checkClock() Finding {
	f := Finding{Name: "clock", Grade: OK, Detail: "synchronised"}
	if now := time.Now(); now.Before(sane()) {
		return Finding{Name: f.Name, Grade: Failed, Detail: "it is said to be " + now.UTC().Format(time.RFC3339) + ": certificates would not be valid", Remedy: "set the clock: timedatectl set-ntp true"}
	}
	var x unix.Timex
	if _, err := unix.Adjtimex(&x); err != nil {
		f.Detail = "plausible"
		return f
	}
	if x.Status&unix.STA_UNSYNC != 0 {
		f.Grade, f.Detail, f.Remedy = Warning, "plausible, but not synchronised", "timedatectl set-ntp true, or install chrony"
	}
	return f
}
