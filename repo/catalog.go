//go:build !front

package repo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"golang.org/x/sync/errgroup"

	"github.com/seed38700745/pkg/chart"
	"github.com/seed38700745/pkg/chart/semver"
	"github.com/seed38700745/pkg/repo/localindex"
)

// updateRegistry makes an index of the charts that a registry has directly below the
// repository's path, so that they can be searched. Versions come from the tags;
// descriptions and the like from the newest version of each chart. A registry that
// does not list its repositories cannot be searched, but its charts can be used.
func (r *Resolver) updateRegistry(ctx context.Context, e *Repository) (Updated, error) {
	source, err := r.registry(ctx, e.Access())
	if err != nil {
		return Updated{}, err
	}
	host, below, _ := strings.Cut(strings.Trim(strings.TrimPrefix(e.URL, OCIScheme), "/"), "/")
	registry, err := name.NewRegistry(host, nameOptions(e.Access())...)
	if err != nil {
		return Updated{}, err
	}
	all, err := remote.Catalog(ctx, registry, source.options...)
	note := ""
	var answer *transport.Error
	switch {
	case errors.As(err, &answer) && answer.StatusCode != http.StatusUnauthorized:
		note = "the registry does not list its charts (" + http.StatusText(answer.StatusCode) + "): they can be used, not searched"
	case errors.As(err, &answer):
		return Updated{}, fmt.Errorf("%s: %w", e.URL, err)
	case err != nil:
		return Updated{}, fmt.Errorf("%s cannot be reached: %w", e.URL, plainHTTPError(err))
	}
	index := &Index{APIVersion: "v1", Entries: map[string][]*Entry{}}
	found := make([][]*Entry, len(all))
	g, _ := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	for i, repository := range all {
		base, ok := strings.CutPrefix(repository, strings.TrimSuffix(below+"/", "/"))
		base = strings.TrimPrefix(base, "/")
		if !ok || base == "" || strings.Contains(base, "/") || below != "" && repository != below+"/"+base {
			continue
		}
		g.Go(func() error {
			var err error
			found[i], err = source.versions(registry.Repo(repository), base)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return Updated{}, fmt.Errorf("%s: %w", e.URL, err)
	}
	for _, list := range found {
		if len(list) > 0 {
			index.Entries[list[0].Name] = list
		}
	}
	data, err := json.Marshal(index) // without a time, so that the same is the same
	if err != nil {
		return Updated{}, err
	}
	before := ""
	if x, err := r.readIndex(e); err == nil {
		before = x.SHA256
		if err := x.Close(); err != nil {
			return Updated{}, err
		}
	}
	sum, err := r.storeIndex(e, bytes.NewReader(data), localindex.Header{URL: e.URL})
	return Updated{Unchanged: err == nil && sum == before, Note: note}, err
}

// versions lists a repository of charts as an index does; none when it has others.
func (s *registrySource) versions(repository name.Repository, base string) ([]*Entry, error) {
	tags, err := s.tags(repository)
	if err != nil {
		return nil, err
	}
	versions := tagVersions(tags)
	if len(versions) == 0 {
		return nil, nil
	}
	newest := versions[0]
	if at := slices.IndexFunc(versions, func(v *semver.Version) bool { return v.Prerelease() == "" }); at > 0 {
		newest = versions[at]
	}
	raw, _, err := s.manifest(repository.Tag(tagOf(newest.Original())))
	if err != nil {
		return nil, err
	}
	var m v1.Manifest
	if err := json.Unmarshal(raw, &m); err != nil || m.Config.MediaType != mediaConfig {
		return nil, nil // images, or an index of them
	}
	data, err := s.blob(repository, m.Config)
	if err != nil {
		return nil, err
	}
	var newestChart chart.Metadata
	if err := json.Unmarshal(data, &newestChart); err != nil || newestChart.Name != base {
		return nil, nil
	}
	var list []*Entry
	for _, v := range versions {
		md := newestChart
		md.Version = v.Original()
		if v != newest {
			md.AppVersion = "" // of the newest one only
		}
		list = append(list, &Entry{Metadata: &md, URLs: []string{OCIScheme + repository.Name() + ":" + tagOf(v.Original())}, Created: time.Time{}})
	}
	return list, nil
}
