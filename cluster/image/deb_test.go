package image

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed38700745/pkg/cluster/cri"
)

func TestParseSources(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "sources.list.d"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		"sources.list": "# a comment\ndeb http://mirror.example/debian bookworm main contrib # more\n" +
			"deb [arch=amd64 signed-by=/k.gpg] http://mirror.example/security bookworm-security main\ndeb-src http://mirror.example/debian bookworm main\n",
		"sources.list.d/new.sources": "Types: deb\n# a comment\nURIs: http://other.example/debian\nSuites: bookworm bookworm-updates\nComponents: main\nSigned-By: /x.gpg\n\n" +
			"Types: deb\nURIs: http://third.example/\nSuites: nodistro\nComponents: main\n\nEnabled: no\nTypes: deb\nURIs: http://off.example\nSuites: bookworm\n",
		"sources.list.d/old.list.disabled": "deb http://disabled.example bookworm main\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := sourceLines(dir, "bookworm", "trixie")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"deb http://mirror.example/debian trixie main contrib",
		"deb [signed-by=/k.gpg] http://mirror.example/security trixie-security main",
		"deb [signed-by=/x.gpg] http://other.example/debian trixie main",
		"deb [signed-by=/x.gpg] http://other.example/debian trixie-updates main",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if _, err := sourceLines(dir, "noble", "noble"); err == nil {
		t.Error("sources of another release count")
	}
}

func TestHasVersionPrefix(t *testing.T) {
	for _, test := range []struct {
		version, prefix string
		want            bool
	}{
		{"1:10.11.14-0+deb12u2", "10.11", true},
		{"1:10.11.14-0+deb12u2", "1:10.11", true},
		{"1:10.11.14-0+deb12u2", "10.1", false},
		{"1.22.1-9", "1.22.1-9", true},
		{"1.22.1-9", "", true},
		{"1.22.1-9", "1.23", false},
		{"8.0", "8", true},
	} {
		if got := hasVersionPrefix(test.version, test.prefix); got != test.want {
			t.Errorf("%s has prefix %s: %v", test.version, test.prefix, got)
		}
	}
}

// requireDebian skips a test that builds from Debian packages.
func requireDebian(t *testing.T) {
	t.Helper()
	requireRoot(t)
	reason := ""
	if _, err := exec.LookPath("mmdebstrap"); err != nil {
		reason = err.Error()
	} else if name, err := releaseName("/etc/os-release"); err != nil || name != "bookworm" {
		reason = "the test's packages are bookworm's"
	}
	if reason == "" {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatal(reason)
	}
	t.Skip(reason)
}

