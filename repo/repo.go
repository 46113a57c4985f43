// Package repo turns the name of a chart into the complete chart: a folder, an
// archive, a URL, or repository/name, with the charts that it depends on.
//
// A [Resolver] knows the repositories of the user's configuration (Helm's
// repositories.yaml), those of the system, and one built into the program, which is
// called bundled/ always and stable/ until somebody adds a repository of that name.
// Indexes are kept in a cache folder and refreshed by [Resolver.Update]; package
// localindex makes them quick to read. What is fetched is kept there by its digest, and
// suffices for a resolver that is offline. Policies say which charts have to be signed.
// Configuration and cache are written atomically, the former under a file lock, so
// several programs may work on them at once.
//
// With the tag front the package has neither network nor signatures and writes nothing:
// see front.go.
package repo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/seed38700745/pkg/chart"
	"github.com/seed38700745/pkg/repo/localindex"
)

// Names of the built-in repository.
const (
	BundledName = "bundled"
	StableName  = "stable"
)

// OCIScheme begins the references of charts in registries:
// oci://HOST/PATH/NAME[:VERSION][@DIGEST].
const OCIScheme = "oci://"

// IsOCI tells whether a reference names a chart in a registry.
func IsOCI(ref string) bool { return strings.HasPrefix(ref, OCIScheme) }

// ErrNotFound is wrapped when a chart, version or repository does not exist.
var ErrNotFound = errors.New("not found")

// Resolver finds charts; it reads the index of a repository that is not configured
// once. Its fields are not changed after the first use; it may be
// used concurrently.
type Resolver struct {
	ConfigFile   string // the user's repositories.yaml
	SystemConfig string // the system's, read only; may be ""
	CacheDir     string // indexes and archives
	Bundled      fs.FS  // one folder for each built-in chart; nil for none
	// RegistryConfig is the file with the credentials for registries, in Docker's
	// format; may be "".
	RegistryConfig string
	// Policies are files that say which charts have to be signed; each must be content.
	Policies []string
	// CheckProvenance checks an archive's provenance file with a file of OpenPGP keys,
	// for policies.
	CheckProvenance func(keyring string, a *Archive) error
	// UserAgent is sent with every request.
	UserAgent string
	// Offline forbids every use of the network: what is not cached is an
	// [OfflineError].
	Offline bool
	// Passing keeps what is fetched out of the cache: it is on its way to elsewhere.
	Passing bool
	// Patience is how long a server may send nothing in the middle of an answer; 0 for a
	// minute.
	Patience time.Duration
	// Progress, if set, is told how many bytes of an answer were read, of how many (-1
	// when the server does not say). It is called by several goroutines.
	Progress func(url string, read, size int64)

	refreshed sync.Map // URL and credentials -> func() error: updates of unlisted repositories
	clients   sync.Map // Access without credentials -> *http.Client
	sweep     sync.Once
}

// Request asks for a chart.
type Request struct {
	Ref     string // path, .tgz, URL, or repository/name; just a name with RepoURL
	Version string // exact version or constraint; "" for the newest
	Devel   bool   // prereleases count as well
	RepoURL string // a repository that is not configured
	Access  Access // for RepoURL and for URLs

	// Values are what the chart will be rendered with; nil if that is open. With them it
	// may come without the files of subcharts that they turn off, see [chart.LoadFor].
	Values map[string]any

	// Digest pins the chart, "sha256:" and hex: the manifest's in a registry, the
	// archive's elsewhere; "" for none.
	Digest string

	// Provenance asks for the .prov file, too; without one pulling fails.
	Provenance bool
	// Verify, if set, is asked about every archive before it is unpacked; the archive
	// has its provenance.
	Verify func(*Archive) error
}

// Resolved is a chart and where it came from.
type Resolved struct {
	Chart *chart.Chart
	// Source names the chart so that it can be found again later, without version: an
	// absolute path, a URL, or repository/name.
	Source string
	// RepoURL is the request's, made part of the source by who stores it.
	RepoURL string
	// Dir is the chart's folder when it was loaded from one, else "".
	Dir string
	// Note is a line the user should see, such as what stable/ means; usually "".
	Note string
}

