package main

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// powerCuts is how often TestPowerCutOfEverything cuts: PKG_POWER_CUTS, or a few.
func powerCuts(t *testing.T) int {
	t.Helper()
	text := os.Getenv("PKG_POWER_CUTS")
	if text == "" {
		return 4
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("PKG_POWER_CUTS: %v", err)
	}
	return n
}

// blobImage is an image archive whose one file of weight is /blob.
type blobImage struct {
	name, file, sum string
}

// newBlobImage writes an archive of busybox's files and a random blob.
func newBlobImage(t *testing.T, dir, called string, busybox []byte) blobImage {
	t.Helper()
	blob := random(t, 2<<20)
	var packed bytes.Buffer
	w := tar.NewWriter(&packed)
	if err := w.WriteHeader(&tar.Header{Name: "blob", Mode: 0o644, Size: int64(len(blob))}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(blob); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	image, err := mutate.AppendLayers(empty.Image, layer(t, busybox), layer(t, packed.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	ref, err := name.ParseReference(called)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(blob)
	b := blobImage{name: called, file: filepath.Join(dir, strings.ReplaceAll(called, ":", "-")+".tar"), sum: hex.EncodeToString(sum[:])}
	if err := tarball.WriteToFile(b.file, ref, image); err != nil {
		t.Fatal(err)
	}
	return b
}

// background runs pkg until it ends, which a power cut may hasten.
func (m *machine) background(ctx context.Context, args ...string) error {
	c := exec.CommandContext(ctx, binary("pkg"), args...)
	c.Env = m.env
	return c.Run()
}

// The power is cut while clients write objects, images are loaded and a pod
// writes and syncs its volume: what was acknowledged is there, no image is there
// in part, and pods start again.
func TestPowerCutOfEverything(t *testing.T) {
	const seed, clients, pulled = 20261121, 2, "docker.io/library/nginx:1.22"
	cuts := powerCuts(t)
	rng := rand.New(rand.NewPCG(seed, 1))
	m := newMachine(t)
	d := m.newDisk(t, 1<<30)
	m.pkg("cluster", "start")
	m.apply(`{"apiVersion":"v1","kind":"PersistentVolumeClaim","metadata":{"name":"data"},"spec":{"accessModes":["ReadWriteOnce"],"resources":{"requests":{"storage":"1Mi"}}}}`,
		`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"w"},"spec":{"terminationGracePeriodSeconds":1,"volumes":[{"name":"d","persistentVolumeClaim":{"claimName":"data"}}],"containers":[{"name":"c","image":"`+busybox+`","command":["sleep","10000"],"volumeMounts":[{"name":"d","mountPath":"/d"}]}]}}`)
	m.kubectl("wait", "--for=condition=Ready", "pod/w", "--timeout=60s")
	files := []byte(m.kubectl("exec", "w", "--", "tar", "-cf", "-", "bin", "etc/passwd"))
	archives := t.TempDir()

	var ledgers []*ledger
	sums := map[string]string{}  // of blobs, by image
	loaded := map[string]bool{}  // acknowledged
	written := make([]int, cuts) // acknowledged lines, by cut
	slowest := time.Duration(0)  // until the pod writes again
	for cut := range cuts {
		var images []blobImage
		for n := range 6 {
			b := newBlobImage(t, archives, fmt.Sprintf("cut%d:%d", cut, n), files)
			images = append(images, b)
			sums[b.name] = b.sum
		}
		c := m.client(t)
		var g sync.WaitGroup
		for n := range clients {
			l := &ledger{acknowledged: map[string]string{}, unknown: map[string]bool{}}
			ledgers = append(ledgers, l)
			own := rand.New(rand.NewPCG(seed, uint64(cut*clients+n+2)))
			g.Go(func() { l.load(t.Context(), c, fmt.Sprintf("m%d-%d", cut, n), own) })
		}
		done := 0
		g.Go(func() {
			for _, b := range images {
				if m.background(t.Context(), "image", "load", b.file) != nil {
					return
				}
				done++
			}
			// One more that is large and unpacked anew each time.
			if m.background(t.Context(), "image", "pull", pulled) == nil {
				_ = m.background(t.Context(), "image", "rm", pulled) // or the power is cut before
			}
		})
		p := m.start(t, "pkg", "kubectl", "exec", "w", "--", "sh", "-c",
			fmt.Sprintf(`n=0; while n=$((n+1)); do echo $n >> /d/log%[1]d; sync /d/log%[1]d || exit; echo $n; done`, cut))
		eventually(t, 20*time.Second, func() error {
			if p.out.String() == "" {
				return errors.New("the pod has written nothing")
			}
			return nil
		})
		<-time.After(time.Duration(rng.IntN(600)) * time.Millisecond)
		cutPower(t, d, func() { g.Wait(); <-p.done })
		for _, b := range images[:done] {
			loaded[b.name] = true
		}
		written[cut] = acknowledgedLines(p.out.String())

		start := time.Now()
		m.pkg("cluster", "start")
		there := configMaps(t, m.client(t))
		writes := 0
		for _, l := range ledgers {
			l.check(t, there)
			writes += l.writes
		}
		m.checkImages(t, sums, loaded)
		for n := range cut + 1 {
			checkLines(t, filepath.Join(m.volume(t, "data"), fmt.Sprintf("log%d", n)), written[n])
		}
		eventually(t, time.Minute, func() error {
			if r := m.try("pkg", "kubectl", "exec", "w", "--", "touch", "/d/again"); r.code != 0 {
				return &exitStatus{r}
			}
			return nil
		})
		slowest = max(slowest, time.Since(start))
		t.Logf("cut %d: %d object writes, %d images, %d lines of this turn acknowledged; all checked and the pod writes again after %s",
			cut, writes, len(loaded), written[cut], time.Since(start).Round(time.Millisecond))
		for _, b := range images {
			if err := os.Remove(b.file); err != nil {
				t.Fatal(err)
			}
		}
	}
	if len(loaded) == 0 {
		t.Error("no image was loaded in any turn")
	}
	for image := range loaded { // any one, as a container sees it
		m.apply(strings.Replace(podManifest("see", "sha256sum", "/blob"), busybox, image, 1))
		eventually(t, time.Minute, func() error {
			if got := m.try("pkg", "kubectl", "logs", "see").stdout; got != sums[image]+"  /blob\n" {
				return fmt.Errorf("the pod of image %s says %q, want %s", image, got, sums[image])
			}
			return nil
		})
		break
	}
	m.apply(`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"n"},"spec":{"containers":[{"name":"c","image":"` + pulled + `","readinessProbe":{"httpGet":{"path":"/","port":80},"periodSeconds":1}}]}}`)
	m.kubectl("wait", "--for=condition=Ready", "pod/n", "--timeout=60s")
	t.Logf("%d cuts; the slowest return took %s", cuts, slowest.Round(time.Millisecond))
}

// acknowledgedLines is the last whole number that a writer has told of.
func acknowledgedLines(said string) int {
	last := 0
	for line := range strings.Lines(said) {
		if n, err := strconv.Atoi(strings.TrimSuffix(line, "\n")); err == nil && strings.HasSuffix(line, "\n") {
			last = n
		}
	}
	return last
}

// checkLines looks for the lines 1 to n at the start of a file.
func checkLines(t *testing.T, file string, n int) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Errorf("what the pod synced: %v", err)
		return
	}
	var want strings.Builder
	for i := range n {
		fmt.Fprintln(&want, i+1)
	}
	if !strings.HasPrefix(string(text), want.String()) {
		t.Errorf("%s has %d bytes, and not the %d lines that were synced", file, len(text), n)
	}
}

// checkImages looks for every acknowledged image, and whether what there is of
// any has the content that it should.
func (m *machine) checkImages(t *testing.T, sums map[string]string, loaded map[string]bool) {
	t.Helper()
	listed := m.pkg("image", "ls")
	for image := range loaded {
		repository, tag, _ := strings.Cut(image, ":")
		if !strings.Contains(listed, repository+":"+tag) {
			t.Errorf("image %s was loaded and is not listed:\n%s", image, listed)
		}
	}
	known := map[string]bool{}
	for _, sum := range sums {
		known[sum] = true
	}
	blobs, err := filepath.Glob(filepath.Join(m.home, "images", "layers", "*", "fs", "blob"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range blobs {
		if strings.Contains(file, "/.tmp-") {
			continue // never used, and removed in time
		}
		content, err := os.ReadFile(file)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		sum := sha256.Sum256(content)
		if !known[hex.EncodeToString(sum[:])] {
			t.Errorf("layer %s is there in part: %d bytes", file, len(content))
		}
	}
	if len(blobs) < len(loaded) {
		t.Errorf("%d layers for %d images", len(blobs), len(loaded))
	}
}
