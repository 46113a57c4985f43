package main

import (
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// registryWorld is the registries that a cluster without a network has: a mirror of Docker
// Hub, one that wants credentials, and example.com, which has a certificate of its
// own CA and is reached through a proxy only.
type registryWorld struct {
	t        *testing.T
	program  []byte
	mirror   string // hosts
	private  string
	example  *httptest.Server
	proxy    string       // a URL
	connects atomic.Int64 // to example.com
}

const pusher, pusherPassword = "me", "secret"

func newRegistryWorld(t *testing.T) *registryWorld {
	w := &registryWorld{t: t, program: buildStandIn(t)}
	images := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	serve := func(h http.Handler) string {
		s := httptest.NewServer(h)
		t.Cleanup(s.Close)
		return s.Listener.Addr().String()
	}
	w.mirror = serve(images)
	w.private = serve(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != pusher || password != pusherPassword {
			out.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			out.WriteHeader(http.StatusUnauthorized)
			return
		}
		images.ServeHTTP(out, r)
	}))
	w.example = httptest.NewTLSServer(images)
	t.Cleanup(w.example.Close)
	w.proxy = serve(http.HandlerFunc(w.connect))
	return w
}

// connect is the proxy.
func (w *registryWorld) connect(out http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodConnect || r.Host != "example.com:443" {
		out.WriteHeader(http.StatusForbidden)
		return
	}
	w.connects.Add(1)
	to, err := net.Dial("tcp", w.example.Listener.Addr().String())
	if err != nil {
		out.WriteHeader(http.StatusBadGateway)
		return
	}
	defer to.Close()
	from, _, err := out.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	defer from.Close()
	if _, err := io.WriteString(from, "HTTP/1.1 200 OK\r\n\r\n"); err != nil {
		return
	}
	go func() { // ends when either side closes
		_, _ = io.Copy(to, from)
		_ = to.Close()
	}()
	_, _ = io.Copy(from, to)
}

// push makes an image of the stand-in and returns its digest.
func (w *registryWorld) push(repository, version string) string {
	w.t.Helper()
	img, err := mutate.AppendLayers(empty.Image, layer(w.t, programTar(w.t, w.program)))
	if err == nil {
		img, err = mutate.Config(img, v1.Config{Entrypoint: []string{"/bin/standin", "serve", "80"}, Env: []string{"VERSION=" + version}})
	}
	if err != nil {
		w.t.Fatal(err)
	}
	ref, err := name.ParseReference(w.private + "/" + repository)
	if err == nil {
		err = remote.Write(ref, img, remote.WithAuth(&authn.Basic{Username: pusher, Password: pusherPassword}))
	}
	if err != nil {
		w.t.Fatal(err)
	}
	digest, err := img.Digest()
	if err != nil {
		w.t.Fatal(err)
	}
	return digest.String()
}

// configure writes the cluster's registries.yaml.
func (w *registryWorld) configure(home string) {
	w.t.Helper()
	ca := filepath.Join(w.t.TempDir(), "ca.pem")
	text := fmt.Sprintf("mirrors: {docker.io: {endpoint: ['http://%s/hub']}}\nconfigs: {example.com: {tls: {ca_file: %s}}}\n", w.mirror, ca)
	for path, content := range map[string][]byte{
		ca:                                     pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: w.example.Certificate().Raw}),
		filepath.Join(home, "registries.yaml"): []byte(text),
	} {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			w.t.Fatal(err)
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			w.t.Fatal(err)
		}
	}
}

