package image

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/seed38700745/pkg/cluster/cri"
)

// recipe is part of a built image's key in the cache: raise it when images are
// made differently.
const recipe = "1"

// The labels of built images.
const (
	labelSuite    = "pkg.internal/suite"
	labelPackages = "pkg.internal/packages" // "name=version ..."
)

// excluded are files of packages that no container needs.
var excluded = []string{"/usr/share/man/*", "/usr/share/doc/*", "/usr/share/info/*", "/usr/share/locale/*",
	"/usr/share/lintian/*", "/usr/share/bug/*"}

// ensureBuilt makes an image of Debian packages present. It is built only when
// neither the store nor the cache has it with the versions that the suite has
// now; refresh reads the suite's lists anew.
func (s *Store) ensureBuilt(ctx context.Context, record refRecord, d DebRef, over Overrides, refresh bool, report func(cri.ImageProgress)) (cri.Image, error) {
	base, packages, err := s.built(ctx, d, refresh, report)
	if err != nil {
		return cri.Image{}, err
	}
	img, err := override(base, over)
	if err != nil {
		return cri.Image{}, err
	}
	origin := "built from Debian packages " + list(packages, " ", ", ")
	if record.Origin != "" {
		origin += ", " + record.Origin
	}
	record.Origin = origin
	added, err := s.add(ctx, img, []refRecord{record}, report)
	if err != nil {
		return cri.Image{}, err
	}
	return added[0], nil
}

// Build puts the image of Debian packages that a reference names, or that stands
// in for it, into the cache, and returns its packages with their versions. No
// registry is asked, and the store is not changed.
func (s *Store) Build(ctx context.Context, reference string) (packages string, err error) {
	normal, err := Normalize(reference)
	if err != nil {
		return "", err
	}
	if sub, ok := s.config.Substitutes[normal]; ok {
		normal = sub.Image
	}
	d, err := ParseDebRef(normal)
	if err != nil {
		return "", err
	}
	_, found, err := s.built(ctx, d, false, func(cri.ImageProgress) {})
	if err != nil {
		return "", fmt.Errorf("image %s: %w", reference, err)
	}
	return list(found, "=", " "), nil
}

// built returns the image of a reference's packages from the cache, where it is
// put first if it is not there.
func (s *Store) built(ctx context.Context, d DebRef, refresh bool, report func(cri.ImageProgress)) (v1.Image, []candidate, error) {
	report(cri.ImageProgress{Stage: "building"})
	for _, program := range []string{"mmdebstrap", "apt-get"} {
		if _, err := exec.LookPath(program); err != nil {
			return nil, nil, fmt.Errorf("it is built from Debian packages, which needs the program %s: on Debian and Ubuntu, apt-get install mmdebstrap; on other systems, use a registry's image", program)
		}
	}
	a, err := s.openApt(ctx, d.Suite, refresh)
	if err != nil {
		return nil, nil, err
	}
	packages, err := a.choose(ctx, d)
	if err != nil {
		return nil, nil, err
	}
	img, err := s.cached(ctx, a, packages, report)
	return img, packages, err
}

// list joins names and versions.
func list(packages []candidate, between, after string) string {
	out := make([]string, len(packages))
	for i, p := range packages {
		out[i] = p.Name + between + p.Version
	}
	return strings.Join(out, after)
}

