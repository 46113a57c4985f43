//go:build !front

package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed38700745/pkg/repo"
)

// maxSearchColumn is the width of the description in a search's table.
const maxSearchColumn = 50

type searchOptions struct {
	query      repo.SearchQuery
	format     outputFormat
	maxWidth   uint
	failIfNone bool
}

func newSearchCommand(a *app) *cobra.Command {
	o := &searchOptions{}
	cmd := &cobra.Command{
		Use:   "search [WORD]",
		Short: "search for keywords in charts",
		Long: `Search the charts of all repositories, and those that come with pkg, for words in names,
descriptions and keywords; all words have to be there. Charts whose name has them come
first. The network is not used: pkg repo update brings the indexes up to date.`,
		Example: "  pkg search mysql\n  pkg search mysql cluster --version '>=8' --versions -o json",
		RunE: func(_ *cobra.Command, args []string) error {
			return runSearch(a, o, args)
		},
	}
	o.add(cmd)
	sub := &searchOptions{}
	inRepo := &cobra.Command{
		Use:   "repo [keyword]",
		Short: "search repositories for a keyword in charts",
		RunE: func(_ *cobra.Command, args []string) error {
			return runSearch(a, sub, args)
		},
	}
	sub.add(inRepo)
	cmd.AddCommand(inRepo, newSearchHubCommand(a))
	return cmd
}

func (o *searchOptions) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.BoolVarP(&o.query.Regexp, "regexp", "r", false, "use regular expressions for searching repositories you have added")
	f.BoolVarP(&o.query.Versions, "versions", "l", false, "show the long listing, with each version of each chart on its own line, for repositories you have added")
	f.BoolVar(&o.query.Devel, "devel", false, "use development versions (alpha, beta, and release candidate releases), too. Equivalent to version '>0.0.0-0'. If --version is set, this is ignored")
	f.StringVar(&o.query.Version, "version", "", "search using semantic versioning constraints on repositories you have added")
	f.UintVar(&o.maxWidth, "max-col-width", maxSearchColumn, "maximum column width for output table")
	f.BoolVar(&o.failIfNone, "fail-on-no-result", false, "search fails if no results are found")
	o.format.add(f)
}

func runSearch(a *app, o *searchOptions, words []string) error {
	o.query.Words = words
	r := a.repositories()
	if a.asHelm { // which takes the words for one text, and knows of no charts but those in repositories
		if len(words) > 0 {
			o.query.Words = []string{strings.Join(words, " ")}
		}
		o.query.OneText, r.Bundled = true, nil
		if list, err := r.Repositories(); err != nil {
			return err
		} else if len(list) == 0 {
			return errors.New("no repositories configured")
		}
	}
	hits, err := r.Search(o.query)
	if err != nil {
		return err
	}
	if len(hits) == 0 && o.failIfNone {
		return errors.New("no results found")
	}
	if len(hits) == 0 && !a.asHelm {
		if err := a.searchHints(r, o.query); err != nil {
			return err
		}
	}
	type row struct {
		Name        string `json:"name"`
		Version     string `json:"version"`
		AppVersion  string `json:"app_version"`
		Description string `json:"description"`
	}
	rows := []row{}
	for _, h := range hits {
		rows = append(rows, row{h.Name, h.Version, h.AppVersion, h.Description})
	}
	return o.format.write(a.Out, rows, func() error {
		if len(rows) == 0 {
			_, err := fmt.Fprintln(a.Out, "No results found")
			return err
		}
		t := table{MaxWidth: int(o.maxWidth)}
		t.add("NAME", "CHART VERSION", "APP VERSION", "DESCRIPTION")
		for _, r := range rows {
			t.add(r.Name, r.Version, r.AppVersion, r.Description)
		}
		return t.write(a.Out)
	})
}

// searchHints tells one whose search found nothing what to try.
func (a *app) searchHints(r *repo.Resolver, q repo.SearchQuery) error {
	without, err := r.WithoutIndex()
	if err != nil {
		return err
	}
	if len(without) > 0 {
		fmt.Fprintf(a.Err, "not searched: %s (pkg repo update fetches what they have)\n", strings.Join(without, ", "))
	}
	if len(q.Words) == 0 || q.Regexp {
		return nil
	}
	if q.Version != "" || !q.Devel { // perhaps only the version does not fit
		anywhere, err := r.Search(repo.SearchQuery{Words: q.Words, Devel: true, Versions: true})
		if err != nil {
			return err
		}
		if len(anywhere) > 0 {
			var have []string
			for _, h := range anywhere[:min(len(anywhere), 3)] {
				have = append(have, h.Name+" "+h.Version)
			}
			fmt.Fprintf(a.Err, "no version fits; there are: %s\n", strings.Join(have, ", "))
			return nil
		}
	}
	near, err := r.Nearest(q.Words)
	if err == nil && len(near) > 0 {
		fmt.Fprintf(a.Err, "nearest: %s\n", strings.Join(slices.Compact(near), ", "))
	}
	return err
}
