package release

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed38700745/pkg/cluster/object"
)

// party is somebody who wants the Lease of release "db".
type party struct {
	locker
	said *strings.Builder
}

// newParty makes a process. alive says what it can see of others.
func newParty(c Cluster, machine string, pid int, alive func(Identity) (bool, bool)) *party {
	said := &strings.Builder{}
	return &party{locker{
		cluster: c, namespace: "default", self: Identity{Machine: machine, PID: pid, Host: machine, Command: "upgrade"},
		alive: alive, now: time.Now,
		say: func(format string, args ...any) { said.WriteString(format + "\n") },
	}, said}
}

func blind(Identity) (bool, bool) { return false, false }

func (p *party) acquire(t *testing.T, timeout time.Duration) (context.Context, *lease, error) {
	t.Helper()
	return p.locker.acquire(t.Context(), "db", timeout)
}

func (p *party) mustAcquire(t *testing.T) (context.Context, *lease) {
	t.Helper()
	ctx, l, err := p.acquire(t, 0)
	if err != nil {
		t.Fatal(err)
	}
	return ctx, l
}

// crash ends a holder without giving the Lease back.
func (h *lease) crash() { h.stop(); <-h.done }

func TestLeaseOfDeadProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		_, l := newParty(c, "a", 1, blind).mustAcquire(t)
		l.crash()
		start := time.Now()
		_, l = newParty(c, "a", 2, func(Identity) (bool, bool) { return false, true }).mustAcquire(t)
		if d := time.Since(start); d != 0 {
			t.Errorf("taken over after %s, want at once", d)
		}
		if err := l.release(t.Context()); err != nil {
			t.Error(err)
		}
		if _, err := c.Get(t.Context(), leases(), object.Key{Namespace: "default", Name: "pkg.internal.db"}); err == nil {
			t.Error("the lease stays after its release")
		}
	})
}

func TestLeaseOfLivingProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		_, l := newParty(c, "a", 1, blind).mustAcquire(t)
		defer l.release(t.Context())
		_, _, err := newParty(c, "a", 2, func(Identity) (bool, bool) { return true, true }).acquire(t, time.Minute)
		var busy *BusyError
		if !errors.As(err, &busy) || busy.ExitCode() != 4 || !strings.Contains(err.Error(), "pkg upgrade, pid 1 on host a") {
			t.Errorf("got %v", err)
		}
	})
}

func TestLeaseOfOtherMachine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		_, l := newParty(c, "a", 1, blind).mustAcquire(t)
		other := newParty(c, "b", 1, blind)
		start := time.Now()
		_, _, err := other.acquire(t, time.Minute)
		var busy *BusyError
		if d := time.Since(start); !errors.As(err, &busy) || d > leaseRenew+leasePoll {
			t.Errorf("a holder that renews: %v after %s", err, d)
		}
		l.crash()
		start = time.Now()
		_, l = other.mustAcquire(t)
		if d := time.Since(start); d < leaseLife || d > leaseLife+2*leasePoll {
			t.Errorf("taken over after %s, want %s", d, leaseLife)
		}
		if !strings.Contains(other.said.String(), "waiting up to") {
			t.Error("it did not say what it waits for")
		}
		l.crash()
		if _, _, err = newParty(c, "c", 1, blind).acquire(t, 3*time.Second); !errors.As(err, &busy) {
			t.Errorf("within a timeout of 3s: %v", err)
		}
	})
}

func TestLeaseTakenOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		ctx, first := newParty(c, "a", 1, blind).mustAcquire(t)
		// The second sees the first as dead, wrongly.
		_, second := newParty(c, "b", 1, func(Identity) (bool, bool) { return false, true }).mustAcquire(t)
		time.Sleep(leaseRenew + time.Second)
		synctest.Wait()
		if !errors.Is(context.Cause(ctx), errTakenOver) {
			t.Errorf("the first goes on: %v", context.Cause(ctx))
		}
		if err := first.release(t.Context()); err != nil {
			t.Error(err)
		}
		if _, err := c.Get(t.Context(), leases(), second.key); err != nil {
			t.Errorf("the first has removed the second's lease: %v", err)
		}
		if err := second.release(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestLeaseLostByServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		ctx, l := newParty(c, "a", 1, blind).mustAcquire(t)
		if _, err := c.Delete(t.Context(), leases(), l.key, object.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(leaseRenew + time.Second)
		synctest.Wait()
		if _, err := c.Get(t.Context(), leases(), l.key); err != nil || ctx.Err() != nil {
			t.Errorf("the holder did not make its lease anew: %v, %v", err, ctx.Err())
		}
		if err := l.release(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestThisProcessLives(t *testing.T) {
	self, err := ThisProcess()
	if err != nil {
		t.Fatal(err)
	}
	other := self
	other.Start = "1"
	elsewhere := self
	elsewhere.Machine = "another"
	for _, x := range []struct {
		who          Identity
		alive, known bool
	}{{self, true, true}, {other, false, true}, {elsewhere, false, false}} {
		if alive, known := self.Alive(x.who); alive != x.alive || known != x.known {
			t.Errorf("%+v: alive %t, known %t", x.who, alive, known)
		}
	}
	if back, ok := decodeIdentity(self.encode()); !ok || back != self {
		t.Errorf("%+v became %+v", self, back)
	}
}
