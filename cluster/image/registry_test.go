package image

import (
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/seed38700745/pkg/cluster/cri"
)

// protected wants one of the users, with the password "secret".
func protected(users ...string) func(http.Handler) http.Handler {
	return func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			user, password, _ := r.BasicAuth()
			for _, u := range users {
				if user == u && password == "secret" {
					h.ServeHTTP(w, r)
					return
				}
			}
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			w.WriteHeader(http.StatusUnauthorized)
		})
	}
}

func writeText(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestCredentials: those of the pod, of files of Docker's, and of the cluster's
// registries each open a registry; wrong ones before them do no harm.
func TestCredentials(t *testing.T) {
	host := serve(t, protected("me"))
	push(t, host+"/team/app:1", imageWith(t, v1.Config{}, layerOf(t, regular("a", "a"))),
		remote.WithAuth(&authn.Basic{Username: "me", Password: "secret"}))
	registriesFile := writeText(t, "registries.yaml", fmt.Sprintf("configs: {%q: {auth: {username: me, password: secret}}}", host))
	docker := writeText(t, "config.json", fmt.Sprintf(`{"auths":{%q:{"auth":%q}}}`, "https://"+host+"/v2/", base64.StdEncoding.EncodeToString([]byte("me:secret"))))
	wrong := cri.Credential{Registry: host + "/team", Username: "me", Password: "wrong"}
	right := cri.Credential{Registry: host, Username: "me", Password: "secret"}
	for what, test := range map[string]struct {
		config Config
		pod    cri.Credentials
		ok     bool
	}{
		"none":                       {},
		"wrong ones":                 {pod: cri.Credentials{wrong}},
		"another repository's":       {pod: cri.Credentials{{Registry: host + "/other", Username: "me", Password: "secret"}}},
		"the pod's":                  {pod: cri.Credentials{right}, ok: true},
		"the second of the pod's":    {pod: cri.Credentials{right, wrong}, ok: true},
		"docker's":                   {config: Config{DockerConfigs: []string{"/does/not/exist", docker}}, ok: true},
		"docker's after the pod's":   {config: Config{DockerConfigs: []string{docker}}, pod: cri.Credentials{wrong}, ok: true},
		"a broken file and the next": {config: Config{DockerConfigs: []string{writeText(t, "broken", "{"), docker}}, ok: true},
		"the cluster's":              {config: Config{Registries: registriesFile}, ok: true},
	} {
		_, err := open(t, test.config).Ensure(t.Context(), host+"/team/app:1", cri.PullIfNotPresent, test.pod, nil)
		if (err == nil) != test.ok || err != nil && !strings.Contains(err.Error(), "refuses "+host+"/team/app:1 (it may not exist, or need credentials)") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestFits(t *testing.T) {
	for _, test := range []struct {
		key, image string
		want       bool
	}{
		{"https://index.docker.io/v1/", "nginx:1", true},
		{"docker.io", "nginx:1", true},
		{"quay.io/team", "quay.io/team/app:1", true},
		{"quay.io/team", "quay.io/teams/app:1", false},
		{"*.example.com", "r.example.com/a:1", true},
		{"*.example.com", "example.com/a:1", false},
		{"*.example.com", "a.b.example.com/a:1", false},
		{"r.example.com:5000", "r.example.com:5000/a:1", true},
		{"r.example.com", "r.example.com:5000/a:1", false},
	} {
		ref, err := name.ParseReference(test.image)
		if err != nil {
			t.Fatal(err)
		}
		if got := fits(test.key, ref.Context()); got != test.want {
			t.Errorf("%s for %s: %v", test.key, test.image, got)
		}
	}
}

// TestMirror: an image of another registry comes from the second mirror, the
// first being away, under its own name; a change of the file counts at once.
func TestMirror(t *testing.T) {
	host := serve(t, nil)
	push(t, host+"/hub/library/app:1", imageWith(t, v1.Config{}, layerOf(t, regular("a", "a"))))
	file := writeText(t, "registries.yaml", "mirrors: {docker.io: {endpoint: ['http://127.0.0.1:1', 'http://127.0.0.1:2/hub']}}")
	s := open(t, Config{Registries: file, ConnectTimeout: time.Second, Proxy: func(r *http.Request) (*url.URL, error) {
		if !strings.HasPrefix(r.URL.Host, "127.0.0.1") {
			return nil, fmt.Errorf("no way to %s", r.URL.Host)
		}
		return nil, nil
	}})
	if _, err := s.Ensure(t.Context(), "app:1", cri.PullIfNotPresent, nil, nil); err == nil {
		t.Error("pulled from nowhere")
	}
	text := fmt.Sprintf("mirrors: {docker.io: {endpoint: ['http://127.0.0.1:1', 'http://%s/hub']}}", host)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	img, err := s.Ensure(t.Context(), "app:1", cri.PullIfNotPresent, nil, nil)
	if err != nil || img.Name != "docker.io/library/app:1" || !strings.HasPrefix(img.Digest, "docker.io/library/app@sha256:") {
		t.Errorf("through the mirror: %+v, %v", img, err)
	}
	if err := os.WriteFile(file, []byte("mirrors: []"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Ensure(t.Context(), "other:1", cri.PullIfNotPresent, nil, nil); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("a broken file: %v", err)
	}
}

// TestOwnCAAndProxy pulls over TLS, by a certificate that only the file's CA
// vouches for, through an HTTP proxy.
func TestOwnCAAndProxy(t *testing.T) {
	server := httptest.NewTLSServer(registry.New())
	t.Cleanup(server.Close)
	address := server.Listener.Addr().String()
	const host = "example.com" // what the server's certificate is for
	push(t, address+"/app:1", imageWith(t, v1.Config{}, layerOf(t, regular("a", "a"))), remote.WithTransport(server.Client().Transport))
	ca := writeText(t, "ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})))
	var connects atomic.Int64
	proxy := connectProxy(t, address, &connects)
	through := func(*http.Request) (*url.URL, error) { return proxy, nil }
	for what, test := range map[string]struct {
		text string
		want string
	}{
		"nothing said": {"{}", "certificate"},
		"own CA":       {fmt.Sprintf("configs: {example.com: {tls: {ca_file: %s}}}", ca), ""},
		"another's CA": {fmt.Sprintf("configs: {other.example.com: {tls: {ca_file: %s}}}", ca), "certificate"},
		"no checks":    {"configs: {example.com: {tls: {insecure_skip_verify: true}}}", ""},
	} {
		s := open(t, Config{Registries: writeText(t, "registries.yaml", test.text), Proxy: through})
		img, err := s.Ensure(t.Context(), host+"/app:1", cri.PullIfNotPresent, nil, nil)
		switch {
		case test.want == "" && err != nil:
			t.Errorf("%s: %v", what, err)
		case test.want == "" && read(t, img.Layers[0], "a") != "a":
			t.Errorf("%s: %+v", what, img)
		case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
			t.Errorf("%s: %v", what, err)
		}
	}
	if connects.Load() == 0 {
		t.Error("the proxy was not asked")
	}
}

// connectProxy is an HTTP proxy that leads every connection to one address.
func connectProxy(t *testing.T, address string, connects *atomic.Int64) *url.URL {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect {
			w.WriteHeader(http.StatusMethodNotAllowed)
			return
		}
		connects.Add(1)
		to, err := net.Dial("tcp", address)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer to.Close()
		from, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		defer from.Close()
		if _, err := io.WriteString(from, "HTTP/1.1 200 OK\r\n\r\n"); err != nil {
			return
		}
		go func() { // ends when either side closes
			_, _ = io.Copy(to, from)
			_ = to.(*net.TCPConn).CloseWrite()
		}()
		_, _ = io.Copy(from, to)
	}))
	t.Cleanup(server.Close)
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// TestLayersAtOnce: no layer's download ends before another has begun, and the
// progress counts the bytes of all.
func TestLayersAtOnce(t *testing.T) {
	both := make(chan struct{})
	var waiting atomic.Int64
	host := serve(t, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/") {
				if waiting.Add(1) == 3 { // the configuration, and two layers
					close(both)
				}
				if waiting.Load() > 1 {
					select {
					case <-both:
					case <-time.After(10 * time.Second):
						t.Error("the second layer waits for the first")
					}
				}
			}
			h.ServeHTTP(w, r)
		})
	})
	big := strings.Repeat("x", 3<<20)
	same := layerOf(t, regular("same", "s"))
	push(t, host+"/app:1", imageWith(t, v1.Config{}, layerOf(t, regular("a", big)), same, layerOf(t, regular("b", "b")), same))
	var mu sync.Mutex
	var last cri.ImageProgress
	img, err := open(t, Config{}).Ensure(t.Context(), host+"/app:1", cri.PullIfNotPresent, nil, func(p cri.ImageProgress) {
		mu.Lock()
		defer mu.Unlock()
		if p.Stage == "downloading" {
			last = p
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if last.Done != last.Total || last.Total == 0 {
		t.Errorf("the last progress was %+v", last)
	}
	if diff := cmp.Diff([]string{big, "s", "b", "s"}, []string{read(t, img.Layers[0], "a"), read(t, img.Layers[1], "same"), read(t, img.Layers[2], "b"), read(t, img.Layers[3], "same")}); diff != "" {
		t.Error(diff)
	}
}
