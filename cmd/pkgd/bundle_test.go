package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"golang.org/x/sys/unix"
)

// signingKeys makes a key of OpenPGP, and returns the files with its private and its
// public half.
func signingKeys(t *testing.T, name string) (private, public string) {
	t.Helper()
	e, err := openpgp.NewEntity(name, "", name+"@example.com", nil)
	if err != nil {
		t.Fatal(err)
	}
	var secret, open bytes.Buffer
	if err := errors.Join(e.SerializePrivate(&secret, nil), e.Serialize(&open)); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	private, public = filepath.Join(dir, "secret.gpg"), filepath.Join(dir, "public.gpg")
	if err := errors.Join(os.WriteFile(private, secret.Bytes(), 0o600), os.WriteFile(public, open.Bytes(), 0o600)); err != nil {
		t.Fatal(err)
	}
	return private, public
}

// bare is a machine without pkg and without a cache of images.
func bare(t *testing.T) *machine {
	m := newMachine(t)
	m.env = append(m.env, "PKG_IMAGE_CACHE="+filepath.Join(t.TempDir(), "none"))
	return m
}

// installRuntime unpacks a bundle's programs as the manual says, and returns pkg's path.
func installRuntime(t *testing.T, file string) string {
	t.Helper()
	dir := t.TempDir()
	if out, err := exec.Command("sh", "-c", `tar -xOf "$0" runtime.tar.gz | tar -xz -C "$1"`, file, dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return filepath.Join(dir, "pkg")
}

// unplug moves what the test runs from now on, until it has cleaned up, into a network
// namespace of its own, which has a loopback interface and nothing else.
func unplug(t *testing.T) {
	t.Helper()
	runtime.LockOSThread() // for good: the thread goes with the test's goroutine
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	links, err := net.Interfaces()
	if err != nil || len(links) != 1 || links[0].Flags&net.FlagLoopback == 0 {
		t.Fatalf("links of a new namespace: %v, %v", links, err)
	}
}

// TestBundle carries MySQL to a machine that has neither network nor pkg, in one file,
// and then a newer one.
func TestBundle(t *testing.T) {
	private, public := signingKeys(t, "ops")
	dir := t.TempDir()
	file := filepath.Join(dir, "mysql.bundle.tar")
	here := newMachine(t)
	here.pkg("bundle", "create", "bundled/mysql", "--set", "auth.database=shop", "--with-runtime", "--sign", "--key", "ops", "--keyring", private, "-o", file)
	var shown struct {
		Signature string
		Images    []struct {
			Name, Origin string
			Packages     []struct{ Name, Version string }
		}
	}
	if err := json.Unmarshal([]byte(here.pkg("bundle", "inspect", file, "--verify", "--keyring", public, "-o", "json")), &shown); err != nil {
		t.Fatal(err)
	}
	if len(shown.Images) != 1 || shown.Images[0].Name != "docker.io/library/mariadb:10.11" || len(shown.Images[0].Packages) < 50 || !strings.HasPrefix(shown.Signature, "by ops") {
		t.Errorf("inspect: %+v", shown)
	}
	if sbom := here.pkg("bundle", "inspect", file, "--sbom"); !strings.Contains(sbom, `"pkg:deb/debian/mariadb-server@1:10.11`) {
		t.Errorf("the list of contents lacks the server's package: %.2000s", sbom)
	}

	unplug(t)
	m := bare(t)
	program := installRuntime(t, file)
	run := func(args ...string) string {
		t.Helper()
		r := m.asUser(nil, program, args...)
		if r.code != 0 {
			t.Fatalf("%v: exit code %d\n%s%s", args, r.code, r.stdout, r.stderr)
		}
		return r.stdout
	}
	run("bundle", "install", file, "--verify", "--keyring", public, "--set", "auth.username=ann")
	m.env = append(m.env, "PATH="+filepath.Dir(program)+":"+os.Getenv("PATH"))
	query := func(sql string) string {
		return strings.TrimSpace(run("kubectl", "exec", "mysql-0", "-c", "mysql", "--", "sh", "-c",
			`MYSQL_PWD="$MYSQL_ROOT_PASSWORD" mariadb --user root --skip-column-names --batch -e "$0"`, sql))
	}
	if got := query("show databases like 'shop'"); got != "shop" {
		t.Errorf("the bundle's database: %q", got)
	}
	if images := run("image", "ls"); !strings.Contains(images, "docker.io/library/mariadb:10.11") || !strings.Contains(images, "built from Debian packages") {
		t.Errorf("image ls:\n%s", images)
	}

	// A newer bundle: its chart and values, and what was given beside the old one's.
	newer := filepath.Join(dir, "newer.bundle.tar")
	here.pkg("bundle", "create", newerChart(t, "mysql"), "--set", "auth.database=shop,primary.podAnnotations.from=newer", "-o", newer)
	if r := m.asUser(nil, program, "bundle", "install", newer); r.code != 0 || !strings.Contains(r.stderr, " to mysql 9.9.9 of the bundle") {
		t.Fatalf("upgrade: exit code %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	values := run("get", "values", "mysql", "-o", "json")
	for _, want := range []string{`"username":"ann"`, `"database":"shop"`, `"from":"newer"`} {
		if !strings.Contains(values, want) {
			t.Errorf("values after the upgrade: %s; want %s", values, want)
		}
	}
	if list := run("list"); !strings.Contains(list, "mysql-9.9.9") {
		t.Errorf("list:\n%s", list)
	}
	if got := query("select count(*) from mysql.user where user = 'ann'"); got != "1" {
		t.Errorf("the user after the upgrade: %q", got)
	}
}

func sumOf(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", sha256.Sum256(data))
}

// newerChart copies a bundled chart and gives it version 9.9.9.
func newerChart(t *testing.T, name string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), name)
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("..", "..", "charts", name))); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "Chart.yaml")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text = regexp.MustCompile(`(?m)^version: .*`).ReplaceAll(text, []byte("version: 9.9.9"))
	if err := os.WriteFile(file, text, 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestBundleRefused: what is not as it should be changes nothing: no cluster is made,
// and nothing lies about. The good file then installs, from a registry, too.
func TestBundleRefused(t *testing.T) {
	private, public := signingKeys(t, "ops")
	_, others := signingKeys(t, "somebody")
	dir := t.TempDir()
	file, unsigned := filepath.Join(dir, "nginx.bundle.tar"), filepath.Join(dir, "unsigned.bundle.tar")
	m := bare(t)
	here := newMachine(t)
	here.pkg("bundle", "create", "bundled/nginx", "--sign", "--key", "ops", "--keyring", private, "-o", file)
	here.pkg("bundle", "create", "bundled/nginx", "-o", unsigned)
	again := filepath.Join(dir, "again.bundle.tar")
	here.pkg("bundle", "create", "bundled/nginx", "-o", again)
	if sumOf(t, again) != sumOf(t, unsigned) {
		t.Error("the same bundle made twice differs")
	}
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	blob := largestBlob(t, file)
	bad := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	tampered := bytes.Clone(good)
	tampered[len(tampered)*2/3] ^= 0x40
	for _, tt := range []struct {
		what string
		want []string
		args []string
	}{
		{"a changed byte", []string{blob, "layer 1 of image docker.io/library/nginx:1.22", "is damaged"}, []string{bad("tampered", tampered)}},
		{"a file cut short", []string{"the file is cut short"}, []string{bad("short", good[:len(good)/2])}},
		{"a key that nobody trusts", []string{"signature of the bundle", "unknown entity"}, []string{file, "--verify", "--keyring", others}},
		{"no signature", []string{"the bundle is not signed"}, []string{unsigned, "--verify", "--keyring", public}},
		{"no bundle", []string{"it is no bundle"}, []string{bad("text", []byte("hello"))}},
	} {
		m.fails(1, tt.want, append([]string{"bundle", "install"}, tt.args...)...)
		if left, err := os.ReadDir(filepath.Dir(m.home)); err != nil || len(left) > 0 {
			t.Errorf("%s has left %v, %v", tt.what, left, err)
		}
	}
	m.fails(1, []string{"is damaged"}, "bundle", "inspect", filepath.Join(dir, "tampered"))
	full := smallDisk(t, 20<<20)
	here.fails(1, []string{"no space left on device"}, "bundle", "create", "bundled/nginx", "-o", filepath.Join(full, "a.bundle.tar"))
	if left, err := os.ReadDir(full); err != nil || len(left) > 0 {
		t.Errorf("a full disk has %v, %v", left, err)
	}

	registry := serveRepo(t, here)
	ref := "oci://" + registry + "/bundles/nginx"
	here.pkg("bundle", "push", file, ref)
	back := filepath.Join(dir, "back.bundle.tar")
	here.pkg("bundle", "pull", ref+":1.0.0", "--verify", "--keyring", public, "-o", back)
	if sumOf(t, back) != sumOf(t, file) {
		t.Error("the bundle is another one after push and pull")
	}
	m.pkg("bundle", "install", ref+":1.0.0", "--verify", "--keyring", public)
	address := m.kubectl("get", "service", "nginx", "-o", "jsonpath={.spec.clusterIP}")
	answer, err := (&http.Client{Timeout: 10 * time.Second}).Get("http://" + address + "/")
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		t.Errorf("nginx answers %s", answer.Status)
	}
	// This machine can neither fetch nor build: the image comes from its cluster.
	own := filepath.Join(dir, "own.bundle.tar")
	if r := m.try("pkg", "bundle", "create", "bundled/nginx", "-o", own); r.code != 0 || !strings.Contains(r.stdout, "1 image") {
		t.Errorf("a bundle of what the cluster has: exit code %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	if largestBlob(t, own) != blob {
		t.Error("the cluster's image is another one than the bundle's that it came from")
	}
	if out := m.pkg("image", "load", file); !strings.Contains(out, "loaded docker.io/library/nginx:1.22") {
		t.Errorf("image load of a bundle: %s", out)
	}
	if left, err := os.ReadDir(filepath.Join(filepath.Dir(m.home), "cache")); err != nil {
		t.Error(err)
	} else {
		for _, l := range left {
			if strings.HasPrefix(l.Name(), "bundle-") {
				t.Errorf("%s is left in the cache", l.Name())
			}
		}
	}
}

// largestBlob is the digest of the file's largest blob.
func largestBlob(t *testing.T, file string) string {
	t.Helper()
	out, err := exec.Command("sh", "-c", `tar -tvf "$0" | sort -k3 -n | tail -1`, file).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out[bytes.LastIndexByte(out, '/')+1:]))
}