// Resolve finds and loads a chart; its dependencies may still be missing, see
// [Resolver.Complete].
func (r *Resolver) Resolve(ctx context.Context, req Request) (*Resolved, error) {
	req.Ref = strings.TrimSpace(req.Ref)
	req.Version = strings.TrimSpace(req.Version)
	req.Provenance = req.Provenance || req.Verify != nil
	if req.RepoURL == "" {
		if info, err := os.Stat(req.Ref); err == nil {
			return resolvePath(req, info.IsDir())
		}
		if filepath.IsAbs(req.Ref) || strings.HasPrefix(req.Ref, ".") {
			return nil, fmt.Errorf("path %q not found", req.Ref)
		}
		if repoName, name, ok := strings.Cut(req.Ref, "/"); ok && !strings.Contains(req.Ref, "://") {
			builtIn, err := r.isBuiltIn(repoName)
			if err != nil {
				return nil, err
			}
			if builtIn && req.Verify == nil {
				return r.resolveBundled(repoName, name, req)
			}
		}
	}
	archive, err := r.Pull(ctx, req)
	if err != nil {
		return nil, err
	}
	c, err := chart.LoadArchiveFor(bytes.NewReader(archive.Data), req.Values)
	if err != nil {
		return nil, fmt.Errorf("chart %s: %w", req.Ref, err)
	}
	return &Resolved{Chart: c, Source: req.Ref, RepoURL: req.RepoURL}, nil
}

func resolvePath(req Request, isDir bool) (*Resolved, error) {
	name := req.Ref
	if req.Verify != nil {
		a, err := ReadArchive(name)
		if err == nil {
			err = req.Verify(a)
		}
		if err != nil {
			return nil, err
		}
	}
	c, err := chart.LoadFor(name, req.Values)
	if err != nil {
		return nil, err
	}
	abs, err := filepath.Abs(name)
	if err != nil {
		return nil, err
	}
	out := &Resolved{Chart: c, Source: abs}
	if isDir {
		out.Dir = abs
	}
	return out, nil
}

// Pull finds a chart and returns its archive. A chart of the built-in repository is
// packed on the spot.
func (r *Resolver) Pull(ctx context.Context, req Request) (*Archive, error) {
	req.Provenance = req.Provenance || req.Verify != nil
	a, err := r.pull(ctx, req)
	if err == nil && len(a.origins) > 0 {
		err = r.checkPolicy(ctx, a, req)
	}
	if err == nil && req.Verify != nil {
		err = req.Verify(a)
	}
	if err != nil {
		return nil, err
	}
	return a, nil
}

func (r *Resolver) pull(ctx context.Context, req Request) (*Archive, error) {
	if req.RepoURL == "" && IsOCI(req.Ref) {
		return r.pullOCI(ctx, req)
	}
	ref, err := r.locate(ctx, req)
	if err != nil {
		return nil, err
	}
	if ref.bundled != nil {
		if req.Provenance {
			return nil, noProvenance{fmt.Errorf("chart %s: the charts that come with pkg are part of the program and have no signatures", req.Ref)}
		}
		return pack(ref.bundled)
	}
	if IsOCI(ref.url) { // a registry under a name, or an index that leads to one
		a, err := r.pullOCI(ctx, Request{Ref: ref.url, Version: ref.version, Devel: req.Devel, Access: ref.access, Provenance: req.Provenance, Digest: req.Digest})
		if err != nil {
			return nil, err
		}
		a.origins = append(a.origins, ref.chart, ref.origin)
		return a, nil
	}
	ref.provenance = req.Provenance
	a, err := r.download(ctx, ref)
	if err != nil {
		return nil, err
	}
	if got := "sha256:" + a.Digest(); req.Digest != "" && got != req.Digest {
		return nil, &PinError{Ref: req.Ref, Want: req.Digest, Got: got}
	}
	return a, nil
}

// located is where a chart's archive is.
type located struct {
	chart   string // how the request named it
	origin  string // its repository's URL and its name there
	version string // "" when it is not known yet
	url     string
	digest  string // sha256 in hex, "" when the index does not say
	access  Access
	bundled *chart.Chart
	// provenance asks for the .prov file.
	provenance bool
}

