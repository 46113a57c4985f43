package server_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed38700745/pkg/repo/server"
)

// fill puts so many charts of ten versions into a folder.
func fill(b *testing.B, dir string, entries int) {
	b.Helper()
	for i := range entries {
		name, version := fmt.Sprintf("chart-%d", i/10), fmt.Sprintf("1.%d.0", i%10)
		file := filepath.Join(dir, name+"-"+version+".tgz")
		if err := os.WriteFile(file, pack(b, name, version, nil), 0o644); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkUpload is 32 clients that push, with so many versions stored before.
func BenchmarkUpload(b *testing.B) {
	for _, stored := range []int{100, 2000, 20000} {
		b.Run(fmt.Sprint(stored), func(b *testing.B) {
			c := server.Config{Data: b.TempDir()}
			open(&c)
			fill(b, c.Data, stored)
			base, _ := start(b, c)
			client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: manyUploaders}}
			defer client.CloseIdleConnections()
			archives := make([][]byte, b.N)
			for i := range archives {
				archives[i] = pack(b, fmt.Sprintf("new-%d", i%200), fmt.Sprintf("1.%d.0", i), nil)
			}
			var next atomic.Int64
			b.SetParallelism((manyUploaders + runtime.GOMAXPROCS(0) - 1) / runtime.GOMAXPROCS(0))
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					r, err := client.Post(base+"/api/charts", "", bytes.NewReader(archives[next.Add(1)-1]))
					if err != nil {
						b.Error(err)
						return
					}
					_, _ = io.Copy(io.Discard, r.Body)
					_ = r.Body.Close()
					if r.StatusCode != http.StatusCreated {
						b.Error(r.Status)
					}
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "uploads/s")
		})
	}
}

// BenchmarkStart is the time from start to the first index with 20,000 versions
// that were seen before, and without.
func BenchmarkStart(b *testing.B) {
	dir := b.TempDir()
	fill(b, dir, 20000)
	for _, known := range []string{"new", "known"} {
		b.Run(known, func(b *testing.B) {
			for b.Loop() {
				if known == "new" {
					_ = os.Remove(filepath.Join(dir, ".pkg", "index.log"))
				}
				base, stop := start(b, server.Config{Data: dir})
				if w, text := ask(b, "GET", base+"/index.yaml", nil); w.StatusCode != http.StatusOK || strings.Count(text, `"created"`) != 20000 {
					b.Fatal(w.Status)
				}
				stop()
			}
		})
	}
}

// BenchmarkIndex is reads of an index of 20,000 versions: one that is as before,
// and the first after a change.
func BenchmarkIndex(b *testing.B) {
	c := server.Config{Data: b.TempDir()}
	open(&c)
	fill(b, c.Data, 20000)
	base, _ := start(b, c)
	for _, encoding := range []string{"gzip", "identity"} {
		b.Run(encoding, func(b *testing.B) {
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					w, _ := ask(b, "GET", base+"/index.yaml", nil, "Accept-Encoding", encoding)
					if w.StatusCode != http.StatusOK {
						b.Error(w.Status)
					}
				}
			})
		})
	}
	b.Run("changed", func(b *testing.B) {
		n := time.Now().UnixNano()
		for i := range b.N {
			push(b, base, pack(b, "new", fmt.Sprintf("1.%d.%d", n, i), nil))
			ask(b, "GET", base+"/index.yaml", nil, "Accept-Encoding", "gzip")
		}
	})
	b.Run("page", func(b *testing.B) {
		for b.Loop() {
			ask(b, "GET", base+"/?q=chart", nil)
		}
	})
}
