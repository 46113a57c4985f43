//go:build !front

package repo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/seed38700745/pkg/chart"
	"github.com/seed38700745/pkg/chart/semver"
)

// Media types of charts in registries (Helm's).
const (
	mediaConfig     types.MediaType = "application/vnd.cncf.helm.config.v1+json"
	mediaChart      types.MediaType = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
	mediaOldChart   types.MediaType = "application/tar+gzip"
	mediaProvenance types.MediaType = "application/vnd.cncf.helm.chart.provenance.v1.prov"
)

// tagOf is a version as a tag, which cannot have "+"; versionOf the reverse.
func tagOf(version string) string { return strings.ReplaceAll(version, "+", "_") }
func versionOf(tag string) string { return strings.ReplaceAll(tag, "_", "+") }

func nameOptions(a Access) []name.Option {
	if a.PlainHTTP {
		return []name.Option{name.Insecure}
	}
	return nil
}

// pullOCI fetches a chart from a registry.
func (r *Resolver) pullOCI(ctx context.Context, req Request) (*Archive, error) {
	source, err := r.registry(ctx, req.Access)
	if err != nil {
		return nil, err
	}
	ref, err := source.resolve(req)
	if err != nil {
		return nil, offlineChart(req, err)
	}
	out, err := source.pull(ref, req)
	if err != nil {
		return nil, offlineChart(req, err)
	}
	return out, nil
}

// offlineChart names the chart in the error of one of which something is not cached.
func offlineChart(req Request, err error) error {
	var missing *OfflineError
	if !errors.As(err, &missing) {
		return err
	}
	out := &OfflineError{What: "chart " + req.Ref, Next: "pkg pull " + req.Ref}
	if req.Version != "" {
		out.What += " " + req.Version
		out.Next += " --version " + req.Version
	}
	return out
}

// pull fetches the chart behind a tag or digest.
func (s *registrySource) pull(ref name.Reference, req Request) (*Archive, error) {
	raw, digest, err := s.manifest(ref)
	if err != nil {
		return nil, fmt.Errorf("chart %s: %w", req.Ref, err)
	}
	if req.Digest != "" && digest.String() != req.Digest {
		return nil, &PinError{Ref: OCIScheme + ref.Name(), Want: req.Digest, Got: digest.String()}
	}
	var m v1.Manifest
	if err := json.Unmarshal(raw, &m); err != nil {
		return nil, fmt.Errorf("chart %s: manifest: %w", req.Ref, err)
	}
	if m.Config.MediaType != mediaConfig {
		return nil, fmt.Errorf("chart %s: what the registry has there is no chart (%s)", req.Ref, m.Config.MediaType)
	}
	out := &Archive{Ref: OCIScheme + ref.Context().Name() + strings.TrimPrefix(ref.String(), ref.Context().String()), Manifest: digest.String(), access: req.Access}
	out.origins = []string{out.Ref, req.Ref}
	for _, layer := range m.Layers {
		var into *[]byte
		switch layer.MediaType {
		case mediaChart, mediaOldChart:
			into = &out.Data
		case mediaProvenance:
			if !req.Provenance {
				continue
			}
			into = &out.Provenance
		default:
			continue
		}
		if *into, err = s.blob(ref.Context(), layer); err != nil {
			return nil, fmt.Errorf("chart %s: %w", req.Ref, err)
		}
	}
	if out.Data == nil {
		return nil, fmt.Errorf("chart %s: manifest does not contain a layer with mediatype %s", req.Ref, mediaChart)
	}
	c, err := out.Load()
	if err != nil {
		return nil, fmt.Errorf("chart %s: %w", req.Ref, err)
	}
	if base := path.Base(ref.Context().RepositoryStr()); base != c.Name() {
		return nil, fmt.Errorf("chart %s: the registry has chart %s under the name %s", req.Ref, c.Name(), base)
	}
	out.Name = chart.ArchiveName(c)
	if req.Provenance && out.Provenance == nil {
		return nil, noProvenance{fmt.Errorf("failed to fetch provenance %q", out.Ref+".prov")}
	}
	return out, nil
}

// resolve settles which tag or digest a request means.
func (s *registrySource) resolve(req Request) (name.Reference, error) {
	text, digest, pinned := strings.Cut(strings.TrimPrefix(req.Ref, OCIScheme), "@")
	text, tag, tagged := cutTag(text)
	repository, err := parseRepository(text, req.Access)
	switch {
	case err != nil:
		return nil, fmt.Errorf("chart %s: %w", req.Ref, err)
	case tagged && req.Version != "" && req.Version != versionOf(tag):
		return nil, fmt.Errorf("chart reference and version mismatch: %s is not %s", versionOf(tag), req.Version)
	case pinned:
		return name.NewDigest(repository.Name()+"@"+digest, nameOptions(req.Access)...)
	case tagged:
		return repository.Tag(tagOf(tag)), nil
	}
	if _, err := semver.StrictNewVersion(req.Version); err == nil {
		return repository.Tag(tagOf(req.Version)), nil
	}
	tags, err := s.tags(repository)
	if err != nil {
		return nil, fmt.Errorf("chart %s: %w", req.Ref, err)
	}
	versions := tagVersions(tags)
	at, err := choose(len(versions), func(i int) string { return versions[i].Original() }, req.Version, req.Devel)
	if err != nil {
		return nil, fmt.Errorf("chart %s: %w", req.Ref, err)
	}
	return repository.Tag(tagOf(versions[at].Original())), nil
}

