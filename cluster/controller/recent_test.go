package controller

import (
	"context"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/object/builtin"
)

func TestRecent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recent{life: time.Second, now: time.Now}
		a, b := object.Key{Name: "a"}, object.Key{Name: "b"}
		if r.has(a) {
			t.Error("knows a key that was never added")
		}
		r.add(a)
		time.Sleep(900 * time.Millisecond)
		if r.add(b); !r.has(a) || !r.has(b) {
			t.Error("forgot too early")
		}
		time.Sleep(200 * time.Millisecond)
		if !r.has(b) {
			t.Error("forgot a key of the older generation too early")
		}
		time.Sleep(2 * time.Second)
		if r.has(a) || r.has(b) {
			t.Error("never forgets")
		}
	})
}

// TestEchoesAreGathered counts how often a key is worked on when its changes come in
// one moment.
func TestEchoesAreGathered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := openAPI(t)
		ctx, cancel := context.WithCancel(t.Context())
		var worked atomic.Int64
		l := &loop{name: "test", sources: []source{self(builtin.ConfigMaps.Resource)},
			reconcile: func(_ context.Context, k object.Key) (time.Duration, error) {
				if k.Namespace == "default" {
					worked.Add(1)
				}
				return 0, nil
			}}
		feeds := newFeeds(v, nil, []*loop{l})
		var running sync.WaitGroup
		running.Go(func() { _ = feeds.run(ctx) })
		running.Go(func() { _ = l.run(ctx, feeds, slog.New(slog.DiscardHandler)) })
		defer running.Wait()
		defer cancel()
		time.Sleep(time.Second)
		worked.Store(0)
		m := &corev1.ConfigMap{ObjectMeta: meta("m")}
		if _, err := builtin.ConfigMaps.Create(ctx, v, m.DeepCopy(), write()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if n := worked.Load(); n != 1 {
			t.Errorf("worked %d times on what is new, want at once", n)
		}
		for n := range 10 {
			m.Data = map[string]string{"n": strconv.Itoa(n)}
			if _, err := builtin.ConfigMaps.Update(ctx, v, m.DeepCopy(), write()); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(2 * calm)
		synctest.Wait()
		if n := worked.Load(); n != 2 {
			t.Errorf("worked %d times on a burst of changes, want once more", n-1)
		}
	})
}
