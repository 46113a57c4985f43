package backup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/seed38700745/pkg/cluster/backup/archive"
	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/object/builtin"
)

// pod is one that runs and uses a claim.
func pod(name, release, claim string, annotations map[string]string) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, UID: types.UID(name), Annotations: annotations}}
	if release != "" {
		p.Labels = map[string]string{instanceLabel: release}
	}
	p.Spec = corev1.PodSpec{NodeName: "n1", Containers: []corev1.Container{{Name: "main"}, {Name: "side"}},
		Volumes: []corev1.Volume{{Name: "d", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claim}}}}}
	p.Status.ContainerStatuses = []corev1.ContainerStatus{{State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}}
	return p
}

func local(name, claim, path string) *corev1.PersistentVolume {
	v := &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: name}}
	v.Spec.Local = &corev1.LocalVolumeSource{Path: path}
	if claim != "" {
		v.Spec.ClaimRef = &corev1.ObjectReference{Namespace: "ns", Name: claim}
	}
	return v
}

func TestPlan(t *testing.T) {
	over := pod("over", "shop", "c1", nil)
	over.Status.Phase = corev1.PodSucceeded
	p := planOf([]*corev1.PersistentVolume{
		local("v1", "c1", "/v/v1"), local("v2", "c2", "/v/v2"), local("v3", "c3", "/v/v3"), local("v4", "", "/v/v4"),
		local("out", "c5", "/mnt/disk"), local("deep", "c6", "/v/a/b"), {ObjectMeta: metav1.ObjectMeta{Name: "nfs"}},
	}, []*corev1.Pod{pod("db-1", "shop", "c2", nil), pod("db-0", "shop", "c1", nil), over, pod("alone", "", "c3", nil)}, "/v")
	var got []string
	for _, g := range p.groups {
		text := g.name + ":"
		for _, v := range g.volumes {
			text += " " + v.name
		}
		for _, p := range g.pods {
			text += " of " + p.Name
		}
		got = append(got, text)
	}
	want := []string{"claim ns/c3: v3 of alone", "release ns/shop: v1 v2 of db-0 of db-1", "volume v4: v4"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("groups (-want +got):\n%s", diff)
	}
	var skipped []string
	for _, s := range p.withoutData() {
		skipped = append(skipped, s.Name)
	}
	if diff := cmp.Diff([]string{"deep", "nfs", "out", "v1", "v2", "v3", "v4"}, skipped); diff != "" {
		t.Errorf("skipped (-want +got):\n%s", diff)
	}
}

// fakeNode notes what is done to pods.
type fakeNode struct {
	did  []string
	fail string // the call that fails
}

func (n *fakeNode) note(format string, args ...any) error {
	text := fmt.Sprintf(format, args...)
	n.did = append(n.did, text)
	if text == n.fail {
		return errors.New("fails")
	}
	return nil
}

func (n *fakeNode) Exec(_ context.Context, p *corev1.Pod, container string, command []string) (int, string, error) {
	err := n.note("exec %s %s %s", p.Name, container, strings.Join(command, "|"))
	if slices.Contains(command, "exit 3") {
		return 3, "not now", err
	}
	return 0, "", err
}

func (n *fakeNode) Freeze(_ context.Context, p *corev1.Pod) (func() error, error) {
	return func() error { return n.note("thaw %s", p.Name) }, n.note("freeze %s", p.Name)
}

