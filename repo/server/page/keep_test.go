package page

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestKeepMakesOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeep(1 << 20)
		var made atomic.Int64
		slow := func() (int, int, error) {
			time.Sleep(time.Minute)
			return int(made.Add(1)), 8, nil
		}
		impatient, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := get(impatient, k, "a", slow); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("who waits a second gets %v", err)
		}
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() {
				if v, err := get(t.Context(), k, "a", slow); v != 1 || err != nil {
					t.Errorf("have %d, %v", v, err)
				}
			})
		}
		all.Wait()
	})
}

func TestKeepForgets(t *testing.T) {
	k := newKeep(100_000)
	made := map[string]int{}
	ask := func(key string) {
		t.Helper()
		v, err := get(t.Context(), k, key, func() (string, int, error) { made[key]++; return key, 20_000, nil })
		if v != key || err != nil {
			t.Fatalf("%s: %q, %v", key, v, err)
		}
	}
	for i := range 20 {
		ask(fmt.Sprint(i))
		ask("often")
	}
	if made["often"] != 1 {
		t.Errorf("what is asked for often was made %d times", made["often"])
	}
	ask("0")
	if made["0"] != 2 {
		t.Errorf("what was not asked for was made %d times", made["0"])
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	sum := 0
	for e := k.order.Front(); e != nil; e = e.Next() {
		sum += e.Value.(*kept).size
	}
	if k.size > k.limit || k.size != sum || len(k.items) != k.order.Len() {
		t.Errorf("%d bytes of %d, %d counted, %d and %d things", k.size, k.limit, sum, len(k.items), k.order.Len())
	}
}

func TestKeepFailures(t *testing.T) {
	k := newKeep(1000)
	tries := 0
	fail := func() (int, int, error) { tries++; return 0, 0, errors.New("no") }
	for range 2 {
		if _, err := get(t.Context(), k, "a", fail); err == nil {
			t.Error("no error")
		}
	}
	if tries != 2 {
		t.Errorf("a failure was kept: %d tries", tries)
	}
	if _, err := get(t.Context(), k, "b", func() (int, int, error) { panic("at the disco") }); err == nil {
		t.Error("a panic is no error")
	}
	if v, err := get(t.Context(), k, "large", func() (int, int, error) { return 7, 10_000, nil }); v != 7 || err != nil {
		t.Errorf("what is too large to keep: %d, %v", v, err)
	}
	if k.size != 0 || len(k.items) != 0 {
		t.Errorf("%d bytes in %d things are kept", k.size, len(k.items))
	}
}
