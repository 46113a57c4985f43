// Package archive is the file that a cluster's backup is: a tar archive under
// zstd, which `tar --zstd -tf` lists, too. Its entries, in this order:
//
//	backup.json            Header: what this is, of which cluster, of when
//	instance.json, pki/..., store/pkg.db ...
//	                       files of the data folder, by their paths there
//	volumes/<folder>/...   the data of volumes, with owners, modes, times,
//	                       links and extended attributes
//	manifest.json          Manifest: every entry above with its checksum
//	manifest.json.sha256   the manifest's checksum
//
// A Writer that cannot finish ends the archive with an entry "failed" instead,
// which holds the reason. So an archive is either complete or refused: a Reader
// reports io.EOF only after it has seen every entry, with the content and the
// attributes that the manifest says, and nothing behind it.
//
// Archives are foreign bytes to a Reader. Paths that leave the folder they are
// extracted to are refused, and no link is followed out of it.
package archive

import (
	"archive/tar"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"
)

// Format is the version of the layout that this package writes, and the newest
// that it reads.
const Format = 1

// The entries that are not files of the data folder.
const (
	headerName   = "backup.json"
	manifestName = "manifest.json"
	sumName      = manifestName + ".sha256"
	failedName   = "failed"
)

// Path is where a cluster's API answers POST requests with an archive;
// "?volumes=true" asks for one with the data of volumes.
const Path = "/pkg.internal/backup"

// VolumesDir is the folder of the entries that are volumes' data.
const VolumesDir = "volumes"

// Header is the first entry.
type Header struct {
	Format int `json:"format"`
	// StoreFormat is the version of the store's layout.
	StoreFormat int       `json:"storeFormat"`
	Time        time.Time `json:"time"`
	Version     string    `json:"version"` // of pkg
	Cluster     string    `json:"cluster"` // its id
	Home        string    `json:"home"`    // its data folder
	Node        string    `json:"node"`    // the name of its node
	Volumes     bool      `json:"volumes"` // volumes' data is in it
}

// Manifest is the last entry but one.
type Manifest struct {
	Entries []Entry  `json:"entries"`
	Volumes []Volume `json:"volumes,omitempty"`
	// Skipped are persistent volumes whose data is not in the archive.
	Skipped []Skipped `json:"skipped,omitempty"`
}

// Entry is one file, folder or link as the archive must have it.
type Entry struct {
	Path   string      `json:"path"`
	Mode   fs.FileMode `json:"mode"` // as Go has it: type and permissions
	UID    int         `json:"uid"`
	GID    int         `json:"gid"`
	Size   int64       `json:"size,omitempty"`
	Link   string      `json:"link,omitempty"`   // of a symbolic or hard link
	SHA256 string      `json:"sha256,omitempty"` // of a file's content
}

// Volume says how a volume's data was copied.
type Volume struct {
	Name   string `json:"name"`  // of the PersistentVolume
	Claim  string `json:"claim"` // namespace/name; empty when none has it
	Folder string `json:"folder"`
	// How tells what made the copy consistent, in words.
	How   string `json:"how"`
	Files int    `json:"files"`
	Bytes int64  `json:"bytes"`
}

// Skipped is a persistent volume that is not in the archive.
type Skipped struct {
	Name  string `json:"name"`
	Claim string `json:"claim"`
	Why   string `json:"why"`
}

// Errors that callers branch on; test with errors.Is.
var (
	// ErrNoBackup: the file is something else.
	ErrNoBackup = errors.New("it is no backup of a cluster")
	// ErrNewer: a later version of pkg wrote it.
	ErrNewer = errors.New("it was written by a newer version of pkg")
	// ErrDamaged: it is cut off, or not what its checksums say.
	ErrDamaged = errors.New("it is damaged")
	// ErrFailed: its writer could not finish it, and the text says why.
	ErrFailed = errors.New("the backup failed")
)

func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrDamaged, fmt.Errorf(format, args...))
}

// entry is what the manifest says of a tar header; sum is the content's digest.
func entry(h *tar.Header, sum []byte) Entry {
	e := Entry{Path: strings.TrimSuffix(h.Name, "/"), Mode: h.FileInfo().Mode(), UID: h.Uid, GID: h.Gid, Link: h.Linkname}
	if h.Typeflag == tar.TypeReg {
		e.Size, e.SHA256 = h.Size, hex.EncodeToString(sum)
	}
	return e
}

// local tells whether a path stays below the folder that it is joined to, and
// is written in the one way that Writer writes it.
func local(p string) bool {
	return p != "." && fs.ValidPath(p) && p == path.Clean(p) && !strings.Contains(p, "\x00")
}
