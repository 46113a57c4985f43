package main

import (
	"context"
	"fmt"
	"io"
	"net/http"

	"github.com/seed38700745/pkg/chart"
)

// loadChart resolves a reference to a complete chart.
func (a *app) loadChart(_ context.Context, ref string, _ chartFlags) (*chart.Chart, error) {
	return chart.Load(ref)
}

// fetch reads a URL that is not a repository's, such as a values file's.
func (a *app) fetch(url string) ([]byte, error) {
	resp, err := http.Get(url)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("failed to fetch %s : %s", url, resp.Status)
	}
	return io.ReadAll(resp.Body)
}