func TestBuildBusybox(t *testing.T) {
	requireDebian(t)
	cache := t.TempDir()
	s := open(t, Config{Cache: cache})
	stages := map[string]bool{}
	begin := time.Now()
	img, err := s.Ensure(t.Context(), "deb.internal/bookworm/busybox-static:1.35", cri.PullIfNotPresent, nil,
		func(p cri.ImageProgress) { stages[p.Stage] = true })
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("built in %v, %d bytes", time.Since(begin), img.Size)
	if !strings.HasPrefix(img.Origin, "built from Debian packages busybox-static 1:1.35.0") || !stages["building"] {
		t.Errorf("origin %q, stages %v", img.Origin, stages)
	}
	if len(img.Layers) != 1 || img.Size > 20<<20 {
		t.Errorf("image %+v", img)
	}
	fs := img.Layers[0]
	for _, name := range []string{"sh", "ls", "wget"} {
		if to, err := os.Readlink(filepath.Join(fs, "bin", name)); err != nil || to != "busybox" {
			t.Errorf("/bin/%s is %q, %v", name, to, err)
		}
	}
	if !strings.HasPrefix(read(t, fs, "etc/passwd"), "root:x:0:0:") {
		t.Error("no root in passwd")
	}
	if img.Config.Labels[labelSuite] != "bookworm" || !strings.HasPrefix(img.Config.Labels[labelPackages], "busybox-static=1:1.35.0") {
		t.Errorf("labels %v", img.Config.Labels)
	}
	// Another store takes it from the cache.
	begin = time.Now()
	again, err := open(t, Config{Cache: cache}).Ensure(t.Context(), "deb.internal/bookworm/busybox-static:1.35", cri.PullAlways, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("from the cache, lists refreshed, in %v", time.Since(begin))
	if again.ID != img.ID {
		t.Errorf("from the cache came %s, built was %s", again.ID, img.ID)
	}
	_, err = s.Ensure(t.Context(), "deb.internal/bookworm/busybox-static:9.9", cri.PullIfNotPresent, nil, nil)
	if err == nil || !strings.Contains(err.Error(), "bookworm has no version 9.9 of busybox-static; available: 1:1.35.0") {
		t.Errorf("a version that there is not: %v", err)
	}
	_, err = s.Ensure(t.Context(), "deb.internal/bookworm/no-such-thing", cri.PullIfNotPresent, nil, nil)
	if err == nil || !strings.Contains(err.Error(), "bookworm has no package no-such-thing") {
		t.Errorf("a package that there is not: %v", err)
	}
}

func TestSubstitution(t *testing.T) {
	requireDebian(t)
	const name = "registry.invalid/busybox:1"
	cache := t.TempDir()
	config := Config{Cache: cache, Substitutes: map[string]Substitute{name: {Image: "deb.internal/bookworm/busybox-static:1.35",
		Config: Overrides{Cmd: []string{"busybox", "httpd"}, User: "65534", Env: []string{"A=b"}, ExposedPorts: []string{"80/tcp"}}}}}
	s := open(t, config)
	img, err := s.Ensure(t.Context(), name, cri.PullIfNotPresent, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(img.Origin, ", since registry.invalid could not be reached") || img.Name != name {
		t.Errorf("image %+v", img)
	}
	c := img.Config
	if diff := cmp.Diff([]any{[]string{"busybox", "httpd"}, "65534", "A=b", []string{"80/tcp"}}, []any{c.Cmd, c.User, c.Env[len(c.Env)-1], c.ExposedPorts}); diff != "" {
		t.Error(diff)
	}
	if _, err := s.Ensure(t.Context(), "registry.invalid/busybox:2", cri.PullIfNotPresent, nil, nil); err == nil {
		t.Error("another tag was substituted")
	}
	// Building alone fills the cache.
	other := open(t, Config{Cache: cache, Substitutes: config.Substitutes})
	if packages, err := other.Build(t.Context(), name); err != nil || !strings.HasPrefix(packages, "busybox-static=1:1.35.0") {
		t.Errorf("built %q, %v", packages, err)
	}
	if _, present := other.Present(name); present {
		t.Error("what is only built is in the store")
	}
	if _, err := other.Build(t.Context(), "registry.invalid/busybox:2"); err == nil || !strings.Contains(err.Error(), "no reference of deb.internal") {
		t.Errorf("nothing to build: %v", err)
	}
	config.NoSubstitution = true
	_, err = open(t, config).Ensure(t.Context(), name, cri.PullIfNotPresent, nil, nil)
	if err == nil || !strings.Contains(err.Error(), "substitution is switched off") {
		t.Errorf("without substitution: %v", err)
	}
}

func TestMissingProgramIsNamed(t *testing.T) {
	s := open(t, Config{})
	t.Setenv("PATH", t.TempDir())
	_, err := s.Ensure(t.Context(), "deb.internal/bookworm/busybox-static", cri.PullIfNotPresent, nil, nil)
	if err == nil || !strings.Contains(err.Error(), "apt-get install mmdebstrap") {
		t.Errorf("error %v", err)
	}
	if errors.Is(err, ErrInvalidName) {
		t.Error("it is not the name that is wrong")
	}
}

func TestLockFileWaits(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	unlock, err := lockFile(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := lockFile(ctx, path); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a lock that is held: %v", err)
	}
	got := make(chan error, 1)
	go func() {
		again, err := lockFile(t.Context(), path)
		if err == nil {
			again()
		}
		got <- err
	}()
	unlock()
	if err := <-got; err != nil {
		t.Error(err)
	}
}
