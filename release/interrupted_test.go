package release

import (
	"errors"
	"testing"
	"time"
)

// TestPendingRevisions: who may have left one behind decides what becomes of it.
func TestPendingRevisions(t *testing.T) {
	c := newCluster(t)
	self := Identity{Machine: "m", PID: 1, Start: "1", Command: "upgrade"}
	dead := Identity{Machine: "m", PID: 2, Start: "1", Command: "install"}
	living := Identity{Machine: "m", PID: 3, Start: "1", Command: "install"}
	now := time.Unix(10000, 0)
	r := New(Config{Cluster: c, Namespace: "default", Self: self, Now: func() time.Time { return now },
		Alive: func(i Identity) (bool, bool) { return i.PID == 3, i.Machine == "m" }})
	for _, x := range []struct {
		name   string
		holder Identity // zero: none
		age    time.Duration
		busy   bool
	}{
		{"dead", dead, 0, false},
		{"living", living, time.Hour, true},
		{"helm-now", Identity{}, time.Minute, true},
		{"helm-once", Identity{}, foreignPending, false},
	} {
		holder := ""
		if x.holder != (Identity{}) {
			holder = x.holder.encode()
		}
		written := now
		now = now.Add(-x.age)
		rel := &Release{Name: x.name, Namespace: "default", Revision: 1, Info: &Info{Status: StatusPendingInstall}}
		if err := r.store.create(t.Context(), rel, holder); err != nil {
			t.Fatal(err)
		}
		now = written
		err := r.settleInterrupted(t.Context(), x.name)
		var busy *BusyError
		if errors.As(err, &busy) != x.busy || !x.busy && err != nil {
			t.Errorf("%s: %v", x.name, err)
		}
		got, err := r.Get(t.Context(), x.name, 1)
		if err != nil {
			t.Fatal(err)
		}
		if want := map[bool]Status{true: StatusPendingInstall, false: StatusFailed}[x.busy]; got.Info.Status != want {
			t.Errorf("%s is %s, want %s", x.name, got.Info.Status, want)
		}
	}
}