// parseRepository reads HOST/PATH. The first element is the host always, unlike in
// the names of images.
func parseRepository(text string, a Access) (name.Repository, error) {
	host, below, ok := strings.Cut(text, "/")
	if !ok || below == "" {
		return name.Repository{}, errors.New("registries are named oci://HOST/PATH")
	}
	if _, err := name.NewRepository("registry.invalid/" + below); err != nil {
		return name.Repository{}, err
	}
	registry, err := name.NewRegistry(host, nameOptions(a)...)
	if err != nil {
		return name.Repository{}, err
	}
	return registry.Repo(below), nil
}

// cutTag parts HOST:PORT/PATH:TAG.
func cutTag(text string) (repository, tag string, ok bool) {
	slash := strings.LastIndexByte(text, '/')
	if colon := strings.LastIndexByte(text, ':'); colon > slash {
		return text[:colon], text[colon+1:], true
	}
	return text, "", false
}

// tagVersions returns the versions among the tags, newest first. Tags that are no
// versions do not count.
func tagVersions(tags []string) []*semver.Version {
	var versions []*semver.Version
	for _, tag := range tags {
		if v, err := semver.StrictNewVersion(versionOf(tag)); err == nil {
			versions = append(versions, v)
		}
	}
	slices.SortFunc(versions, func(a, b *semver.Version) int { return b.Compare(a) })
	return versions
}

// Pushed is a chart that was put into a registry.
type Pushed struct {
	Ref    string // "host/path/name:tag"
	Digest string // of the manifest
}

// Push puts an archive, with its provenance if it has one, into a registry below
// the reference oci://HOST/PATH.
func (r *Resolver) Push(ctx context.Context, a *Archive, below string, access Access) (*Pushed, error) {
	c, err := a.Load()
	if err != nil {
		return nil, err
	}
	if !IsOCI(below) {
		return nil, fmt.Errorf("%s: registries are named oci://HOST/PATH", below)
	}
	repository, err := parseRepository(path.Join(strings.TrimPrefix(below, OCIScheme), c.Name()), access)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", below, err)
	}
	tag := repository.Tag(tagOf(c.Metadata.Version))
	source, err := r.registry(ctx, access)
	if err != nil {
		return nil, err
	}
	options := source.options
	config, err := json.Marshal(c.Metadata)
	if err != nil {
		return nil, err
	}
	m := v1.Manifest{SchemaVersion: 2, MediaType: types.OCIManifestSchema1, Annotations: annotations(c)}
	blobs := []v1.Layer{static.NewLayer(config, mediaConfig), static.NewLayer(a.Data, mediaChart)}
	if a.Provenance != nil {
		blobs = append(blobs, static.NewLayer(a.Provenance, mediaProvenance))
	}
	for i, blob := range blobs {
		d, err := describe(blob)
		if err != nil {
			return nil, err
		}
		if err := remote.WriteLayer(tag.Context(), blob, options...); err != nil {
			return nil, fmt.Errorf("push %s: %w", tag, plainHTTPError(err))
		}
		if i == 0 {
			m.Config = d
		} else {
			m.Layers = append(m.Layers, d)
		}
	}
	raw, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	if err := remote.Put(tag, manifest(raw), options...); err != nil {
		return nil, fmt.Errorf("push %s: %w", tag, err)
	}
	digest, _, err := v1.SHA256(bytes.NewReader(raw))
	return &Pushed{Ref: tag.Name(), Digest: digest.String()}, err
}

func describe(l v1.Layer) (v1.Descriptor, error) {
	digest, err := l.Digest()
	if err != nil {
		return v1.Descriptor{}, err
	}
	size, err := l.Size()
	if err != nil {
		return v1.Descriptor{}, err
	}
	media, err := l.MediaType()
	return v1.Descriptor{MediaType: media, Digest: digest, Size: size}, err
}

// manifest is a marshalled manifest as the library pushes it.
type manifest []byte

func (m manifest) RawManifest() ([]byte, error)        { return m, nil }
func (m manifest) MediaType() (types.MediaType, error) { return types.OCIManifestSchema1, nil }

// annotations are those that Helm gives a chart's manifest, but for the time, so
// that the same chart has the same digest.
func annotations(c *chart.Chart) map[string]string {
	md := c.Metadata
	out := map[string]string{}
	for k, v := range md.Annotations {
		out[k] = v
	}
	set := func(key, value string) {
		if value = strings.TrimSpace(value); value != "" {
			out["org.opencontainers.image."+key] = value
		}
	}
	set("title", md.Name)
	set("version", md.Version)
	set("description", md.Description)
	set("url", md.Home)
	if len(md.Sources) > 0 {
		set("source", md.Sources[0])
	}
	var authors []string
	for _, m := range md.Maintainers {
		if m == nil || m.Name == "" {
			continue
		}
		text := m.Name
		if m.Email != "" {
			text += " (" + m.Email + ")"
		}
		authors = append(authors, text)
	}
	set("authors", strings.Join(authors, ", "))
	return out
}
