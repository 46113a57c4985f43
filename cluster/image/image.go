// Package image keeps the node's images: pulled from registries, loaded from
// archives, or built from Debian packages.
//
// A reference resolves to an image of the store; to what its registry gives;
// and where no registry answers, to the substitute that the configuration
// declares for exactly that reference. References under deb.internal name images
// made of Debian packages directly (type DebRef).
//
//	Root/blobs/sha256/<hex>       manifests, configurations and compressed layers
//	Root/images/<hex>.json        an image, by the digest of its configuration
//	Root/refs/<hex>.json          a name, by its sha256
//	Root/layers/<hex>/fs          an unpacked layer, by the chain of diff IDs up
//	                              to it, in overlayfs' form
//	Cache/...                     built images, shared by all stores of a machine
//
// What is there is complete: files and folders are written beside their place,
// synced and renamed. Layers are shared by the images that have them, and go
// with the last of these.
package image

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/seed38700745/pkg/cluster/cri"
)

// Errors that callers tell apart. Kubernetes' reasons for them are
// InvalidImageName and ErrImageNeverPull.
var (
	ErrInvalidName = cri.ErrInvalidImageName
	ErrNeverPull   = cri.ErrImageNeverPull
	ErrNotFound    = errors.New("no such image")
)

// defaultConnectTimeout is how long a registry may take to accept a connection.
const defaultConnectTimeout = 3 * time.Second

// Config says where images are kept and come from. Only Root is required.
type Config struct {
	Root  string
	Cache string // built images; "cache" below Root if empty
	// Substitutes are declared by normalised reference.
	Substitutes    map[string]Substitute
	NoSubstitution bool
	// Registries is the file that says how registries are reached, see package
	// registries. DockerConfigs are files of Docker's format with credentials for
	// them. They need not exist and are read at each pull; a pod's own credentials
	// are preferred to those of all files.
	Registries    string
	DockerConfigs []string
	// Proxy chooses the proxy of a request; the environment's if nil.
	Proxy func(*http.Request) (*url.URL, error)
	// ConnectTimeout bounds a registry's connection; 3 s if 0.
	ConnectTimeout time.Duration
	// AptSources are lines of apt's one-line format that packages come from;
	// those of this machine if empty.
	AptSources []string
	Arch       string // Go's name of the architecture; this program's if empty
	Logger     *slog.Logger
}

// Substitute is a deb.internal image that stands for a registry's.
type Substitute struct {
	Image  string // "deb.internal/bookworm/mariadb-server:10.11"
	Reason string // one clause, for the user
	// Config replaces the fields of the built image's configuration that are
	// set, except Env, which adds to it.
	Config Overrides
}

// Overrides are fields of an image's configuration.
type Overrides struct {
	Entrypoint, Cmd, Env []string
	User, WorkingDir     string
	StopSignal           string
	ExposedPorts         []string // "80/tcp"
}

// Store is the node's images. Its methods may be called at once.
type Store struct {
	config  Config
	log     *slog.Logger
	flights flights

	mu     sync.RWMutex
	names  map[string]refRecord   // guarded by mu; by normalised name
	images map[string]imageRecord // guarded by mu; by ID

	// adding is read-locked while an image is being added, whose blobs and
	// layers have no record yet, and locked to remove what has none.
	adding sync.RWMutex
}

// refRecord is a name's file.
type refRecord struct {
	Name   string
	ID     string
	Digest string // of the manifest in the registry, or empty
	Origin string
	At     time.Time
}

// imageRecord is an image's file.
type imageRecord struct {
	ID       string
	Manifest string   // digest of the manifest's blob
	Blobs    []string // digests of all its blobs, the manifest included
	Layers   []string // names of the unpacked layers, lowest first
	Size     int64    // bytes of the unpacked layers
	Config   cri.ImageConfig
}

