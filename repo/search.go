package repo

import (
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"sort"
	"strings"

	"github.com/Masterminds/semver/v3"

	"github.com/seed38700745/pkg/chart/spelling"
)

// SearchQuery selects charts of the known repositories.
type SearchQuery struct {
	Words    []string // all must occur in name, description or keywords
	Regexp   bool     // Words are one regular expression
	Version  string   // constraint
	Versions bool     // every version, not just the newest
	Devel    bool     // prereleases too
}

// Hit is a chart found by a search.
type Hit struct {
	Name  string // repository/chart
	Entry *Entry
}

// Search looks through the kept indexes and the built-in charts; it does not use
// the network. Repositories without an index yet are left out. The charts that come
// with pkg show under the name stable/ when that means them, else under bundled/.
func (r *Resolver) Search(q SearchQuery) ([]Hit, error) {
	match, err := q.matcher()
	if err != nil {
		return nil, err
	}
	constraint, err := q.constraint()
	if err != nil {
		return nil, err
	}
	indexes, err := r.knownIndexes()
	if err != nil {
		return nil, err
	}
	var hits []Hit
	for repoName, index := range indexes {
		for name, list := range index.Entries {
			for _, e := range list {
				full := repoName + "/" + name
				if !match(full, e) {
					continue
				}
				if v, err := semver.NewVersion(e.Version); err != nil || !constraint.Check(v) {
					continue
				}
				hits = append(hits, Hit{Name: full, Entry: e})
				if !q.Versions {
					break
				}
			}
		}
	}
	sort.SliceStable(hits, func(i, j int) bool { return hits[i].Name < hits[j].Name })
	return hits, nil
}

func (r *Resolver) knownIndexes() (map[string]*Index, error) {
	indexes := map[string]*Index{}
	list, err := r.Repositories()
	if err != nil {
		return nil, err
	}
	for _, e := range list {
		index, err := r.readIndex(e.Name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		indexes[e.Name] = index
	}
	if r.Bundled != nil {
		bundled, _, err := r.bundledIndex()
		if err != nil {
			return nil, err
		}
		if find(list, StableName) == nil {
			indexes[StableName] = bundled
		} else {
			indexes[BundledName] = bundled
		}
	}
	return indexes, nil
}

func (q SearchQuery) constraint() (*semver.Constraints, error) {
	want := q.Version
	switch {
	case want == "" && q.Devel:
		want = ">0.0.0-0"
	case want == "":
		want = ">0.0.0"
	}
	c, err := semver.NewConstraint(want)
	if err != nil {
		return nil, fmt.Errorf("an invalid version/constraint format: %w", err)
	}
	return c, nil
}

func (q SearchQuery) matcher() (func(name string, e *Entry) bool, error) {
	text := func(name string, e *Entry) string {
		return name + " " + e.Description + " " + strings.Join(e.Keywords, " ")
	}
	if q.Regexp {
		re, err := regexp.Compile(strings.Join(q.Words, " "))
		if err != nil {
			return nil, err
		}
		return func(name string, e *Entry) bool { return re.MatchString(text(name, e)) }, nil
	}
	return func(name string, e *Entry) bool {
		have := strings.ToLower(text(name, e))
		for _, word := range q.Words {
			if !strings.Contains(have, strings.ToLower(word)) {
				return false
			}
		}
		return true
	}, nil
}

// maxNearest is how many similar names an error lists.
const maxNearest = 3

// nearest returns the names most like want: those that contain it or are contained,
// then those a few letters away.
func nearest(names []string, want string) []string {
	type scored struct {
		name string
		cost int
	}
	var list []scored
	for _, name := range names {
		cost := spelling.Distance(name, want)
		if strings.Contains(name, want) || len(name) > 2 && strings.Contains(want, name) {
			cost = 1
		}
		if cost <= 1+len(want)/3 {
			list = append(list, scored{name, cost})
		}
	}
	sort.SliceStable(list, func(i, j int) bool {
		if list[i].cost != list[j].cost {
			return list[i].cost < list[j].cost
		}
		return list[i].name < list[j].name
	})
	var out []string
	for _, s := range list {
		if len(out) == maxNearest {
			break
		}
		out = append(out, s.name)
	}
	return out
}
