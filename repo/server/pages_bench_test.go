package server_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/seed38700745/pkg/repo/server"
)

// BenchmarkPages is the time to the first byte of each kind of page, with 2,000 charts
// of ten versions stored: of the first request, which makes what is kept, and the 99th
// of a hundred of those after it.
func BenchmarkPages(b *testing.B) {
	c := server.Config{Data: b.TempDir()}
	open(&c)
	fill(b, c.Data, 20000)
	for version, archive := range map[string][]byte{"1.1.0": packBundled(b, "mysql", "", nil), "0.9.0": packBundled(b, "mysql", "0.9.0", nil)} {
		if err := os.WriteFile(filepath.Join(c.Data, "mysql-"+version+".tgz"), archive, 0o644); err != nil {
			b.Fatal(err)
		}
	}
	base, _ := start(b, c)
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	for _, k := range []struct{ name, path string }{
		{"start", "/"}, {"second", "/?page=2&sort=new"}, {"search", "/?q=about+chart"}, {"nothing", "/?q=nothing"},
		{"chart", "/-/mysql"}, {"values", "/-/mysql/1.1.0/values"}, {"schema", "/-/mysql/1.1.0/values?view=schema"},
		{"templates", "/-/mysql/1.1.0/templates"}, {"dependencies", "/-/mysql/1.1.0/dependencies"}, {"images", "/-/mysql/1.1.0/images"},
		{"versions", "/-/mysql/1.1.0/versions"}, {"diff", "/-/mysql/1.1.0/diff"}, {"side", "/-/mysql/1.1.0/diff?view=side"},
	} {
		b.Run(k.name, func(b *testing.B) {
			const after = 100
			var took []time.Duration
			for b.Loop() {
				for range after + 1 {
					took = append(took, firstByte(b, client, base+k.path))
				}
			}
			first := took[0]
			slices.Sort(took)
			b.ReportMetric(float64(first.Microseconds())/1000, "ms-first")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "ms-p99")
			b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "ms-median")
		})
	}
}

func firstByte(b *testing.B, client *http.Client, url string) time.Duration {
	b.Helper()
	var took time.Duration
	start := time.Now()
	r, err := http.NewRequest("GET", url, nil)
	if err != nil {
		b.Fatal(err)
	}
	r.Header.Set("Accept", "text/html")
	r = r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{GotFirstResponseByte: func() { took = time.Since(start) }}))
	w, err := client.Do(r)
	if err != nil {
		b.Fatal(err)
	}
	defer w.Body.Close()
	if _, err := io.Copy(io.Discard, w.Body); err != nil || w.StatusCode != http.StatusOK {
		b.Fatal(fmt.Errorf("%s: %s: %w", url, w.Status, err))
	}
	return took
}
