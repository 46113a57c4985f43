package container

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/cgroups"

	"github.com/seed38700745/pkg/cluster/cri"
)

// programs are the shim and helper that the tests run, built by TestMain.
var programs struct{ shim, helper, missing string }

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "container-test")
	if err != nil {
		panic(err)
	}
	programs.shim, programs.helper = filepath.Join(dir, "shim"), filepath.Join(dir, "helper")
	build := func(env, name string, args ...string) {
		cmd := exec.Command("go", append([]string{"build", "-o", filepath.Join(dir, name)}, args...)...)
		cmd.Env = append(os.Environ(), env)
		if out, err := cmd.CombinedOutput(); err != nil {
			programs.missing = fmt.Sprintf("build %s: %v\n%s", name, err, out)
		}
	}
	build("CGO_ENABLED=0", "shim", "-ldflags", "-s -w", "../../cmd/shim")
	build("CGO_ENABLED=1", "helper", "-tags", "seccomp netgo osusergo",
		"-ldflags", `-s -w -linkmode external -extldflags "-static"`, "../../cmd/helper")
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// require skips a test that this machine cannot run; under CI it fails.
func require(t *testing.T) {
	t.Helper()
	reason := programs.missing
	if os.Geteuid() != 0 {
		reason = "containers need root"
	} else if _, err := os.Stat("/bin/busybox"); err != nil {
		reason = "the tests' image is made of /bin/busybox (package busybox-static)"
	}
	if reason == "" {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatal(reason)
	}
	t.Skip(reason)
}

// fixture is a runtime with folders of its own and an image of busybox.
type fixture struct {
	*Runtime
	t      *testing.T
	config Config
	logs   string
	image  cri.Image
	pods   int
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	require(t)
	dir := t.TempDir()
	f := &fixture{t: t, logs: filepath.Join(dir, "logs"), image: busybox(t, filepath.Join(dir, "image")), config: Config{
		Root: filepath.Join(dir, "root"), Run: filepath.Join(dir, "run"),
		ShimPath: programs.shim, HelperPath: programs.helper,
		CgroupParent: fmt.Sprintf("pkg-test/%d-%d", os.Getpid(), time.Now().UnixNano()),
		Logger:       slog.New(slog.NewTextHandler(t.Output(), nil)),
	}}
	f.open()
	t.Cleanup(func() {
		if err := f.Purge(context.Background()); err != nil {
			t.Error(err)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		f.assertClean(dir)
		f.assertNoCgroup()
	})
	return f
}

// open makes a runtime on the fixture's folders.
func (f *fixture) open() {
	f.t.Helper()
	r, err := New(f.config)
	if err != nil {
		f.t.Fatal(err)
	}
	f.Runtime = r
}

func (f *fixture) assertNoCgroup() {
	f.t.Helper()
	paths, err := cgroupPaths(f.config.CgroupParent)
	if err != nil {
		f.t.Fatal(err)
	}
	for _, p := range paths {
		if cgroups.PathExists(p) {
			f.t.Errorf("a cgroup is left: %s", p)
		}
	}
}

// assertClean checks that no mount, process or folder is left.
func (f *fixture) assertClean(dir string) {
	f.t.Helper()
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		f.t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, dir) {
			f.t.Errorf("a mount is left: %s", line)
		}
	}
	links, err := filepath.Glob("/proc/[0-9]*/cwd")
	if err != nil {
		f.t.Fatal(err)
	}
	for _, l := range links {
		if to, err := os.Readlink(l); err == nil && strings.HasPrefix(to, dir) {
			f.t.Errorf("a process is left: %s -> %s", l, to)
		}
	}
	for _, d := range []string{f.config.Root, f.config.Run} {
		entries, err := os.ReadDir(d)
		if err != nil {
			f.t.Fatal(err)
		}
		for _, e := range entries {
			f.t.Errorf("left in %s: %s", d, e.Name())
		}
	}
}

