package server_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"golang.org/x/sync/errgroup"

	"github.com/seed38700745/pkg/cluster/store/powercut"
	"github.com/seed38700745/pkg/repo/server"
)

// serveEnv makes the test binary a server of the folder it names, so that it can
// be killed.
const serveEnv = "PKG_REPO_TEST_SERVE"

func TestMain(m *testing.M) {
	if dir := os.Getenv(serveEnv); dir != "" {
		if err := serveFolder(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func serveFolder(dir string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	c := server.Config{Data: dir, Listen: "127.0.0.1:0"}
	open(&c)
	s, err := server.Open(c)
	if err != nil {
		return err
	}
	l, err := s.Listen()
	if err != nil {
		return errors.Join(err, s.Close())
	}
	fmt.Println("http://" + l.Addr().String())
	return errors.Join(s.Serve(ctx, l), s.Close())
}

// process is a server that can be killed.
type process struct {
	cmd  *exec.Cmd
	base string
}

func startProcess(t *testing.T, dir string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(os.Args[0])}
	p.cmd.Env = append(os.Environ(), serveEnv+"="+dir)
	var talk bytes.Buffer
	p.cmd.Stderr = &talk
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		p.kill()
		t.Fatalf("server did not start: %v\n%s", err, talk.String())
	}
	p.base = strings.TrimSpace(line)
	return p
}

// kill is kill -9; again it does nothing.
func (p *process) kill() {
	if p.cmd.ProcessState == nil {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait() // killed is an error
	}
}

// uploaders push charts until the server is gone, and remember what was
// acknowledged. Every second one pushes to the registry, the others over HTTP.
type uploaders struct {
	wait   sync.WaitGroup
	base   string
	client *http.Client

	mu    sync.Mutex
	acked map[string][]byte // archives by file name; guarded by mu
	oci   int               // of them pushed to the registry; guarded by mu
	bad   []string          // answers that should not be; guarded by mu
	// enough is closed when so many were acknowledged, a quarter of them by the registry.
	enough chan struct{}
	closed bool // guarded by mu
	want   int
}

func startUploaders(t *testing.T, base string, round, clients, want int) *uploaders {
	t.Helper()
	u := &uploaders{
		base: base, acked: map[string][]byte{}, enough: make(chan struct{}), want: want,
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: clients}, Timeout: 20 * time.Second},
	}
	for n := range clients {
		u.wait.Go(func() {
			for i := 0; ; i++ {
				version := fmt.Sprintf("%d.%d.0", round, i)
				chart := fmt.Sprintf("c%d", n)
				archive := pack(t, chart, version, map[string]string{"noise": strings.Repeat(version, n)})
				push, oci := u.pushHTTP, n%2 == 1
				if oci {
					push = u.pushOCI
				}
				status, body, err := push(chart, version, archive)
				if err != nil {
					return // the server is gone
				}
				u.note(chart+"-"+version+".tgz", archive, status, body, oci)
				if status != http.StatusCreated {
					return // after a power cut everything fails
				}
			}
		})
	}
	t.Cleanup(u.client.CloseIdleConnections)
	return u
}

func (u *uploaders) send(method, url, kind string, body []byte) (int, string, error) {
	r, err := http.NewRequest(method, url, bytes.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	r.Header.Set("Content-Type", kind)
	w, err := u.client.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer w.Body.Close()
	text, err := io.ReadAll(w.Body)
	return w.StatusCode, string(text), err
}

func (u *uploaders) pushHTTP(_, _ string, archive []byte) (int, string, error) {
	return u.send(http.MethodPost, u.base+"/api/charts", "", archive)
}

// pushOCI does what helm push does: two blobs, then the manifest.
func (u *uploaders) pushOCI(chart, version string, archive []byte) (int, string, error) {
	config := fmt.Appendf(nil, `{"name":%q,"version":%q,"apiVersion":"v2"}`, chart, version)
	at := u.base + "/v2/charts/" + chart
	for _, data := range [][]byte{config, archive} {
		status, text, err := u.send(http.MethodPost, fmt.Sprintf("%s/blobs/uploads/?digest=sha256:%x", at, sha256.Sum256(data)), "application/octet-stream", data)
		if err != nil || status != http.StatusCreated {
			return status, text, err
		}
	}
	return u.send(http.MethodPut, at+"/manifests/"+version, "application/vnd.oci.image.manifest.v1+json", chartManifest(config, archive))
}

// chartManifest is what helm push sends last.
func chartManifest(config, archive []byte) []byte {
	return fmt.Appendf(nil, `{"schemaVersion":2,"config":{"mediaType":"application/vnd.cncf.helm.config.v1+json","digest":"sha256:%x","size":%d},`+
		`"layers":[{"mediaType":"application/vnd.cncf.helm.chart.content.v1.tar+gzip","digest":"sha256:%x","size":%d}]}`,
		sha256.Sum256(config), len(config), sha256.Sum256(archive), len(archive))
}

func (u *uploaders) note(file string, archive []byte, status int, body string, oci bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case status == http.StatusCreated:
		u.acked[file] = archive
		if oci {
			u.oci++
		}
		if !u.closed && len(u.acked) >= u.want && u.oci >= u.want/4 {
			close(u.enough)
			u.closed = true
		}
	case status < 500:
		u.bad = append(u.bad, body)
	}
}

