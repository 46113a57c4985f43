package metrics

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	metricsv1beta1 "k8s.io/metrics/pkg/apis/metrics/v1beta1"

	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/object/builtin"
)

// objects are a node with one running pod and one that has not started.
type objects struct{ object.Verbs }

func (objects) Get(_ context.Context, r object.Resource, k object.Key) (object.Object, error) {
	all, _ := objects{}.List(context.Background(), r, object.ListOptions{})
	for _, o := range all.Items {
		if object.KeyOf(o) == k {
			return o, nil
		}
	}
	return nil, apierrors.NewNotFound(r, k.Name)
}

func (objects) List(_ context.Context, r object.Resource, _ object.ListOptions) (*object.List, error) {
	if r == builtin.Nodes.Resource {
		return &object.List{Items: []object.Object{&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n"}}}}, nil
	}
	pod := func(name string, phase corev1.PodPhase) *corev1.Pod {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, Labels: map[string]string{"app": name}}, Spec: corev1.PodSpec{NodeName: "n"}}
		p.UID, p.Status.Phase = "uid-web", phase
		return p
	}
	return &object.List{Items: []object.Object{pod("web", corev1.PodRunning), pod("later", corev1.PodPending)}}, nil
}

// agent answers with counters that grow by 5 core-seconds (node) and 0.25
// (container) in 10 seconds.
type agent struct {
	calls   int
	started string
	down    bool
}

func (a *agent) get(_ context.Context, node, path string) (*http.Response, error) {
	if a.down {
		return nil, errors.New("no route to host")
	}
	if node != "n" || path != "/stats/summary" {
		return nil, fmt.Errorf("asked for %s of %s", path, node)
	}
	a.calls++
	at := fmt.Sprintf(`"time":"2026-01-01T00:00:%02dZ"`, a.calls*10)
	body := fmt.Sprintf(`{"node":{"cpu":{%s,"usageCoreNanoSeconds":%d},"memory":{"workingSetBytes":1073741824}},
		"pods":[{"podRef":{"name":"web","namespace":"default","uid":"uid-web"},"containers":[
		{"name":"main","startTime":%q,"cpu":{%s,"usageCoreNanoSeconds":%d},"memory":{"workingSetBytes":2048}}]}]}`,
		at, a.calls*5_000_000_000, a.started, at, a.calls*250_000_000)
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(body))}, nil
}

func TestMetrics(t *testing.T) {
	a := &agent{started: "2026-01-01T00:00:00Z"}
	s := New(Config{Verbs: objects{}, Get: a.get})
	count := func() (nodes, pods int) {
		n, err := s.listNodes(t.Context(), labels.Everything())
		if err != nil {
			t.Fatal(err)
		}
		p, err := s.listPods(t.Context(), "", labels.Everything())
		if err != nil {
			t.Fatal(err)
		}
		return len(n), len(p)
	}
	if s.sample(t.Context()) {
		t.Error("one reading is said to be complete")
	}
	if n, p := count(); n+p != 0 {
		t.Errorf("%d nodes and %d pods have metrics after one reading", n, p)
	}
	if !s.sample(t.Context()) {
		t.Error("two readings are said to be incomplete")
	}
	if n, p := count(); n != 1 || p != 1 {
		t.Errorf("%d nodes and %d pods have metrics, want the node and the running pod", n, p)
	}
	o, err := s.getNode(t.Context(), object.Key{Name: "n"})
	if err != nil {
		t.Fatal(err)
	}
	n := o.(*metricsv1beta1.NodeMetrics)
	if n.Usage.Cpu().String() != "500m" || n.Usage.Memory().String() != "1Gi" || n.Window.Seconds() != 10 {
		t.Errorf("node %+v", n)
	}
	o, err = s.getPod(t.Context(), object.Key{Namespace: "default", Name: "web"})
	if err != nil {
		t.Fatal(err)
	}
	p := o.(*metricsv1beta1.PodMetrics)
	if len(p.Containers) != 1 || p.Containers[0].Usage.Cpu().String() != "25m" || p.Containers[0].Usage.Memory().String() != "2Ki" || p.Labels["app"] != "web" {
		t.Errorf("pod %+v", p)
	}
	if _, err := s.getPod(t.Context(), object.Key{Namespace: "default", Name: "later"}); !apierrors.IsNotFound(err) {
		t.Errorf("a pod that does not run: %v", err)
	}
	a.started = "2026-01-01T00:00:25Z"
	s.sample(t.Context())
	if n, p := count(); n != 1 || p != 0 {
		t.Errorf("%d nodes and %d pods have metrics just after the container was started again", n, p)
	}
	a.down = true
	if s.sample(t.Context()) {
		t.Error("no answer is said to be complete")
	}
	if n, p := count(); n+p != 0 {
		t.Errorf("%d nodes and %d pods have metrics though the agent is down", n, p)
	}
}
