package node

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/object/builtin"
)

func TestLargeLogIsRotated(t *testing.T) {
	inWorld(t, func(w *world) {
		w.create(testPod(nil))
		w.after(time.Second)
		path := w.runtime.latest("main").LogPath
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		for size, want := range map[int64]int{maxLogSize: 0, maxLogSize + 1: 1} {
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Truncate(path, size); err != nil {
				t.Fatal(err)
			}
			before := len(w.runtime.log())
			w.after(logCheckPeriod)
			n := 0
			for _, c := range w.runtime.log()[before:] {
				if c == "reopen main" {
					n++
				}
			}
			if n != want {
				t.Errorf("a log of %d bytes was rotated %d times, want %d", size, n, want)
			}
		}
		w.delete(new(int64(1)))
		w.after(3 * time.Second)
		if left, err := os.ReadDir(filepath.Join(w.dir, "log")); err != nil || len(left) > 0 {
			t.Errorf("logs of a deleted pod: %v, %v", left, err)
		}
	})
}

func TestVolumesFollowTheirSources(t *testing.T) {
	for _, c := range []struct {
		name   string
		volume corev1.VolumeSource
		change func(w *world, generation string) error
	}{
		{"configmap", corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "x"}}},
			func(w *world, g string) error {
				_, err := builtin.ConfigMaps.Update(context.Background(), w.verbs, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "x"}, Data: map[string]string{"g": g}}, object.WriteOptions{})
				return err
			}},
		{"projected secret", corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{{Secret: &corev1.SecretProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "x"}}}}}},
			func(w *world, g string) error {
				_, err := builtin.Secrets.Update(context.Background(), w.verbs, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "x"}, StringData: map[string]string{"g": g}}, object.WriteOptions{})
				return err
			}},
	} {
		inWorld(t, func(w *world) {
			ctx := context.Background()
			meta := metav1.ObjectMeta{Namespace: "default", Name: "x"}
			if _, err := builtin.ConfigMaps.Create(ctx, w.verbs, &corev1.ConfigMap{ObjectMeta: meta}, object.WriteOptions{}); err != nil {
				t.Fatal(err)
			}
			if _, err := builtin.Secrets.Create(ctx, w.verbs, &corev1.Secret{ObjectMeta: meta}, object.WriteOptions{}); err != nil {
				t.Fatal(err)
			}
			w.create(testPod(func(p *corev1.Pod) { p.Spec.Volumes = []corev1.Volume{{Name: "v", VolumeSource: c.volume}} }))
			w.after(5 * time.Second)
			before := w.volumes.setUp["u-web"]
			if err := c.change(w, "2"); err != nil {
				t.Fatal(err)
			}
			w.after(time.Second)
			if got := w.volumes.setUp["u-web"]; got != before+1 {
				t.Errorf("%s: set up %d times after a change, want once", c.name, got-before)
			}
		})
	}
}

func TestImagesInUse(t *testing.T) {
	inWorld(t, func(w *world) {
		w.create(testPod(nil))
		w.after(time.Second)
		a := &Agent{Config: Config{Runtime: w.runtime, Images: w.images}, workers: map[string]*worker{}}
		used, err := a.imagesInUse(context.Background())
		if err != nil || !used["sha256:web:1"] || len(used) != 1 {
			t.Errorf("%v, %v", used, err)
		}
	})
}

func TestUses(t *testing.T) {
	pod := testPod(func(p *corev1.Pod) {
		p.Spec.Containers[0].EnvFrom = []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "env"}}}}
		p.Spec.Volumes = []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data"}}},
			{Name: "e", VolumeSource: corev1.VolumeSource{Ephemeral: &corev1.EphemeralVolumeSource{}}}}
	})
	var got []string
	for _, s := range []source{{"secret", "default", "env"}, {"configmap", "default", "env"}, {"secret", "other", "env"}, {"claim", "default", "data"}, {"claim", "default", "web-e"}} {
		if uses(pod, s) {
			got = append(got, s.kind+" "+s.name)
		}
	}
	if want := []string{"secret env", "claim data", "claim web-e"}; !slices.Equal(got, want) {
		t.Errorf("uses %q, want %q", got, want)
	}
}
