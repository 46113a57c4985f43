package release

import (
	"strings"
	"testing"
	"time"
)

// TestUnfinished asks the Lease of an operation on another machine.
func TestUnfinished(t *testing.T) {
	now := time.Now()
	cluster := newCluster(t)
	far := Identity{Host: "far", Machine: "b", PID: 7, Start: "1", Command: "upgrade"}
	r := New(Config{Cluster: cluster, Namespace: "default", Self: Identity{Host: "here", Machine: "a", PID: 1},
		Now: func() time.Time { return now }})
	rel := &Release{Name: "db", Namespace: "default", Revision: 2, Info: &Info{Status: StatusPendingUpgrade}}
	rel.stored.holder = far.encode()
	expect := func(want string) {
		t.Helper()
		if got := r.Unfinished(t.Context(), rel); !strings.Contains(got, want) {
			t.Errorf("%q lacks %q", got, want)
		}
	}
	expect("pid 7 on host far holds no Lease on it any more, and was interrupted")
	l := locker{cluster: cluster, namespace: "default", self: far, alive: r.Alive, say: r.say, now: r.Now}
	ctx, held, err := l.acquire(t.Context(), "db", time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := held.release(ctx); err != nil {
			t.Error(err)
		}
	}()
	expect("pid 7 on host far is at work on it")
	now = now.Add(time.Minute)
	expect("was last heard of 1m0s ago, and was interrupted")
	rel.Info.Status = StatusDeployed
	if got := r.Unfinished(t.Context(), rel); got != "" {
		t.Errorf("of a deployed one: %q", got)
	}
}

func TestLookupOfUnknownKinds(t *testing.T) {
	lookup := New(Config{Cluster: newCluster(t), Namespace: "default"}).lookup(t.Context())
	if got, err := lookup("v1", "Nothing", "default", "x"); err != nil || len(got) != 0 {
		t.Errorf("a kind that a known group lacks: %v, %v", got, err)
	}
	if _, err := lookup("example.com/v1", "Nothing", "default", "x"); err == nil {
		t.Error("an unknown group is no error")
	}
}
