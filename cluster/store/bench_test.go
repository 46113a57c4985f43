package store_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed38700745/pkg/cluster/store"
)

// valueSize makes an encoded object of about 1.2 KB.
const valueSize = 1100

func BenchmarkWrite(b *testing.B) {
	for _, clients := range []int{1, 8, 32} {
		b.Run(fmt.Sprintf("clients=%d", clients), func(b *testing.B) {
			db := openAt(b, filepath.Join(b.TempDir(), "db"))
			var n atomic.Int64
			var wg sync.WaitGroup
			b.ResetTimer()
			for range clients {
				wg.Go(func() {
					for i := n.Add(1); i <= int64(b.N); i = n.Add(1) {
						if _, err := db.Write(b.Context(), create("bench", fmt.Sprintf("o-%09d", i), valueSize)); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "writes/s")
		})
	}
}

// BenchmarkWatch measures the time from just before a write until each of 100
// watchers has it.
func BenchmarkWatch(b *testing.B) {
	const watchers = 100
	db := openAt(b, filepath.Join(b.TempDir(), "db"))
	var mu sync.Mutex
	var took []time.Duration
	sent := make([]atomic.Int64, b.N)
	start := time.Now()
	var wg sync.WaitGroup
	for range watchers {
		w, err := db.Watch(configMaps, "bench", db.Revision())
		if err != nil {
			b.Fatal(err)
		}
		wg.Go(func() { latencies(b, w, sent, start, &mu, &took) })
	}
	b.ResetTimer()
	for i := range b.N {
		sent[i].Store(int64(time.Since(start)))
		if _, err := db.Write(b.Context(), create("bench", fmt.Sprintf("o-%09d", i), valueSize)); err != nil {
			b.Fatal(err)
		}
	}
	wg.Wait()
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
}

func latencies(b *testing.B, w store.Watch, sent []atomic.Int64, start time.Time, mu *sync.Mutex, all *[]time.Duration) {
	defer w.Stop()
	var took []time.Duration
	for len(took) < len(sent) {
		events, err := w.Next(b.Context())
		if err != nil {
			b.Error(err)
			return
		}
		now := time.Since(start)
		for range events {
			took = append(took, now-time.Duration(sent[len(took)].Load()))
		}
	}
	mu.Lock()
	defer mu.Unlock()
	*all = append(*all, took...)
}

// BenchmarkOpen opens a store of 10,000 objects.
func BenchmarkOpen(b *testing.B) {
	path := filepath.Join(b.TempDir(), "db")
	db := openAt(b, path)
	for i := range 10_000 {
		w := create("bench", fmt.Sprintf("o-%09d", i), valueSize)
		w.Lazy = true
		if _, err := db.Write(b.Context(), w); err != nil {
			b.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if err := openAt(b, path).Close(); err != nil {
			b.Fatal(err)
		}
	}
}