// busybox makes an unpacked image with a user "web" (101, group 102, member of
// "extra" 103).
func busybox(t *testing.T, dir string) cri.Image {
	t.Helper()
	for _, d := range []string{"bin", "etc", "root", "tmp"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(filepath.Join(dir, "tmp"), 0o1777); err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile("/bin/busybox")
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, content string, mode os.FileMode) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), mode); err != nil {
			t.Fatal(err)
		}
	}
	write("bin/busybox", string(program), 0o755)
	write("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nweb:x:101:102::/tmp:/bin/sh\n", 0o644)
	write("etc/group", "root:x:0:\nweb:x:102:\nextra:x:103:web\n", 0o644)
	applets, err := exec.Command("/bin/busybox", "--list").Output()
	if err != nil {
		t.Fatal(err)
	}
	for name := range strings.FieldsSeq(string(applets)) {
		if name != "busybox" {
			if err := os.Symlink("busybox", filepath.Join(dir, "bin", name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	return cri.Image{ID: "sha256:test", Name: "docker.io/library/busybox:1.35", Layers: []string{dir}}
}

// pod runs a sandbox.
func (f *fixture) pod(change func(*cri.SandboxConfig)) string {
	f.t.Helper()
	f.pods++
	c := cri.SandboxConfig{PodUID: fmt.Sprintf("uid-%d", f.pods), Namespace: "default", Name: "pod", Hostname: "pod-0"}
	c.LogDir = filepath.Join(f.logs, c.PodUID)
	if change != nil {
		change(&c)
	}
	if err := f.RunSandbox(f.t.Context(), c); err != nil {
		f.t.Fatal(err)
	}
	return c.PodUID
}

// shell is a container that runs a script.
func (f *fixture) shell(script string) cri.ContainerConfig {
	return cri.ContainerConfig{Name: "main", Image: f.image, Args: []string{"/bin/sh", "-c", script}, MaskedPaths: true}
}

func (f *fixture) start(pod string, c cri.ContainerConfig) cri.Container {
	f.t.Helper()
	got, err := f.StartContainer(f.t.Context(), pod, c)
	if err != nil {
		f.t.Fatal(err)
	}
	return got
}

// wait waits for a container's end.
func (f *fixture) wait(pod, id string) cri.Container {
	f.t.Helper()
	_, rec, err := f.container(pod, id)
	if err != nil {
		f.t.Fatal(err)
	}
	select {
	case <-rec.ended:
	case <-time.After(20 * time.Second):
		f.t.Fatalf("container %s did not end", rec.Config.Name)
	}
	return rec.describe(pod)
}

// run runs a container to its end and returns it with its output.
func (f *fixture) run(c cri.ContainerConfig) (cri.Container, string) {
	f.t.Helper()
	pod := f.pod(nil)
	got := f.wait(pod, f.start(pod, c).ID)
	return got, f.output(got)
}

// output returns a container's log without times and tags.
func (f *fixture) output(c cri.Container) string {
	f.t.Helper()
	b, err := os.ReadFile(c.LogPath)
	if err != nil {
		f.t.Fatal(err)
	}
	var out strings.Builder
	for line := range strings.Lines(string(b)) {
		if !strings.HasSuffix(line, "\n") {
			break // being written
		}
		fields := strings.SplitN(line, " ", 4)
		if len(fields) != 4 {
			f.t.Fatalf("malformed log line %q", line)
		}
		if _, err := time.Parse(time.RFC3339Nano, fields[0]); err != nil {
			f.t.Error(err)
		}
		text := fields[3]
		if fields[2] == "P" {
			text = strings.TrimSuffix(text, "\n")
		}
		out.WriteString(text)
	}
	return out.String()
}

// exec runs a command and returns its exit code and output.
func (f *fixture) exec(pod, id string, args ...string) (int, string) {
	f.t.Helper()
	var out bytes.Buffer
	code, err := f.Exec(f.t.Context(), pod, id, cri.ExecConfig{Args: args, Stdout: &out, Stderr: &out})
	if err != nil {
		f.t.Fatal(err)
	}
	return code, out.String()
}

// eventually polls the state of the world.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("not within 10 s: %s", what)
		}
		<-time.After(5 * time.Millisecond)
	}
}
