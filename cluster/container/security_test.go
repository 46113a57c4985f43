package container

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed38700745/pkg/cluster/cri"
)

func number(n int64) *int64 { return &n }

func TestUser(t *testing.T) {
	f := newFixture(t)
	for _, test := range []struct {
		name string
		user cri.User
		want string // of id
	}{
		{"root", cri.User{}, "uid=0(root) gid=0(root) groups=0(root)\n"},
		{"by name", cri.User{Name: "web", NonRoot: true}, "uid=101(web) gid=102(web) groups=102(web),103(extra)\n"},
		{"by number", cri.User{UID: number(101)}, "uid=101(web) gid=102(web) groups=102(web),103(extra)\n"},
		{"by number and group", cri.User{UID: number(101), GID: number(0)}, "uid=101(web) gid=0(root) groups=0(root),103(extra)\n"},
		{"unknown number", cri.User{UID: number(5000), Groups: []int64{7}}, "uid=5000 gid=0(root) groups=0(root),7\n"},
		{"image's pair", cri.User{Name: "1000:1001"}, "uid=1000 gid=1001 groups=1001\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := f.shell("id")
			c.User = test.user
			_, out := f.run(c)
			if diff := cmp.Diff(test.want, out); diff != "" {
				t.Error(diff)
			}
		})
	}
	// Links are followed inside the image only.
	for _, to := range []string{"/etc/real", "../../../../../../etc/real"} {
		dir := t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, "etc"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "etc", "real"), []byte("linked:x:77:78:::\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(to, filepath.Join(dir, "etc", "passwd")); err != nil {
			t.Fatal(err)
		}
		if got, err := lookUser(dir, cri.User{Name: "linked"}); err != nil || got.UID != 77 || got.GID != 78 {
			t.Errorf("through a link to %s: %+v, %v", to, got, err)
		}
	}
	c := f.shell("id")
	c.User.NonRoot = true
	if _, err := f.StartContainer(t.Context(), f.pod(nil), c); !errors.Is(err, ErrNonRoot) {
		t.Errorf("runAsNonRoot: %v", err)
	}
	c.User = cri.User{Name: "nobody-here"}
	if _, err := f.StartContainer(t.Context(), f.pod(nil), c); err == nil || !strings.Contains(err.Error(), "nobody-here") {
		t.Errorf("unknown user: %v", err)
	}
}

func TestCapabilities(t *testing.T) {
	f := newFixture(t)
	const show = "grep CapEff /proc/self/status | cut -f2"
	run := func(change func(*cri.ContainerConfig)) string {
		c := f.shell(show)
		change(&c)
		_, out := f.run(c)
		return strings.TrimSpace(out)
	}
	if got := run(func(*cri.ContainerConfig) {}); got != "00000000a80425fb" {
		t.Errorf("the default set is %s", got)
	}
	if got := run(func(c *cri.ContainerConfig) {
		c.DropCapabilities, c.AddCapabilities = []string{"ALL"}, []string{"NET_BIND_SERVICE"}
	}); got != "0000000000000400" {
		t.Errorf("all dropped and one added: %s", got)
	}
	if got := run(func(c *cri.ContainerConfig) { c.DropCapabilities = []string{"CHOWN", "KILL"} }); got != "00000000a80425da" {
		t.Errorf("two dropped: %s", got)
	}
	own, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	if got := run(func(c *cri.ContainerConfig) { c.Privileged = true }); !strings.Contains(string(own), "CapBnd:\t"+got) {
		t.Errorf("privileged: %s", got)
	}
	c := f.shell(show)
	c.AddCapabilities = []string{"FLY"}
	if _, err := f.StartContainer(t.Context(), f.pod(nil), c); err == nil || !strings.Contains(err.Error(), `unknown capability "FLY"`) {
		t.Errorf("unknown capability: %v", err)
	}
}