// smallDisk is a file system in memory.
func smallDisk(t *testing.T, size int) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", size)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// serveRepo runs `pkg repo serve` until the test ends, and returns its address.
func serveRepo(t *testing.T, m *machine) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	c := exec.Command(binary("pkg"), "repo", "serve", "--data", t.TempDir(), "--listen", address, "--allow-anonymous-push", "--quiet")
	c.Env = m.env
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Process.Signal(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		_ = c.Wait() // ended by a signal
	})
	eventually(t, 10*time.Second, func() error {
		r, err := http.Get("http://" + address + "/health")
		if err == nil {
			r.Body.Close()
		}
		return err
	})
	return address
}

// TestBundleFullDisk: images that do not fit are refused as a whole.
func TestBundleFullDisk(t *testing.T) {
	file := filepath.Join(t.TempDir(), "nginx.bundle.tar")
	newMachine(t).pkg("bundle", "create", "bundled/nginx", "-o", file)
	m := diskful(t, 90<<20)
	m.env = append(m.env, "PKG_IMAGE_CACHE="+filepath.Join(t.TempDir(), "none"))
	m.pkg("cluster", "start", "--eviction-hard", "nodefs.available<1Mi,imagefs.available<1Mi")
	m.fails(1, []string{"load the bundle's images", "no space left on device"}, "bundle", "install", file)
	if images := m.pkg("image", "ls", "-o", "json"); strings.TrimSpace(images) != "[]" {
		t.Errorf("images after all: %s", images)
	}
	if releases := m.pkg("list", "-q"); strings.TrimSpace(releases) != "" {
		t.Errorf("releases after all: %s", releases)
	}
	for _, dir := range []string{"layers", "blobs/sha256"} {
		found, err := filepath.Glob(filepath.Join(m.home, "images", dir, "*"))
		if err != nil || len(found) > 0 {
			t.Errorf("%s has %v, %v", dir, found, err)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(m.home, "images", ".load-*")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// TestMirrorWithImages copies a chart with its image to pkg repo serve, and installs both
// from there on a machine that can build nothing.
func TestMirrorWithImages(t *testing.T) {
	here := newMachine(t)
	host := serveRepo(t, here)
	file := filepath.Join(t.TempDir(), "registries.yaml")
	args := []string{"repo", "mirror", "stable", "http://" + host, "--chart", "nginx", "--with-images", "--registries-file", file}
	if out := here.pkg(args...); !strings.Contains(out, "copied 1 ") || !strings.Contains(out, " 1 image") {
		t.Errorf("mirror: %s", out)
	}
	if again := here.try("pkg", args...); again.code != 0 || !strings.Contains(again.stdout, "copied 0 ") || strings.Contains(again.stderr, "pushing") {
		t.Errorf("again: exit code %d\n%s%s", again.code, again.stdout, again.stderr)
	}
	text, err := os.ReadFile(file)
	if err != nil || !strings.Contains(string(text), "http://"+host+"/images/docker.io") {
		t.Fatalf("registries file: %s, %v", text, err)
	}
	m := bare(t)
	if err := errors.Join(os.MkdirAll(m.home, 0o755), os.WriteFile(filepath.Join(m.home, "registries.yaml"), text, 0o600)); err != nil {
		t.Fatal(err)
	}
	m.pkg("repo", "add", "team", "http://"+host)
	m.pkg("install", "team/nginx")
	var images []struct{ Name, Origin string }
	if err := json.Unmarshal([]byte(m.pkg("image", "ls", "-o", "json")), &images); err != nil {
		t.Fatal(err)
	}
	if len(images) != 1 || images[0].Name != "docker.io/library/nginx:1.22" || strings.Contains(images[0].Origin, "built") {
		t.Errorf("images %+v", images)
	}
}
