package release

import (
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/seed38700745/pkg/cluster/object"
)

// TestSteadiness: a crash before everything is ready is forgiven, one after it not.
func TestSteadiness(t *testing.T) {
	d := item("Deployment", "web", nil)
	d.Body.Object["spec"] = map[string]any{"selector": map[string]any{"matchLabels": map[string]any{"app": "web"}}}
	d.Body.SetAPIVersion("apps/v1")
	d.Ref = refOf(d.Body)
	pod := func(restarts string) *unstructured.Unstructured {
		return sample(t, `{apiVersion: v1, kind: Pod, metadata: {name: web-1, namespace: default, uid: u, labels: {app: web}},
			status: {containerStatuses: [{name: main, restartCount: `+restarts+`, state: {running: {}}, lastState: {terminated: {exitCode: 1, reason: Error}}}]}}`)
	}
	s := &scene{objects: map[Ref]*unstructured.Unstructured{d.Ref: d.Body}, pods: map[object.Key]*unstructured.Unstructured{}}
	p := steadiness{waiter: &waiter{stable: time.Hour}, items: []*Item{d}}
	see := func(restarts string, ready, fails bool) {
		t.Helper()
		s.pods[object.Key{Namespace: "default", Name: "web-1"}] = pod(restarts)
		if done, err := p.check(s, ready); done || (err != nil) != fails {
			t.Errorf("restarts %s, ready %t: %t, %v", restarts, ready, done, err)
		}
	}
	see("1", false, false)
	see("1", true, false)
	if p.over == nil {
		t.Error("the proof has not begun")
	}
	see("1", false, false)
	if p.over != nil {
		t.Error("the proof goes on though something is not ready")
	}
	see("2", true, false)
	see("3", true, true)
	quick := steadiness{waiter: &waiter{}}
	if done, err := quick.check(s, true); !done || err != nil {
		t.Errorf("without a time to prove: %t, %v", done, err)
	}
}