// TestRegistries: a cluster pulls through a mirror, with the credentials of a
// ServiceAccount and of pkg registry login, and through a proxy that it keeps when
// the shell has lost it; a release is rolled back to what it ran when tag and
// registry have gone.
func TestRegistries(t *testing.T) {
	w := newRegistryWorld(t)
	w.push("hub/library/app:1", "1")
	w.push("team/app:1", "1")
	first := w.push("shop:1", "1")
	m := newMachine(t)
	w.configure(m.home)
	plain := m.env
	m.env = append(slices.Clone(plain), "HTTPS_PROXY=http://user:password@"+w.proxy, "NO_PROXY=other.example.com")
	m.pkg("cluster", "start")
	m.env = plain
	m.killDaemon()
	m.pkg("cluster", "start")
	if out := m.pkg("cluster", "status"); !strings.Contains(out, "http://user:xxxxx@"+w.proxy+" for https, not for other.example.com") || !strings.Contains(out, "mirrors of docker.io") {
		t.Errorf("status:\n%s", out)
	}
	m.pullSecrets(t, w)
	w.connects.Store(0)
	image := "example.com/shop:1"
	m.pkg("install", "shop", "testdata/moving", "--set", "image="+image, "--timeout", "30s")
	if w.connects.Load() == 0 {
		t.Error("the proxy was not asked")
	}
	second := w.push("shop:1", "2")
	m.pkg("upgrade", "shop", "testdata/moving", "--set", "image="+image+",turn=2", "--timeout", "30s")
	if got := m.movingImage(); got != "example.com/shop@"+second {
		t.Errorf("after the tag moved %s runs, want %s", got, second)
	}
	m.pkg("image", "prune")
	w.example.CloseClientConnections()
	w.example.Close()
	if r := m.try("pkg", "rollback", "shop", "1", "--timeout", "30s"); r.code != 0 || !strings.Contains(r.stderr, first) {
		t.Errorf("rollback: %d\n%s", r.code, r.stderr)
	}
	if got := m.movingImage(); got != "example.com/shop@"+first {
		t.Errorf("rolled back to %s, want %s", got, first)
	}
	m.pkg("image", "prune", "--all")
	if out := m.pkg("image", "ls", "-o", "json"); strings.Contains(out, second) || !strings.Contains(out, first) {
		t.Errorf("prune --all left:\n%s", out)
	}
	m.saved(t, "docker.io/library/app:1", "example.com/shop@"+first)
}

// pullSecrets: an image is refused without credentials, and given with those of
// the ServiceAccount, and with those of pkg registry login.
func (m *machine) pullSecrets(t *testing.T, w *registryWorld) {
	pod := func(name, image string) string {
		return fmt.Sprintf(`{apiVersion: v1, kind: Pod, metadata: {name: %s}, spec: {terminationGracePeriodSeconds: 0, containers: [{name: c, image: %q}]}}`, name, image)
	}
	m.apply(pod("hub", "app:1"), pod("before", w.private+"/team/app:1"), `{apiVersion: v1, kind: ServiceAccount, metadata: {name: team}, imagePullSecrets: [{name: team}]}`)
	m.kubectl("create", "secret", "docker-registry", "team", "--docker-server="+w.private, "--docker-username="+pusher, "--docker-password="+pusherPassword)
	m.apply(strings.Replace(pod("after", w.private+"/team/app:1"), "spec: {", "spec: {serviceAccountName: team, ", 1))
	eventually(t, 10*time.Second, func() error {
		got := m.kubectl("get", "pod", "before", "-o", "jsonpath={.status.containerStatuses[0].state.waiting.reason}: {.status.containerStatuses[0].state.waiting.message}")
		if !strings.Contains(got, "ImagePull") || !strings.Contains(got, "need credentials") {
			return fmt.Errorf("the pod without credentials: %s", got)
		}
		return nil
	})
	m.kubectl("wait", "--for=condition=Ready", "pod/hub", "pod/after", "--timeout=20s")
	m.kubectl("delete", "pod", "hub", "before", "after", "--now")
	m.fails(1, []string{"need credentials"}, "image", "pull", w.private+"/team/app:1")
	m.pkg("registry", "login", w.private, "-u", pusher, "-p", pusherPassword)
	m.pkg("image", "pull", w.private+"/team/app:1")
}

// movingImage is the ID of the image that the chart's pod runs.
func (m *machine) movingImage() string {
	m.t.Helper()
	return m.kubectl("get", "pods", "-l", "app=moving", "-o", "jsonpath={.items[0].status.containerStatuses[0].imageID}")
}

// saved saves images, removes one, and loads it again.
func (m *machine) saved(t *testing.T, pulled, moved string) {
	m.pkg("image", "pull", pulled)
	file := filepath.Join(t.TempDir(), "images.tar")
	m.pkg("image", "save", pulled, moved, "-o", file)
	m.pkg("image", "rm", pulled)
	m.fails(1, []string{"no such image"}, "image", "save", pulled, "-o", file+"2")
	if out := m.pkg("image", "load", file); !strings.Contains(out, "loaded "+pulled) {
		t.Errorf("loaded:\n%s", out)
	}
	if out := m.pkg("image", "ls"); !strings.Contains(out, pulled) {
		t.Errorf("images:\n%s", out)
	}
}
