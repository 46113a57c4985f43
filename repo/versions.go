//go:build !front

package repo

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/seed38700745/pkg/repo/localindex"
)

// Versions lists the versions of a chart that fit the request, newest first. Of charts
// in registries only the version is known.
func (r *Resolver) Versions(ctx context.Context, req Request) ([]localindex.Entry, error) {
	all, err := r.allVersions(ctx, &req)
	if err != nil {
		return nil, err
	}
	fits, err := SearchQuery{Version: req.Version, Devel: req.Devel}.fits()
	if err != nil {
		return nil, err
	}
	list := []localindex.Entry{}
	for i := range all {
		if fits(&all[i]) {
			list = append(list, all[i])
		}
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("chart %s: %w", req.Ref, &versionError{version: req.Version})
	}
	return list, nil
}

func (r *Resolver) allVersions(ctx context.Context, req *Request) ([]localindex.Entry, error) {
	if req.RepoURL != "" && IsOCI(req.RepoURL) {
		return r.tagsOf(ctx, strings.TrimSuffix(req.RepoURL, "/")+"/"+req.Ref, req.Access)
	}
	if req.RepoURL != "" {
		e := unlisted(req.RepoURL, req.Access)
		if !r.Offline {
			if err := r.refresh(ctx, e); err != nil {
				return nil, err
			}
		}
		return r.versionsIn(ctx, e, req.Ref, "repository "+redacted(req.RepoURL), *req)
	}
	if IsOCI(req.Ref) {
		return r.tagsOf(ctx, req.Ref, req.Access)
	}
	repoName, name, ok := strings.Cut(req.Ref, "/")
	if !ok || strings.Contains(req.Ref, "://") || strings.HasPrefix(req.Ref, ".") || filepath.IsAbs(req.Ref) {
		return nil, fmt.Errorf("%s: versions are listed of repository/chart or oci://HOST/PATH/CHART", req.Ref)
	}
	builtIn, err := r.isBuiltIn(repoName)
	if err != nil {
		return nil, err
	}
	if builtIn {
		all, err := r.bundledEntries()
		if err != nil {
			return nil, err
		}
		var names []string
		for _, b := range all {
			if b.name == name {
				return []localindex.Entry{b.entry}, nil
			}
			names = append(names, b.name)
		}
		return nil, r.notFound(*req, "repository "+repoName+" (the charts that come with pkg)", names, ErrNotFound)
	}
	e, err := r.entry(repoName)
	if err != nil {
		return nil, r.unknownRepository(repoName, name)
	}
	if IsOCI(e.URL) {
		return r.tagsOf(ctx, strings.TrimSuffix(e.URL, "/")+"/"+name, e.Access().or(req.Access))
	}
	return r.versionsIn(ctx, e, name, "repository "+repoName+" ("+redacted(e.URL)+")", *req)
}

// tagsOf returns the versions among the tags of a repository in a registry.
func (r *Resolver) tagsOf(ctx context.Context, ref string, access Access) ([]localindex.Entry, error) {
	source, err := r.registry(ctx, access)
	if err != nil {
		return nil, err
	}
	text, _, _ := cutTag(strings.TrimPrefix(ref, OCIScheme))
	repository, err := parseRepository(text, access)
	if err != nil {
		return nil, fmt.Errorf("chart %s: %w", ref, err)
	}
	tags, err := source.tags(repository)
	if err != nil {
		return nil, fmt.Errorf("chart %s: %w", ref, err)
	}
	var list []localindex.Entry
	for _, v := range tagVersions(tags) {
		release := v.Prerelease() == ""
		list = append(list, localindex.Entry{Version: v.Original(), URL: OCIScheme + repository.Name() + ":" + tagOf(v.Original()),
			Release: release, Positive: release, PositiveDevel: true})
	}
	return list, nil
}
