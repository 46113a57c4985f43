package node

import (
	"testing"
	"time"

	"github.com/seed38700745/pkg/cluster/cri"
)

// TestPullProgress: while an image is pulled, the waiting message says how far it
// is, and nothing of it stays.
func TestPullProgress(t *testing.T) {
	inWorld(t, func(w *world) {
		w.images.slowly = func(progress func(cri.ImageProgress)) {
			progress(cri.ImageProgress{Stage: "resolving"})
			progress(cri.ImageProgress{Stage: "downloading", Done: 1e6, Total: 4e6})
			time.Sleep(5 * time.Second)
			progress(cri.ImageProgress{Stage: "downloading", Done: 3e6, Total: 4e6})
			time.Sleep(5 * time.Second)
			progress(cri.ImageProgress{Stage: "unpacking", Done: 0, Total: 2})
			time.Sleep(5 * time.Second)
		}
		w.create(testPod(nil))
		for _, want := range []string{
			"", `pulling image "web:1": 1.0 of 4.0 MB (25 %)`, `pulling image "web:1": 3.0 of 4.0 MB (75 %)`, `unpacking image "web:1": layer 1 of 2`,
		} {
			waiting := w.pod().Status.ContainerStatuses[0].State.Waiting
			if waiting == nil || waiting.Reason != reasonCreating || waiting.Message != want {
				t.Errorf("the container waits for %+v, want %q", waiting, want)
			}
			w.after(4 * time.Second)
		}
		if s := w.pod().Status.ContainerStatuses[0].State; s.Running == nil {
			t.Errorf("after the pull: %+v", s)
		}
	})
}
