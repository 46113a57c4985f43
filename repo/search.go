//go:build !front

package repo

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"regexp"
	"slices"
	"sort"
	"strings"

	"github.com/seed38700745/pkg/chart/semver"
	"github.com/seed38700745/pkg/chart/spelling"
	"github.com/seed38700745/pkg/repo/localindex"
)

// SearchQuery selects charts of the known repositories.
type SearchQuery struct {
	Words    []string // all must occur in name, description or keywords
	Regexp   bool     // Words are one regular expression, for each of these texts
	OneText  bool     // the regular expression is for all texts in one line, as Helm's
	Version  string   // constraint
	Versions bool     // every version, not just the newest
	Devel    bool     // prereleases too
}

// Hit is a chart found by a search.
type Hit struct {
	Name  string // repository/chart
	Chart string
	localindex.Entry

	score int
}

// Search looks through the kept indexes and the built-in charts; it does not use
// the network. Repositories without an index yet are left out. The charts that come
// with pkg show under the name stable/ when that means them, else under bundled/.
// Charts whose name has the words come first, then those whose description has them,
// then those whose keywords have them (Helm's order).
func (r *Resolver) Search(q SearchQuery) ([]Hit, error) {
	match, err := q.matcher()
	if err != nil {
		return nil, err
	}
	fits, err := q.fits()
	if err != nil {
		return nil, err
	}
	var hits []Hit
	err = r.eachChart(func(repoName, name string, versions iter.Seq[*localindex.Entry]) error {
		full := repoName + "/" + name
		first, score := true, 0
		var last localindex.Entry
		for e := range versions {
			if !fits(e) {
				continue
			}
			// Most versions of a chart have the same texts.
			if first || last.Description != e.Description || !slices.Equal(last.Keywords, e.Keywords) {
				score = match(name, full, e)
			}
			first, last = false, *e
			if score < 0 {
				continue
			}
			hits = append(hits, Hit{Name: full, Chart: name, Entry: e.Clone(), score: score})
			if !q.Versions {
				break
			}
		}
		return nil
	})
	slices.SortStableFunc(hits, func(a, b Hit) int {
		return cmp.Or(cmp.Compare(a.score, b.score), strings.Compare(a.Name, b.Name))
	})
	return hits, err
}

// eachChart calls f for the charts of all kept indexes and the built-in ones.
func (r *Resolver) eachChart(f func(repoName, name string, versions iter.Seq[*localindex.Entry]) error) error {
	list, err := r.Repositories()
	if err != nil {
		return err
	}
	for _, e := range list {
		x, err := r.soundIndex(e)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		err = x.Heads(func(name string, versions iter.Seq[*localindex.Entry]) error { return f(e.Name, name, versions) })
		if err := errors.Join(err, x.Close()); err != nil {
			return fmt.Errorf("repository %s: %w", e.Name, err)
		}
	}
	if r.Bundled == nil {
		return nil
	}
	bundled, err := r.bundledEntries()
	if err != nil {
		return err
	}
	repoName := BundledName
	if find(list, StableName) == nil {
		repoName = StableName
	}
	for _, c := range bundled {
		only := func(yield func(*localindex.Entry) bool) { yield(&c.entry) }
		if err := f(repoName, c.name, only); err != nil {
			return err
		}
	}
	return nil
}

// fits makes the test of versions; the usual ones parse none.
func (q SearchQuery) fits() (func(*localindex.Entry) bool, error) {
	switch {
	case q.Version == "" && q.Devel:
		return func(e *localindex.Entry) bool { return e.PositiveDevel }, nil
	case q.Version == "":
		return func(e *localindex.Entry) bool { return e.Positive }, nil
	}
	c, err := semver.NewConstraint(q.Version)
	if err != nil {
		return nil, fmt.Errorf("an invalid version/constraint format: %w", err)
	}
	return func(e *localindex.Entry) bool {
		v, err := semver.NewVersion(e.Version)
		return err == nil && c.Check(v)
	}, nil
}

// matcher makes the test of texts: the places of the words added up (0 the chart's
// name, 1 with its repository, 2 the description, 3 a keyword), -1 when one is missing.
func (q SearchQuery) matcher() (func(name, full string, e *localindex.Entry) int, error) {
	places := func(name, full string, e *localindex.Entry) [4]string {
		return [4]string{name, full, e.Description, strings.Join(e.Keywords, " ")}
	}
	if q.Regexp {
		re, err := regexp.Compile(strings.Join(q.Words, " "))
		if err != nil {
			return nil, err
		}
		return func(name, full string, e *localindex.Entry) int {
			texts := places(name, full, e)
			if q.OneText {
				line := strings.Join(texts[:], "\v")
				at := re.FindStringIndex(line)
				if at == nil {
					return -1
				}
				return strings.Count(line[:at[0]], "\v")
			}
			for i, text := range texts {
				if re.MatchString(text) {
					return i
				}
			}
			return -1
		}, nil
	}
	words := make([]string, len(q.Words))
	for i, word := range q.Words {
		words[i] = strings.ToLower(word)
	}
	return func(name, full string, e *localindex.Entry) int {
		if len(words) == 0 {
			return 0
		}
		texts := places(name, full, e)
		for i := range texts {
			texts[i] = strings.ToLower(texts[i])
		}
		sum := 0
		for _, word := range words {
			at := slices.IndexFunc(texts[:], func(text string) bool { return strings.Contains(text, word) })
			if at < 0 {
				return -1
			}
			sum += at
		}
		return sum
	}, nil
}

// Nearest names charts whose names are like the words of a search that found none.
func (r *Resolver) Nearest(words []string) ([]string, error) {
	byName := map[string]string{}
	var names []string
	err := r.eachChart(func(repoName, name string, _ iter.Seq[*localindex.Entry]) error {
		if _, known := byName[name]; !known {
			names = append(names, name)
			byName[name] = repoName + "/" + name
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	var out []string
	for _, word := range words {
		if i := strings.LastIndexByte(word, '/'); i >= 0 {
			word = word[i+1:]
		}
		for _, name := range nearest(names, strings.ToLower(word)) {
			if full := byName[name]; !slices.Contains(out, full) {
				out = append(out, full)
			}
		}
	}
	return out, nil
}

// WithoutIndex names the repositories of which no index is kept.
func (r *Resolver) WithoutIndex() ([]string, error) {
	list, err := r.Repositories()
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range list {
		x, err := r.readIndex(e)
		if errors.Is(err, fs.ErrNotExist) {
			names = append(names, e.Name)
			continue
		}
		if err == nil {
			err = x.Close()
		}
		if err != nil {
			return nil, err
		}
	}
	return names, nil
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
		limit := 1 + len(want)/3
		contained := strings.Contains(name, want) || len(name) > 2 && strings.Contains(want, name)
		if !contained && (len(name) > len(want)+limit || len(want) > len(name)+limit) {
			continue // too far without looking
		}
		cost := spelling.Distance(name, want)
		if contained {
			cost = 1
		}
		if cost <= limit {
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
