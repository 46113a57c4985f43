package server_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
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
