//go:build !front

package repo

import (
	"errors"
	"slices"
	"sort"
	"strings"
)

func (r *Resolver) notFound(req Request, where string, names []string, err error) error {
	e := &NotFoundError{What: "chart " + req.Ref, Where: []string{where}, Next: "pkg repo update, then pkg search repo"}
	var version *versionError
	name := req.Ref
	prefix := ""
	if i := strings.LastIndexByte(name, '/'); i >= 0 && req.RepoURL == "" {
		prefix, name = name[:i+1], name[i+1:]
	}
	if errors.As(err, &version) {
		e.Reason = version.Error()
		e.Next = "pkg search repo " + name + " --versions"
		return e
	}
	for _, near := range nearest(names, name) {
		e.Nearest = append(e.Nearest, prefix+near)
	}
	if len(e.Nearest) > 0 {
		e.Next = "pkg search repo " + e.Nearest[0]
	}
	return e
}

// noRepository answers a bare word that is no path: whoever has a chart of that
// name is named.
func (r *Resolver) noRepository(name string) error {
	e := &NotFoundError{What: "chart " + name, Reason: "no such path, and no repository is named"}
	hits, err := r.Search(SearchQuery{})
	if err != nil {
		return err
	}
	var refs []string
	for _, h := range hits {
		if h.Chart == name {
			refs = append(refs, h.Name)
		}
	}
	if len(refs) > 0 {
		e.Nearest = refs
		e.Next = "use " + refs[0]
		return e
	}
	e.Nearest = nearestHits(hits, name)
	e.Next = "pkg search repo " + name
	return e
}

func (r *Resolver) unknownRepository(repoName, name string) error {
	e := &NotFoundError{What: "chart " + repoName + "/" + name, Reason: "repository " + repoName + " not found", Next: "pkg repo add " + repoName + " URL"}
	names, err := r.Names()
	if err != nil {
		return err
	}
	e.Reason += " (repositories: " + strings.Join(names, ", ") + ")"
	hits, err := r.Search(SearchQuery{})
	if err != nil {
		return err
	}
	e.Nearest = nearestHits(hits, name)
	return e
}

func nearestHits(hits []Hit, name string) []string {
	byName := map[string][]string{}
	var names []string
	for _, h := range hits {
		if byName[h.Chart] == nil {
			names = append(names, h.Chart)
		}
		byName[h.Chart] = append(byName[h.Chart], h.Name)
	}
	var out []string
	for _, near := range nearest(names, name) {
		out = append(out, byName[near][0])
	}
	return out
}

// Names lists the repositories that references may name, sorted.
func (r *Resolver) Names() ([]string, error) {
	entries, err := r.Repositories()
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name)
	}
	for _, name := range []string{BundledName, StableName} {
		if r.Bundled != nil && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	return names, nil
}
