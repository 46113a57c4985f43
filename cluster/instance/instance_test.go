package instance

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed38700745/pkg/cluster/isolate"
)

// The records are in /run/pkg, so the tests run with a /run of their own.
func TestMain(m *testing.M) {
	os.Exit(isolate.Main(m, isolate.Isolation{
		Namespaces: unix.CLONE_NEWNS | unix.CLONE_NEWNET,
		Inside:     func() error { return unix.Mount("tmpfs", "/run", "tmpfs", 0, "") },
	}))
}

func none(netip.Prefix) string { return "" }

func acquire(t *testing.T, home string) *Claim {
	t.Helper()
	c, err := Acquire(home, none)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Release()
		if _, err := Forget(c.ID); err != nil {
			t.Error(err)
		}
	})
	return c
}

func TestTwoClustersShareNothing(t *testing.T) {
	a, b := acquire(t, t.TempDir()), acquire(t, t.TempDir())
	if a.ID == b.ID || a.APIPort == b.APIPort || a.PodCIDR.Overlaps(b.PodCIDR) || a.ServiceCIDR.Overlaps(b.ServiceCIDR) ||
		a.NodePortBase < b.NodePortBase+b.NodePortSize && b.NodePortBase < a.NodePortBase+a.NodePortSize {
		t.Errorf("they share something:\n%+v\n%+v", a.Record, b.Record)
	}
}

func TestClaimsAreKept(t *testing.T) {
	home := t.TempDir()
	first := acquire(t, t.TempDir())
	c, err := Acquire(home, none)
	if err != nil {
		t.Fatal(err)
	}
	want := c.Record
	c.Release()
	first.Release()
	if _, err := Forget(first.ID); err != nil { // its place is free now
		t.Fatal(err)
	}
	if err := os.RemoveAll(runRoot); err != nil { // a reboot
		t.Fatal(err)
	}
	got := acquire(t, home)
	if got.APIPort != want.APIPort || got.PodCIDR != want.PodCIDR || got.ServiceCIDR != want.ServiceCIDR {
		t.Errorf("got %+v, want %+v", got.Record, want)
	}
}

func TestLockedFolder(t *testing.T) {
	home := t.TempDir()
	if pid, err := Running(home); pid != 0 || err != nil {
		t.Errorf("Running of an empty folder: %d, %v", pid, err)
	}
	acquire(t, home)
	if pid, err := Running(home); pid != os.Getpid() || err != nil {
		t.Errorf("Running: %d, %v; want %d", pid, err, os.Getpid())
	}
	if _, err := Acquire(home, none); !errors.Is(err, ErrRunning) {
		t.Errorf("second claim: %v", err)
	}
}

func TestPortTakenMeanwhile(t *testing.T) {
	home := t.TempDir()
	c, err := Acquire(home, none)
	if err != nil {
		t.Fatal(err)
	}
	address := c.API.Addr().String()
	c.Release()
	l, err := net.Listen("tcp4", address)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := Acquire(home, none); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("got %v, want an error about the taken port", err)
	}
	if _, err := Forget(c.ID); err != nil {
		t.Fatal(err)
	}
}

func TestRangesAvoidRoutes(t *testing.T) {
	taken := netip.MustParsePrefix("10.42.0.0/15")
	c, err := Acquire(t.TempDir(), func(p netip.Prefix) string {
		if p.Overlaps(taken) {
			return "the route to 10.42.0.0/15 on tun0"
		}
		return ""
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Release()
	if c.PodCIDR.Overlaps(taken) {
		t.Errorf("pod range %s overlaps with a route", c.PodCIDR)
	}
	if _, err := Forget(c.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := Acquire(t.TempDir(), func(netip.Prefix) string { return "everything" }); err == nil {
		t.Error("ranges were found although all are taken")
	}
}

func TestDeletedFolderIsStillKnown(t *testing.T) {
	home := t.TempDir() + "/home"
	c := acquire(t, home)
	if err := os.RemoveAll(home); err != nil {
		t.Fatal(err)
	}
	r, err := Load(home)
	if err != nil || r.ID != c.ID || r.PodCIDR != c.PodCIDR {
		t.Errorf("Load: %+v, %v", r, err)
	}
}

// A restored or moved folder keeps what it had where that is free, and is given
// something else where it is not.
func TestMovedFolder(t *testing.T) {
	taken := acquire(t, t.TempDir())
	old := acquire(t, t.TempDir())
	copied := func(from string) string {
		home := t.TempDir()
		text, err := os.ReadFile(keptPath(from))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(keptPath(home), text, 0o644); err != nil {
			t.Fatal(err)
		}
		return home
	}
	beside := acquire(t, copied(taken.Home))
	if beside.ID == taken.ID || beside.Number == taken.Number || beside.APIPort == taken.APIPort || beside.PodCIDR == taken.PodCIDR {
		t.Errorf("beside the original: %+v\n%+v", beside.Record, taken.Record)
	}
	home := copied(old.Home)
	old.Release()
	if _, err := Forget(old.ID); err != nil {
		t.Fatal(err)
	}
	alone := acquire(t, home)
	if alone.ID == old.ID || alone.Home != home || alone.Number != old.Number || alone.APIPort != old.APIPort || alone.ServiceCIDR != old.ServiceCIDR {
		t.Errorf("instead of the original: %+v\n%+v", alone.Record, old.Record)
	}
}