// New opens a store, making its folders.
func New(c Config) (*Store, error) {
	if c.Cache == "" {
		c.Cache = filepath.Join(c.Root, "cache")
	}
	if c.ConnectTimeout == 0 {
		c.ConnectTimeout = defaultConnectTimeout
	}
	if c.Proxy == nil {
		c.Proxy = http.ProxyFromEnvironment
	}
	if c.Arch == "" {
		c.Arch = runtime.GOARCH
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Store{config: c, log: c.Logger, names: map[string]refRecord{}, images: map[string]imageRecord{}}
	s.flights.running = map[string]*flight{}
	for _, dir := range []string{s.path("blobs", "sha256"), s.path("images"), s.path("refs"), s.path("layers")} {
		if err := os.MkdirAll(dir, 0o711); err != nil {
			return nil, fmt.Errorf("images: %w", err)
		}
	}
	if err := s.load(); err != nil {
		return nil, fmt.Errorf("images: %w", err)
	}
	return s, nil
}

func (s *Store) path(elem ...string) string {
	return filepath.Join(append([]string{s.config.Root}, elem...)...)
}

// load reads the records. An image with a layer missing counts as absent, and
// is fetched again when it is wanted.
func (s *Store) load() error {
	err := eachRecord(s.path("images"), func(r imageRecord) {
		for _, l := range r.Layers {
			if _, err := os.Stat(s.layerDir(l)); err != nil {
				s.log.Warn("an image lacks a layer and is ignored", "image", r.ID, "error", err)
				return
			}
		}
		s.images[r.ID] = r
	}, s.log)
	if err != nil {
		return err
	}
	return eachRecord(s.path("refs"), func(r refRecord) {
		if _, ok := s.images[r.ID]; ok {
			s.names[r.Name] = r
		}
	}, s.log)
}

// eachRecord reads the JSON files of a folder; unreadable ones are passed over.
func eachRecord[T any](dir string, f func(T), log *slog.Logger) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".json") {
			_ = os.Remove(filepath.Join(dir, e.Name())) // a write that was cut short
			continue
		}
		var r T
		if err := readJSON(filepath.Join(dir, e.Name()), &r); err != nil {
			log.Warn("unreadable image record", "file", e.Name(), "error", err)
			continue
		}
		f(r)
	}
	return nil
}

// layerDir is an unpacked layer's folder.
func (s *Store) layerDir(chain string) string { return s.path("layers", chain, "fs") }

// describe makes the agent's view of a name's image.
func (s *Store) describe(r refRecord, i imageRecord) cri.Image {
	out := cri.Image{ID: i.ID, Name: r.Name, Digest: r.Digest, Size: i.Size, Config: i.Config, Origin: r.Origin}
	for _, l := range i.Layers {
		out.Layers = append(out.Layers, s.layerDir(l))
	}
	return out
}

// Present returns a local image without asking anybody. A name may be a
// reference or an image's ID.
func (s *Store) Present(name string) (cri.Image, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if i, ok := s.images[name]; ok {
		return s.describe(refRecord{Name: name}, i), true
	}
	normal, err := Normalize(name)
	if err != nil {
		return cri.Image{}, false
	}
	if r, ok := s.names[normal]; ok {
		return s.describe(r, s.images[r.ID]), true
	}
	// A digest that came under another name's tag.
	for _, r := range s.names {
		if r.Digest == normal {
			r.Name = normal
			return s.describe(r, s.images[r.ID]), true
		}
	}
	return cri.Image{}, false
}