func (u *uploaders) waitEnough(t *testing.T) {
	t.Helper()
	select {
	case <-u.enough:
	case <-time.After(30 * time.Second):
		t.Fatal("uploads are too slow")
	}
}

// check wants everything acknowledged to be there, in the index and in the registry, and
// everything in the index to be there with the content that the index says.
func (u *uploaders) check(t *testing.T, base string) {
	t.Helper()
	if len(u.bad) > 0 {
		t.Fatalf("refused: %s", u.bad[0])
	}
	named := map[string]bool{}
	for _, list := range readIndex(t, base).Entries {
		for _, e := range list {
			named[strings.TrimPrefix(e.URLs[0], "charts/")] = true
		}
	}
	for file, archive := range u.acked {
		w, body := ask(t, "GET", base+"/charts/"+file, nil)
		if w.StatusCode != http.StatusOK || body != string(archive) || !named[file] {
			t.Errorf("%s was acknowledged: %s, in the index %v", file, w.Status, named[file])
		}
		chart, version, _ := strings.Cut(strings.TrimSuffix(file, ".tgz"), "-")
		w, manifest := ask(t, "GET", base+"/v2/charts/"+chart+"/manifests/"+version, nil)
		digest := fmt.Sprintf("sha256:%x", sha256.Sum256(archive))
		if w.StatusCode != http.StatusOK || !strings.Contains(manifest, digest) {
			t.Errorf("%s in the registry: %s %s", file, w.Status, manifest)
			continue
		}
		if w, body := ask(t, "GET", base+"/v2/charts/"+chart+"/blobs/"+digest, nil); body != string(archive) {
			t.Errorf("the blob of %s: %s", file, w.Status)
		}
	}
	t.Logf("%d acknowledged, %d of them by the registry, %d in the index", len(u.acked), u.oci, len(named))
}

const manyUploaders = 32

func TestKill(t *testing.T) {
	dir := t.TempDir()
	for round, want := range []int{1, 40, 120} {
		p := startProcess(t, dir)
		u := startUploaders(t, p.base, round+1, manyUploaders, want)
		u.waitEnough(t)
		p.kill()
		u.wait.Wait()
		p = startProcess(t, dir)
		u.check(t, p.base)
		if left, err := os.ReadDir(dir + "/.pkg/tmp"); err != nil || len(left) > 0 {
			t.Errorf("left behind: %v (%v)", left, err)
		}
		p.kill()
	}
}

func TestPowerCut(t *testing.T) {
	disk := powercut.ForTest(t, 256<<20)
	for round, want := range []int{1, 50, 150} {
		p := startProcess(t, disk.Path())
		u := startUploaders(t, p.base, round+1, manyUploaders, want)
		u.waitEnough(t)
		if err := disk.Cut(); err != nil {
			t.Fatal(err)
		}
		u.wait.Wait()
		p.kill()
		if err := disk.Remount(); err != nil {
			t.Fatal(err)
		}
		p = startProcess(t, disk.Path())
		u.check(t, p.base)
		p.kill()
	}

	p := startProcess(t, disk.Path())
	image, err := random.Image(200<<10, 3)
	if err != nil {
		t.Fatal(err)
	}
	ref := func() name.Reference {
		t.Helper()
		r, err := name.ParseReference(strings.TrimPrefix(p.base, "http://") + "/some/image:1")
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if err := remote.Write(ref(), image); err != nil {
		t.Fatal(err)
	}
	if err := disk.Cut(); err != nil {
		t.Fatal(err)
	}
	p.kill()
	if err := disk.Remount(); err != nil {
		t.Fatal(err)
	}
	p = startProcess(t, disk.Path())
	back, err := remote.Image(ref())
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Image(back); err != nil {
		t.Error(err)
	}
	p.kill()
}

// TestManyPulls has 200 clients fetch a chart of 5 MB at once.
func TestManyPulls(t *testing.T) {
	c := server.Config{}
	open(&c)
	base, _ := start(t, c)
	noise := make([]byte, 5<<20)
	_, _ = rand.Read(noise) // never fails
	archive := pack(t, "big", "1.0.0", map[string]string{"noise": string(noise)})
	push(t, base, archive)
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	want := sha256.Sum256(archive)
	var clients errgroup.Group
	for range 200 {
		clients.Go(func() error {
			r, err := client.Get(base + "/charts/big-1.0.0.tgz")
			if err != nil {
				return err
			}
			hash := sha256.New()
			_, err = io.Copy(hash, r.Body)
			if err := errors.Join(err, r.Body.Close()); err != nil {
				return err
			}
			if !bytes.Equal(hash.Sum(nil), want[:]) {
				return errors.New("another archive came")
			}
			return nil
		})
	}
	if err := clients.Wait(); err != nil {
		t.Error(err)
	}
}

// TestReadWhileUploading wants every index to name only what is there.
func TestReadWhileUploading(t *testing.T) {
	c := server.Config{}
	open(&c)
	base, stop := start(t, c)
	u := startUploaders(t, base, 1, 8, 100)
	for busy := true; busy; {
		select {
		case <-u.enough:
			busy = false
		default:
			readIndex(t, base)
		}
	}
	stop()
	u.wait.Wait()
	if len(u.bad) > 0 {
		t.Errorf("refused: %s", u.bad[0])
	}
}