func (r *Resolver) locate(ctx context.Context, req Request) (located, error) {
	if req.RepoURL != "" {
		return r.locateUnlisted(ctx, req)
	}
	if strings.Contains(req.Ref, "://") {
		access, err := r.accessOf(req.Ref, req.Access)
		return located{chart: req.Ref, url: req.Ref, access: access}, err
	}
	repoName, name, ok := strings.Cut(req.Ref, "/")
	if !ok {
		return located{}, r.noRepository(req.Ref)
	}
	builtIn, err := r.isBuiltIn(repoName)
	if err != nil {
		return located{}, err
	}
	if builtIn {
		res, err := r.resolveBundled(repoName, name, req)
		if err != nil {
			return located{}, err
		}
		return located{bundled: res.Chart}, nil
	}
	e, err := r.entry(repoName)
	if err != nil {
		return located{}, r.unknownRepository(repoName, name)
	}
	access := e.Access().or(req.Access)
	if IsOCI(e.URL) {
		return located{chart: req.Ref, version: req.Version, url: strings.TrimSuffix(e.URL, "/") + "/" + name, access: access}, nil // its URL is its origin
	}
	return r.locateIn(ctx, e, access, name, "repository "+repoName+" ("+redacted(e.URL)+")", req)
}

// locateIn finds a chart in a repository's index.
func (r *Resolver) locateIn(ctx context.Context, e *Repository, access Access, name, where string, req Request) (located, error) {
	list, err := r.versionsIn(ctx, e, name, where, req)
	if err != nil {
		return located{}, err
	}
	at, err := choose(len(list), func(i int) string { return list[i].Version }, req.Version, req.Devel)
	var missing *versionError
	if errors.As(err, &missing) {
		return located{}, r.notFound(req, where, nil, err)
	}
	if err != nil {
		return located{}, fmt.Errorf("chart %s: %w", req.Ref, err)
	}
	found := list[at]
	if found.URL == "" {
		return located{}, fmt.Errorf("chart %s-%s: the index gives no download URL", name, found.Version)
	}
	target, err := resolveURL(e.URL, found.URL)
	if err != nil {
		return located{}, err
	}
	return located{
		chart: req.Ref, origin: strings.TrimSuffix(e.URL, "/") + "/" + name, version: found.Version, url: target, digest: strings.TrimPrefix(found.Digest, "sha256:"),
		access: access.forTarget(e.URL, target),
	}, nil
}

// versionsIn returns what a repository's index has of a chart, newest first.
func (r *Resolver) versionsIn(ctx context.Context, e *Repository, name, where string, req Request) ([]localindex.Entry, error) {
	var list []localindex.Entry
	var names []string
	err := r.withIndex(ctx, e, func(x *localindex.Index) error {
		var err error
		if list, err = x.Chart(name); err == nil && len(list) == 0 {
			names = x.Names()
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, r.notFound(req, where, names, fmt.Errorf("chart %s: %w", name, ErrNotFound))
	}
	return list, nil
}

// resolveURL resolves ref against a repository's URL, whose path is a folder.
func resolveURL(base, ref string) (string, error) {
	u, err := url.Parse(ref)
	if err != nil {
		return "", fmt.Errorf("bad URL %q: %w", ref, err)
	}
	if u.IsAbs() {
		return ref, nil
	}
	b, err := url.Parse(base)
	if err != nil {
		return "", fmt.Errorf("bad URL %q: %w", base, err)
	}
	b.Path = strings.TrimSuffix(b.Path, "/") + "/"
	b.RawPath = ""
	query := b.RawQuery
	out := b.ResolveReference(u)
	if out.RawQuery == "" {
		out.RawQuery = query
	}
	return out.String(), nil
}

func sameHost(a, b string) bool {
	ua, errA := url.Parse(a)
	ub, errB := url.Parse(b)
	return errA == nil && errB == nil && ua.Scheme == ub.Scheme && ua.Host == ub.Host
}

// NotFoundError says which chart is missing, where it was looked for, and what is
// near. It wraps [ErrNotFound].
type NotFoundError struct {
	What    string   // "chart stable/mysqll"
	Where   []string // what was searched
	Nearest []string // references that exist
	Reason  string   // "version 9.9 not found"; "" when the name is missing
	Next    string   // a command to try
}

func (e *NotFoundError) Error() string {
	text := e.What + ": "
	if e.Reason != "" {
		text += e.Reason
	} else {
		text += "not found"
	}
	if len(e.Where) > 0 {
		text += " in " + strings.Join(e.Where, ", ")
	}
	if len(e.Nearest) > 0 {
		text += "; nearest: " + strings.Join(e.Nearest, ", ")
	}
	return text
}

func (e *NotFoundError) Unwrap() error { return ErrNotFound }

// Hint returns the command to try next.
func (e *NotFoundError) Hint() string { return e.Next }