// List returns all images by name; one with several names comes several times.
func (s *Store) List() ([]cri.Image, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	out := make([]cri.Image, 0, len(s.names))
	for _, r := range s.names {
		out = append(out, s.describe(r, s.images[r.ID]))
	}
	slices.SortFunc(out, func(a, b cri.Image) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// put records a name for an image that is in the store.
func (s *Store) put(r refRecord, i imageRecord) (cri.Image, error) {
	r.ID, r.At = i.ID, time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := writeJSON(s.path("images", hexOf(i.ID)+".json"), i); err != nil {
		return cri.Image{}, err
	}
	s.images[i.ID] = i
	if err := s.keepMoved(r); err != nil {
		return cri.Image{}, err
	}
	if err := writeJSON(s.refFile(r.Name), r); err != nil {
		return cri.Image{}, err
	}
	s.names[r.Name] = r
	return s.describe(r, i), nil
}

// keepMoved keeps the image that a name stood for until now under its digest, or
// its ID if it has none: containers may run it, and pods be rolled back to it.
// s.mu is held.
func (s *Store) keepMoved(r refRecord) error {
	old, ok := s.names[r.Name]
	if !ok || old.ID == r.ID || old.Digest == r.Name {
		return nil
	}
	old.Name = keptName(old)
	if err := writeJSON(s.refFile(old.Name), old); err != nil {
		return err
	}
	s.names[old.Name] = old
	return nil
}

// keptName is what keepMoved calls an image.
func keptName(r refRecord) string { return cmp.Or(r.Digest, r.ID) }

// Remove takes a name away, or all names of an ID, and the image with its last
// name.
func (s *Store) Remove(name string) error {
	normal, err := Normalize(name)
	if err != nil && !strings.HasPrefix(name, "sha256:") {
		return err
	}
	s.mu.Lock()
	var gone []string
	for n, r := range s.names {
		if n == normal || r.ID == name {
			gone = append(gone, n)
		}
	}
	err = s.forget(gone)
	s.mu.Unlock()
	if err == nil && len(gone) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return fmt.Errorf("remove image %s: %w", name, err)
	}
	_, err = s.collect()
	return err
}

// Prune removes images that keep does not name, by ID.
func (s *Store) Prune(keep func(id string) bool) (removed []string, freed int64, err error) {
	s.mu.Lock()
	for n, r := range s.names {
		if !keep(r.ID) {
			removed = append(removed, n)
		}
	}
	slices.Sort(removed)
	err = s.forget(removed)
	s.mu.Unlock()
	if err == nil {
		freed, err = s.collect()
	}
	if err != nil {
		err = fmt.Errorf("prune images: %w", err)
	}
	return removed, freed, err
}

// Free removes the images ids, one after the other, until so many bytes are
// free or all are gone. It returns the names that went.
func (s *Store) Free(ids []string, bytes int64) (removed []string, freed int64, err error) {
	for _, id := range ids {
		if freed >= bytes {
			break
		}
		gone, n, err := s.Prune(func(other string) bool { return other != id })
		removed, freed = append(removed, gone...), freed+n
		if err != nil {
			return removed, freed, err
		}
	}
	return removed, freed, nil
}

// forget removes names; s.mu is held.
func (s *Store) forget(names []string) error {
	for _, n := range names {
		if err := os.Remove(s.refFile(n)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		delete(s.names, n)
	}
	return nil
}

// collect removes images without a name, and layers and blobs without an image.
// It waits for pulls under way, whose layers have no image yet.
func (s *Store) collect() (freed int64, err error) {
	s.adding.Lock()
	defer s.adding.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	used := map[string]bool{}
	for _, r := range s.names {
		used[r.ID] = true
	}
	inUse := map[string]bool{}
	for id, i := range s.images {
		if !used[id] {
			if err := os.Remove(s.path("images", hexOf(id)+".json")); err != nil {
				return freed, err
			}
			delete(s.images, id)
			continue
		}
		for _, name := range slices.Concat(i.Blobs, i.Layers) {
			inUse[hexOf(name)] = true
		}
	}
	for _, dir := range []string{s.path("layers"), s.path("blobs", "sha256")} {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return freed, err
		}
		for _, e := range entries {
			if inUse[e.Name()] {
				continue
			}
			path := filepath.Join(dir, e.Name())
			freed += diskUse(path)
			if err := os.RemoveAll(path); err != nil {
				return freed, err
			}
		}
	}
	return freed, nil
}