// cached returns the image of packages from the cache, building it first if it
// is not there. Processes that want the same image wait for each other.
func (s *Store) cached(ctx context.Context, a *apt, packages []candidate, report func(cri.ImageProgress)) (v1.Image, error) {
	sum := sha256.Sum256([]byte(strings.Join([]string{recipe, a.suite, a.arch, list(packages, "=", " ")}, "\n")))
	key := hex.EncodeToString(sum[:])
	dir := filepath.Join(s.config.Cache, "deb")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	unlock, err := lockFile(ctx, filepath.Join(dir, key+".lock"))
	if err != nil {
		return nil, err
	}
	defer unlock()
	place := filepath.Join(dir, key)
	if _, err := os.Stat(place); err == nil {
		return s.fromCache(place)
	}
	tmp := filepath.Join(dir, ".tmp-"+key) // under the lock; what an interrupted build left goes
	if err := os.RemoveAll(tmp); err != nil {
		return nil, err
	}
	if err := os.Mkdir(tmp, 0o755); err != nil {
		return nil, err
	}
	defer os.RemoveAll(tmp)
	begin := time.Now()
	img, err := s.build(ctx, a, packages, tmp, report)
	if err != nil {
		return nil, fmt.Errorf("build from Debian packages: %w", err)
	}
	made := filepath.Join(tmp, "layout")
	p, err := layout.Write(made, empty.Index)
	if err != nil {
		return nil, err
	}
	if err := p.AppendImage(img); err != nil {
		return nil, err
	}
	if err := os.Chmod(made, 0o755); err != nil {
		return nil, err
	}
	if err := os.Rename(made, place); err != nil {
		return nil, err
	}
	s.log.Info("built an image of Debian packages", "packages", list(packages, "=", " "), "took", time.Since(begin))
	return s.fromCache(place)
}

// fromCache opens the one image of a layout and, on the same file system, shares
// its blobs with the store instead of copying them.
func (s *Store) fromCache(dir string) (v1.Image, error) {
	img, err := firstImage(dir)
	if err != nil {
		return nil, err
	}
	layers, err := img.Layers()
	if err != nil {
		return nil, err
	}
	for _, l := range layers {
		h, err := l.Digest()
		if err != nil {
			return nil, err
		}
		_ = os.Link(filepath.Join(dir, "blobs", h.Algorithm, h.Hex), s.blob(h)) // else it is copied
	}
	return img, nil
}

func firstImage(dir string) (v1.Image, error) {
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		return nil, err
	}
	m, err := index.IndexManifest()
	if err != nil {
		return nil, err
	}
	if len(m.Manifests) != 1 {
		return nil, fmt.Errorf("%s holds %d images", dir, len(m.Manifests))
	}
	return index.Image(m.Manifests[0].Digest)
}

// build runs mmdebstrap and makes an image of one layer of what it writes.
func (s *Store) build(ctx context.Context, a *apt, packages []candidate, dir string, report func(cri.ImageProgress)) (v1.Image, error) {
	released := a.released()
	file := filepath.Join(dir, "layer.tar.gz")
	if err := s.bootstrap(ctx, a, packages, released, dir, file, report); err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromFile(file, tarball.WithMediaType(types.OCILayer))
	if err != nil {
		return nil, err
	}
	img, err := mutate.Append(mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON),
		mutate.Addendum{Layer: layer, History: v1.History{Created: v1.Time{Time: released},
			CreatedBy: "mmdebstrap " + a.suite + " " + list(packages, "=", " ")}})
	if err != nil {
		return nil, err
	}
	config, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Created = "linux", s.config.Arch, v1.Time{Time: released}
	config.Config.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	config.Config.Cmd = []string{"/bin/sh"}
	config.Config.Labels = map[string]string{labelSuite: a.suite, labelPackages: list(packages, "=", " ")}
	return mutate.ConfigFile(img, config)
}

// released is the newest date of the suite's lists, for times that do not depend
// on when an image is built.
func (a *apt) released() time.Time {
	var newest time.Time
	files, _ := filepath.Glob(filepath.Join(a.dir, "lists", "*Release"))
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(b)) {
			if v, ok := strings.CutPrefix(line, "Date: "); ok {
				if at, err := time.Parse(time.RFC1123, strings.TrimSpace(v)); err == nil && at.After(newest) {
					newest = at
				}
			}
		}
	}
	return newest.UTC()
}