func TestQuiet(t *testing.T) {
	still := pod("still", "", "c", nil)
	still.Status.ContainerStatuses[0].State.Running = nil
	tests := map[string]struct {
		pods []*corev1.Pod
		fail string
		how  string
		err  string
		did  []string
	}{
		"frozen": {pods: []*corev1.Pod{pod("a", "", "c", nil), pod("b", "", "c", nil)}, how: "2 pods frozen",
			did: []string{"freeze a", "freeze b", "thaw b", "thaw a"}},
		"command": {pods: []*corev1.Pod{pod("a", "", "c", map[string]string{PreCommand: "x y", PostCommand: `["z"]`})},
			how: "pre-backup command in 1 pod", did: []string{"exec a main sh|-c|x y", "exec a main z"}},
		"command and frozen": {pods: []*corev1.Pod{pod("a", "", "c", map[string]string{PreCommand: "x", Freeze: "true", Container: "side"})},
			how: "pre-backup command in 1 pod, 1 pod frozen", did: []string{"exec a side sh|-c|x", "freeze a", "thaw a"}},
		"neither":      {pods: []*corev1.Pod{pod("a", "", "c", map[string]string{Freeze: "false"})}, how: "1 pod running on"},
		"does not run": {pods: []*corev1.Pod{still}, how: "no pod ran"},
		"command fails": {pods: []*corev1.Pod{pod("a", "", "c", map[string]string{PreCommand: "exit 3", PostCommand: "z"}), pod("b", "", "c", nil)},
			err: "pod ns/a: pre-backup command: exit code 3 in container main: not now", did: []string{"exec a main sh|-c|exit 3", "exec a main sh|-c|z"}},
		"freeze fails": {pods: []*corev1.Pod{pod("a", "", "c", nil), pod("b", "", "c", nil)}, fail: "freeze b",
			err: "freeze pod ns/b: fails", did: []string{"freeze a", "freeze b", "thaw a"}},
		"no list": {pods: []*corev1.Pod{pod("a", "", "c", map[string]string{PreCommand: "[x"})}, err: "no JSON list"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			n := &fakeNode{fail: test.fail}
			q := &quiet{maker: New(Config{Node: n})}
			how, err := q.begin(t.Context(), test.pods)
			if endErr := q.end(t.Context()); endErr != nil {
				t.Error(endErr)
			}
			if text := fmt.Sprint(err); how != test.how || test.err == "" && err != nil || !strings.Contains(text, test.err) {
				t.Errorf("%q, %v; want %q, %q", how, err, test.how, test.err)
			}
			if diff := cmp.Diff(test.did, n.did); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// world answers lists of volumes and pods.
type world struct {
	object.Verbs
	volumes []object.Object
	pods    []object.Object
}

func (w *world) List(_ context.Context, r object.Resource, _ object.ListOptions) (*object.List, error) {
	switch r {
	case builtin.PersistentVolumes.Resource:
		return &object.List{Items: w.volumes}, nil
	case builtin.Pods.Resource:
		return &object.List{Items: w.pods}, nil
	}
	return nil, fmt.Errorf("list of %s", r)
}

// testMaker is one of a small data folder with one volume.
func testMaker(t *testing.T) (*Maker, *fakeNode) {
	t.Helper()
	home := t.TempDir()
	for name, text := range map[string]string{"instance.json": "{}", "pki/ca.pem": "secret", "lock": "1", "kubeconfig": "k", ".tmp": "", "volumes/v1/f": "data"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(home, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(home, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	n := &fakeNode{}
	return New(Config{
		Header: archive.Header{Cluster: "id"}, Home: home, VolumesDir: filepath.Join(home, "volumes"), Node: n,
		Store: func(w io.Writer) error { _, err := io.WriteString(w, "store"); return err },
		Verbs: &world{volumes: []object.Object{local("v1", "c1", filepath.Join(home, "volumes/v1")), local("new", "c2", filepath.Join(home, "volumes/new"))}, pods: []object.Object{pod("p", "", "c1", nil)}},
		Now:   time.Now, Logger: slog.New(slog.DiscardHandler),
	}), n
}

func TestWrite(t *testing.T) {
	m, n := testMaker(t)
	var out bytes.Buffer
	if _, err := m.Write(t.Context(), &out, Options{Volumes: true}); err != nil {
		t.Fatal(err)
	}
	_, manifest, err := archive.Verify(bytes.NewReader(out.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, e := range manifest.Entries {
		paths = append(paths, e.Path)
	}
	if diff := cmp.Diff([]string{"instance.json", "pki/ca.pem", "store/pkg.db", "volumes/v1", "volumes/v1/f"}, paths); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"freeze p", "thaw p"}, n.did); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if entries, err := os.ReadDir(m.Home); err != nil || len(entries) != 6 {
		t.Errorf("the data folder holds %v afterwards (%v)", entries, err)
	}
}

// A backup that fails says so itself, and pods go on.
func TestWriteFails(t *testing.T) {
	m, n := testMaker(t)
	n.fail = "freeze p"
	var out bytes.Buffer
	if _, err := m.Write(t.Context(), &out, Options{Volumes: true}); err == nil {
		t.Error("no error")
	}
	if _, _, err := archive.Verify(&out); !errors.Is(err, archive.ErrFailed) || !strings.Contains(err.Error(), "freeze pod ns/p") {
		t.Errorf("the archive: %v", err)
	}

	m, n = testMaker(t)
	if _, err := m.Write(t.Context(), &full{room: 700}, Options{Volumes: true}); !errors.Is(err, errFull) {
		t.Errorf("no space: %v", err)
	}
	if slices.Contains(n.did, "freeze p") && !slices.Contains(n.did, "thaw p") {
		t.Error("the pod stands still")
	}
	m.Store = func(io.Writer) error {
		if _, err := m.Write(t.Context(), io.Discard, Options{}); !errors.Is(err, ErrBusy) {
			t.Errorf("two at once: %v", err)
		}
		return errors.New("the store fails")
	}
	if _, err := m.Write(t.Context(), io.Discard, Options{}); err == nil || !strings.Contains(err.Error(), "the store fails") {
		t.Error(err)
	}
}

var errFull = errors.New("no space left on device")

// full takes so many bytes.
type full struct{ room int }

func (f *full) Write(p []byte) (int, error) {
	if f.room -= len(p); f.room < 0 {
		return 0, errFull
	}
	return len(p), nil
}
