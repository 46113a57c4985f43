//go:build !front

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// Artifact Hub, as helm finds it, and how long it may take to answer.
const (
	hubEndpoint = "https://hub.helm.sh"
	hubTimeout  = 30 * time.Second
	maxHubReply = 64 << 20 // bytes
)

type hubOptions struct {
	endpoint   string
	listRepo   bool
	failIfNone bool
	maxWidth   uint
	format     outputFormat
}

func newSearchHubCommand(a *app) *cobra.Command {
	o := &hubOptions{}
	cmd := &cobra.Command{
		Use:   "hub [KEYWORD]",
		Short: "search for charts in the Artifact Hub or your own hub instance",
		Long: `Search a public web service, the Artifact Hub, or another one with the same API.
This needs the internet; pkg search repo looks at the repositories that were added.`,
		Example: "  pkg search hub mysql --list-repo-url",
		RunE: func(cmd *cobra.Command, args []string) error {
			return runSearchHub(cmd.Context(), a, o, strings.Join(args, " "))
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.endpoint, "endpoint", hubEndpoint, "Hub instance to query for charts")
	f.UintVar(&o.maxWidth, "max-col-width", maxSearchColumn, "maximum column width for output table")
	f.BoolVar(&o.listRepo, "list-repo-url", false, "print charts repository URL")
	f.BoolVar(&o.failIfNone, "fail-on-no-result", false, "search fails if no results are found")
	o.format.add(f)
	return cmd
}

// hubRow is one chart as helm's -o json prints it.
type hubRow struct {
	URL         string  `json:"url"`
	Version     string  `json:"version"`
	AppVersion  string  `json:"app_version"`
	Description string  `json:"description"`
	Repository  hubRepo `json:"repository"`
}

type hubRepo struct {
	URL  string `json:"url"`
	Name string `json:"name"`
}

func runSearchHub(ctx context.Context, a *app, o *hubOptions, words string) error {
	if a.global.Offline {
		return withHint(fmt.Errorf("offline: %s cannot be asked", o.endpoint), "search the repositories that were added: pkg search repo %s", quote(words))
	}
	rows, err := askHub(ctx, o.endpoint, words)
	if err != nil {
		err = fmt.Errorf("unable to perform search against %q: %w", o.endpoint, err)
		if a.asHelm { // whose text ends there
			err = fmt.Errorf("unable to perform search against %q", o.endpoint)
		}
		return withHint(err, "without the internet, search the repositories that were added: pkg search repo %s", quote(words))
	}
	if len(rows) == 0 && o.failIfNone {
		return errors.New("no results found")
	}
	return o.format.write(a.Out, rows, func() error {
		if len(rows) == 0 {
			_, err := fmt.Fprintln(a.Out, "No results found")
			return err
		}
		t := table{MaxWidth: int(o.maxWidth)}
		head := []string{"URL", "CHART VERSION", "APP VERSION", "DESCRIPTION"}
		if o.listRepo {
			head = append(head, "REPO URL")
		}
		t.add(head...)
		for _, r := range rows {
			cells := []string{r.URL, r.Version, r.AppVersion, r.Description}
			if o.listRepo {
				cells = append(cells, r.Repository.URL)
			}
			t.add(cells...)
		}
		return t.write(a.Out)
	})
}

// askHub asks the search API of Monocular, which the Artifact Hub kept.
func askHub(ctx context.Context, endpoint, words string) ([]hubRow, error) {
	ctx, cancel := context.WithTimeout(ctx, hubTimeout)
	defer cancel()
	u, err := url.Parse(endpoint)
	if err != nil {
		return nil, err
	}
	if u.Scheme == "" || u.Host == "" {
		return nil, fmt.Errorf("%q is no URL of a server", endpoint)
	}
	u = u.JoinPath("api/chartsvc/v1/charts/search")
	u.RawQuery = url.Values{"q": {words}}.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", "pkg/"+programVersion())
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %s", u, res.Status)
	}
	var found struct {
		Data []struct {
			ID          string `json:"id"`
			ArtifactHub struct {
				PackageURL string `json:"packageUrl"`
			} `json:"artifactHub"`
			Attributes struct {
				Description string  `json:"description"`
				Repo        hubRepo `json:"repo"`
			} `json:"attributes"`
			Relationships struct {
				Latest struct {
					Data struct {
						Version    string `json:"version"`
						AppVersion string `json:"app_version"`
					} `json:"data"`
				} `json:"latestChartVersion"`
			} `json:"relationships"`
		} `json:"data"`
	}
	if err := json.NewDecoder(io.LimitReader(res.Body, maxHubReply)).Decode(&found); err != nil {
		return nil, fmt.Errorf("%s: not the answer of a hub: %w", u, err)
	}
	rows := []hubRow{}
	for _, d := range found.Data {
		page := d.ArtifactHub.PackageURL
		if page == "" {
			page = endpoint + "/charts/" + d.ID
		}
		latest := d.Relationships.Latest.Data
		rows = append(rows, hubRow{page, latest.Version, latest.AppVersion, d.Attributes.Description, d.Attributes.Repo})
	}
	return rows, nil
}