// bootstrap runs mmdebstrap and writes the cleaned layer to file.
//
// Packages that depend on nothing, such as a static program, come alone, without
// their scripts being run. Others are installed on top of the essential packages,
// so that their scripts can make users and configuration.
func (s *Store) bootstrap(ctx context.Context, a *apt, packages []candidate, released time.Time, dir, file string, report func(cri.ImageProgress)) error {
	alone := true
	for _, p := range packages {
		alone = alone && p.standalone
	}
	variant := "essential"
	if alone {
		variant = "extract"
	}
	sources := filepath.Join(dir, "sources.list")
	if err := os.WriteFile(sources, []byte(strings.Join(a.lines, "\n")+"\n"), 0o644); err != nil {
		return err
	}
	args := []string{"--mode=root", "--variant=" + variant, "--format=tar", "--architectures=" + a.arch,
		"--include=" + list(packages, "=", ","),
		"--setup-hook=mkdir -p \"$1/var/lib/apt/lists\" && cp \"$PKG_APT_LISTS\"/*_* \"$1/var/lib/apt/lists/\"", "--skip=update"}
	for _, pattern := range excluded {
		args = append(args, "--dpkgopt=path-exclude="+pattern)
	}
	args = append(args, "--dpkgopt=path-include=/usr/share/doc/*/copyright", a.suite, "-", sources)
	cmd := exec.CommandContext(ctx, "mmdebstrap", args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "TMPDIR="+dir, "PKG_APT_LISTS="+filepath.Join(a.dir, "lists"),
		fmt.Sprintf("SOURCE_DATE_EPOCH=%d", released.Unix()))
	// What it mounts is seen by it alone, and goes with it however it ends.
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // it cleans up
	cmd.WaitDelay = 20 * time.Second
	talk := &talkWriter{report: report}
	cmd.Stderr = talk
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	err = writeLayer(out, file, dir, released)
	_, _ = io.Copy(io.Discard, out) // lets it end
	if werr := cmd.Wait(); werr != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return fmt.Errorf("mmdebstrap: %w: %s", werr, complaint(talk.text.String()))
	}
	return err
}

// talkWriter keeps mmdebstrap's talk and reports that it goes on.
type talkWriter struct {
	report func(cri.ImageProgress)
	text   bytes.Buffer
	steps  int64
}

// buildSteps is about how often mmdebstrap tells what it does.
const buildSteps = 12

// Write implements io.Writer.
func (w *talkWriter) Write(b []byte) (int, error) {
	if n := int64(bytes.Count(b, []byte("I: "))); n > 0 {
		w.steps = min(w.steps+n, buildSteps)
		w.report(cri.ImageProgress{Stage: "building", Done: w.steps, Total: buildSteps})
	}
	return w.text.Write(b)
}

func writeLayer(tar io.Reader, file, dir string, released time.Time) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	z, err := gzip.NewWriterLevel(f, gzip.BestSpeed)
	if err == nil {
		err = cleanLayer(tar, z, dir, released)
	}
	if err == nil {
		err = z.Close()
	}
	return errors.Join(err, f.Close())
}

// override changes an image's configuration.
func override(img v1.Image, o Overrides) (v1.Image, error) {
	config, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	c := &config.Config
	if o.Entrypoint != nil {
		c.Entrypoint, c.Cmd = o.Entrypoint, nil
	}
	if o.Cmd != nil {
		c.Cmd = o.Cmd
	}
	c.Env = append(c.Env, o.Env...)
	for field, value := range map[*string]string{&c.User: o.User, &c.WorkingDir: o.WorkingDir, &c.StopSignal: o.StopSignal} {
		if value != "" {
			*field = value
		}
	}
	if len(o.ExposedPorts) > 0 {
		c.ExposedPorts = maps.Clone(c.ExposedPorts)
		if c.ExposedPorts == nil {
			c.ExposedPorts = map[string]struct{}{}
		}
		for _, p := range o.ExposedPorts {
			c.ExposedPorts[p] = struct{}{}
		}
	}
	return mutate.ConfigFile(img, config)
}
