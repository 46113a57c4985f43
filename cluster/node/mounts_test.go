package node

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/seed38700745/pkg/cluster/cri"
)

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatal("needs root, to mount")
	}
	t.Skip("needs root, to mount")
}

func TestBindSubpath(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	volume, outside := filepath.Join(dir, "volume"), filepath.Join(dir, "outside")
	for _, d := range []string{volume + "/real/deep", outside} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(volume+"/real/file", []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	for link, target := range map[string]string{"inner": "real", "absolute": outside, "up": "../outside", "proc": "/proc/self/root"} {
		if err := os.Symlink(target, filepath.Join(volume, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(volume, 0o2770); err != nil {
		t.Fatal(err)
	}
	target := filepath.Join(dir, "pod", "target")
	for _, c := range []struct {
		sub string
		ok  bool
	}{
		{"real", true}, {"real/file", true}, {"inner/deep", true}, {"new/er", true}, {"real", true},
		{"absolute", false}, {"up", false}, {"proc/etc", false}, {"../outside", false}, {"real/../../outside", false}, {"/real", false}, {"up/new", false},
	} {
		err := bindSubpath(volume, c.sub, target)
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", c.sub, err)
		}
		if err == nil {
			want, _ := os.Stat(filepath.Join(volume, c.sub))
			if got, err := os.Stat(target); err != nil || !os.SameFile(got, want) {
				t.Errorf("%s: another file is mounted (%v)", c.sub, err)
			}
		}
	}
	if made, err := os.ReadDir(outside); err != nil || len(made) > 0 {
		t.Errorf("made outside of the volume: %v, %v", made, err)
	}
	if st, err := os.Stat(volume + "/new"); err != nil || st.Mode().Perm() != 0o770 {
		t.Errorf("a new folder has not the volume's mode: %v", st)
	}
	if err := unmountAll(filepath.Join(dir, "pod")); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(target); err == nil && len(left) > 0 {
		t.Errorf("still mounted: %v", left)
	}
	if _, err := os.Stat(volume + "/real/file"); err != nil {
		t.Error(err)
	}
}

// mounted returns the mount at a path of the container.
func mounted(c cri.ContainerConfig, at string) cri.Mount {
	i := slices.IndexFunc(c.Mounts, func(m cri.Mount) bool { return m.ContainerPath == at })
	if i < 0 {
		return cri.Mount{}
	}
	return c.Mounts[i]
}

func TestContainerMounts(t *testing.T) {
	needRoot(t)
	inWorld(t, func(w *world) {
		data := filepath.Join(w.dir, "data")
		if err := os.MkdirAll(data, 0o755); err != nil {
			t.Fatal(err)
		}
		w.volumes.paths = map[string]string{"data": data}
		w.create(testPod(func(p *corev1.Pod) {
			p.Spec.Hostname, p.Spec.Subdomain = "h", "sub"
			c := &p.Spec.Containers[0]
			c.Env = []corev1.EnvVar{{Name: "POD", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.name"}}},
				{Name: "IP", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "status.podIP"}}}}
			c.TerminationMessagePath = "/tmp/end"
			c.VolumeMounts = []corev1.VolumeMount{{Name: "data", MountPath: "/data", ReadOnly: true, MountPropagation: new(corev1.MountPropagationHostToContainer)},
				{Name: "data", MountPath: "sub", SubPathExpr: "logs/$(POD)"}}
		}))
		w.after(time.Second)
		c := w.runtime.configs["c1"]
		if m := mounted(c, "/data"); m.HostPath != data || !m.ReadOnly || m.Propagation != "HostToContainer" {
			t.Errorf("/data: %+v", m)
		}
		m := mounted(c, "/sub")
		got, err := os.Stat(m.HostPath)
		if want, _ := os.Stat(data + "/logs/web"); err != nil || !os.SameFile(got, want) {
			t.Errorf("/sub: %+v, %v", m, err)
		}
		for at, want := range map[string]string{
			"/etc/hosts":       "10.42.0.2\th.sub.default.svc.cluster.local\th\n",
			"/etc/resolv.conf": "nameserver 10.142.0.10\noptions ndots:5",
			"/etc/hostname":    "h\n",
		} {
			if b, err := os.ReadFile(mounted(c, at).HostPath); err != nil || !strings.Contains(string(b), want) {
				t.Errorf("%s: %q, %v; want %q", at, b, err, want)
			}
		}
		if !slices.Contains(c.Env, "IP=10.42.0.2") {
			t.Errorf("environment %q", c.Env)
		}
		if err := os.WriteFile(mounted(c, "/tmp/end").HostPath, []byte("my last words"), 0o666); err != nil {
			t.Fatal(err)
		}
		w.runtime.exit("c1", 1)
		w.after(time.Second)
		if l := w.status("main").LastTerminationState.Terminated; l == nil || l.Message != "my last words" {
			t.Errorf("last state %+v", l)
		}
		w.delete(new(int64(1)))
		w.after(5 * time.Second)
		if left, err := os.ReadDir(filepath.Join(w.dir, "root")); err != nil || len(left) > 0 {
			t.Errorf("files left: %v, %v", left, err)
		}
		if _, err := os.Stat(data + "/logs/web"); err != nil {
			t.Errorf("the volume's data: %v", err)
		}
	})
}

func TestLogIsLastResortForTheMessage(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "0.log")
	if err := os.WriteFile(path, []byte("2026-01-01T00:00:00Z stderr F cannot open database\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	pod := testPod(func(p *corev1.Pod) {
		p.Spec.Containers[0].TerminationMessagePolicy = corev1.TerminationMessageFallbackToLogsOnError
	})
	w := newWorker(&Agent{Config: Config{Logger: discard()}, files: podFiles{root: dir}}, pod)
	r := &record{Container: cri.Container{Name: "main", State: cri.Exited, ExitCode: 1, LogPath: path}}
	if got := w.terminationMessage(r); got != "cannot open database\n" {
		t.Errorf("%q", got)
	}
	r.ExitCode = 0
	if got := w.terminationMessage(r); got != "" {
		t.Errorf("a container that succeeded: %q", got)
	}
}