func TestSeccomp(t *testing.T) {
	f := newFixture(t)
	c := f.shell("grep Seccomp: /proc/self/status | cut -f2; unshare -m true 2>&1 || echo blocked")
	c.AddCapabilities = nil
	if _, out := f.run(c); !strings.HasPrefix(out, "2\n") || !strings.Contains(out, "blocked") {
		t.Errorf("with the default filter: %q", out)
	}
	c.Seccomp = "Unconfined"
	if _, out := f.run(c); !strings.HasPrefix(out, "0\n") {
		t.Errorf("unconfined: %q", out)
	}
	profile := filepath.Join(t.TempDir(), "profile.json")
	if err := os.WriteFile(profile, []byte(`{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO"}]}`), 0o644); err != nil {
		t.Fatal(err)
	}
	c = f.shell("mkdir /x || echo blocked")
	c.Seccomp = profile
	if _, out := f.run(c); !strings.Contains(out, "blocked") {
		t.Errorf("own profile: %q", out)
	}
	c.Seccomp = profile + ".missing"
	if _, err := f.StartContainer(t.Context(), f.pod(nil), c); err == nil {
		t.Error("a missing profile is no error")
	}
}

func TestRestrictions(t *testing.T) {
	f := newFixture(t)
	c := f.shell("touch /x || echo read-only; cat /proc/kcore | head -c1 | wc -c; echo 1 > /proc/sys/vm/swappiness || echo no; " +
		"grep NoNewPrivs /proc/self/status | cut -f2; echo > /sys/kernel/x || echo sys; ls /proc/acpi | wc -l; mknod /dev/sda b 8 0; cat /dev/sda || echo device")
	c.ReadonlyRootfs, c.NoNewPrivileges = true, true
	_, out := f.run(c)
	for _, want := range []string{"read-only\n", "0\n", "no\n", "1\n", "sys\n", "device\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("the output lacks %q: %s", want, out)
		}
	}
	c = f.shell("touch /x && echo writable; cat /proc/self/oom_score_adj; ulimit -n >/dev/null && echo limits")
	c.Resources.OOMScoreAdj = -999 // more than we may set: cut
	if _, out := f.run(c); !strings.Contains(out, "writable\n") || !strings.Contains(out, "limits\n") {
		t.Errorf("output %q", out)
	}
}

func TestMounts(t *testing.T) {
	f := newFixture(t)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), []byte("from the host\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	c := f.shell("cat /data/file; touch /data/new || echo read-only; cat /etc/resolv.conf; df -m /fast | tail -1 | awk '{print $2}'; touch /fast/x && echo ok; echo $PWD; echo $A; echo hi > /data/sub/x")
	c.Dir, c.Env = "/made/by/us", []string{"A=1", "A=2"}
	if err := os.Mkdir(filepath.Join(dir, "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	sub := t.TempDir()
	c.Mounts = []cri.Mount{
		{HostPath: sub, ContainerPath: "/data/sub"},
		{HostPath: dir, ContainerPath: "/data", ReadOnly: true},
		{HostPath: filepath.Join(dir, "file"), ContainerPath: "/etc/resolv.conf"},
		{Type: "tmpfs", ContainerPath: "/fast", Size: 1 << 20},
	}
	got, out := f.run(c)
	const want = "from the host\nread-only\nfrom the host\n1\nok\n/made/by/us\n2\n"
	if got.ExitCode != 0 || strings.Replace(out, "touch: /data/new: Read-only file system\n", "", 1) != want {
		t.Errorf("exit code %d, output %q", got.ExitCode, out)
	}
	if b, err := os.ReadFile(filepath.Join(sub, "x")); err != nil || string(b) != "hi\n" {
		t.Errorf("the nested mount got %q, %v", b, err)
	}
	if _, err := os.Stat("/made"); err == nil {
		t.Error("the working directory was made on the host")
	}
}

func TestDevice(t *testing.T) {
	f := newFixture(t)
	c := f.shell("head -c 3 /dev/mine | wc -c; head -c 1 /dev/kmsg-none || echo none")
	c.Devices = []cri.Device{{HostPath: "/dev/zero", ContainerPath: "/dev/mine", Permissions: "r"}}
	if _, out := f.run(c); !strings.HasPrefix(out, "3\n") {
		t.Errorf("output %q", out)
	}
}
