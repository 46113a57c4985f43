//go:build !front

package main

import (
	"errors"
	"fmt"

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
		Use:     "search [WORD]",
		Short:   "search for a keyword in charts",
		Example: "  pkg search mysql\n  pkg search repo mysql --versions",
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
	if a.asHelm { // which knows of no charts but those in repositories
		r.Bundled = nil
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
