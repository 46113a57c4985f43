package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/seed38700745/pkg/chart"
)

// The index of the benchmark: 20,000 versions, about 15 MB.
const (
	bigCharts   = 1000
	bigVersions = 20
)

// bigRepository serves such an index; every version is the same small chart.
func bigRepository(tb testing.TB) (server *httptest.Server, index []byte) {
	tb.Helper()
	var archive bytes.Buffer
	c, err := chart.LoadFS(fstest.MapFS{
		"Chart.yaml":        {Data: []byte("apiVersion: v2\nname: app-0007\nversion: 1.19.0\n")},
		"templates/cm.yaml": {Data: []byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: \"{{ .Release.Name }}\"}\n")},
	})
	if err != nil {
		tb.Fatal(err)
	}
	if err := chart.Save(&archive, c, time.Time{}); err != nil {
		tb.Fatal(err)
	}
	var b bytes.Buffer
	fmt.Fprint(&b, "apiVersion: v1\nentries:\n")
	for n := range bigCharts {
		fmt.Fprintf(&b, "  app-%04d:\n", n)
		for v := range bigVersions {
			version := fmt.Sprintf("1.%d.0", bigVersions-1-v)
			digest := sha256.Sum256(fmt.Append(nil, n, v))
			if n == 7 && v == 0 {
				digest = sha256.Sum256(archive.Bytes())
			}
			fmt.Fprintf(&b, `  - annotations:
      artifacthub.io/changes: |
        - Support for more of what people asked for
        - Mended the probe of the second container
      category: Database
    apiVersion: v2
    appVersion: 2.%[3]d.1
    created: "2026-03-04T05:06:07.123456789Z"
    dependencies:
    - name: common
      repository: oci://registry.example.com/charts
      version: 2.x.x
    description: Application number %[1]d, which serves requests and keeps what it
      was told in a database.
    digest: %[4]x
    keywords:
    - database
    - group%[2]d
    - server
    maintainers:
    - email: team@example.com
      name: The team
    name: app-%04[1]d
    urls:
    - charts/app-%04[1]d-%[5]s.tgz
    version: %[5]s
`, n, n%50, v, digest, version)
		}
	}
	fmt.Fprint(&b, "generated: \"2026-03-04T05:06:07.123456789Z\"\n")
	index = b.Bytes()
	server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/index.yaml":
			_, _ = w.Write(index)
		case strings.HasSuffix(r.URL.Path, ".tgz"):
			_, _ = w.Write(archive.Bytes())
		default:
			http.NotFound(w, r)
		}
	}))
	tb.Cleanup(server.Close)
	return server, index
}

// BenchmarkBigIndex compares pkg with helm on a repository of 20,000 versions: fetching
// and parsing its index, then what one does with it.
func BenchmarkBigIndex(b *testing.B) {
	pkg, err := filepath.Abs("../../bin/pkg")
	if err != nil {
		b.Fatal(err)
	}
	helm, err := filepath.Abs("../../bin/tools/helm")
	if err != nil {
		b.Fatal(err)
	}
	for _, program := range []string{pkg, helm} {
		if _, err := exec.LookPath(program); err != nil {
			b.Skipf("make build tools: %v", err)
		}
	}
	server, index := bigRepository(b)
	c := &testCluster{kubeconfig: filepath.Join(b.TempDir(), "none")}
	c.measure(b, []int{0}, []string{pkg, "repo", "add", "big", server.URL}, []string{helm, "repo", "add", "big", server.URL})
	for _, line := range []string{
		"repo update", "search repo app-0007", "search repo group7 --versions", "template x big/app-0007", "show chart big/app-0007", "pull big/app-0007 -d /tmp",
	} {
		b.Run(line, func(b *testing.B) {
			b.ReportMetric(float64(len(index))/1e6, "index-MB")
			args := strings.Fields(strings.Replace(line, "/tmp", b.TempDir(), 1))
			compare(b, "helm",
				func(int) cost { return c.measure(b, []int{0}, append([]string{pkg}, args...)) },
				func(int) cost { return c.measure(b, []int{0}, append([]string{helm}, args...)) })
		})
	}
}
