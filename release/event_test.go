package release

import (
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/seed38700745/pkg/cluster/object"
)

// TestLastEvent finds the newest event of an object and its pods, in whatever order
// they are told.
func TestLastEvent(t *testing.T) {
	d := item("Deployment", "web", nil)
	d.Body.Object["spec"] = map[string]any{"selector": map[string]any{"matchLabels": map[string]any{"app": "web"}}}
	d.Body.SetAPIVersion("apps/v1")
	d.Body.SetUID("d")
	d.Ref = refOf(d.Body)
	s := &scene{
		objects: map[Ref]*unstructured.Unstructured{d.Ref: d.Body}, pods: map[object.Key]*unstructured.Unstructured{},
		warnings: map[types.UID]string{}, events: map[types.UID]event{}, pulls: map[types.UID]string{},
	}
	s.setPod(sample(t, `{apiVersion: v1, kind: Pod, metadata: {name: web-1, namespace: default, uid: p, labels: {app: web}}}`), false)
	tell := func(uid, reason, at string) {
		s.setEvent(sample(t, `{apiVersion: v1, kind: Event, metadata: {name: e, namespace: default}, type: Normal, reason: `+reason+
			`, message: about it, lastTimestamp: "2026-01-01T00:00:`+at+`Z", involvedObject: {uid: `+uid+`}}`), false)
	}
	want := func(text string) {
		t.Helper()
		if got := s.states([]*Item{d}, goalReady)[0].Event; got != text {
			t.Errorf("%q, want %q", got, text)
		}
	}
	want("")
	tell("d", "Scaled", "05")
	want("Scaled: about it")
	tell("p", "Started", "09")
	tell("p", "Pulled", "07")
	tell("other", "Killed", "30")
	want("Started: about it")
}
