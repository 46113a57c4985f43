// Package kubelet serves the kubelet's HTTPS API of one node: logs, exec,
// attach and port-forward of its pods, statistics, and under /pkg/images the
// management of its images. The API server is its client; nobody else gets in.
package kubelet

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/seed38700745/pkg/cluster/cri"
	"github.com/seed38700745/pkg/cluster/node/cadvisor"
)

// Runtime is what is asked of the container runtime.
type Runtime interface {
	Sandbox(ctx context.Context, podUID string) (s cri.Sandbox, ok bool, err error)
	Exec(ctx context.Context, podUID, id string, e cri.ExecConfig) (exitCode int, err error)
	Attach(ctx context.Context, podUID, id string, e cri.ExecConfig) error
	Stats(ctx context.Context, podUID, id string) (cri.Stats, error)
	PodStats(ctx context.Context, podUID string) (cri.Stats, error)
}

// Images is what is asked of the image store.
type Images interface {
	Ensure(ctx context.Context, name string, policy cri.PullPolicy, creds cri.Credentials, progress func(cri.ImageProgress)) (cri.Image, error)
	List() ([]cri.Image, error)
	Load(ctx context.Context, tar io.Reader) ([]cri.Image, error)
	Save(ctx context.Context, names []string, w io.Writer) error
	Remove(name string) error
	Prune(keep func(id string) bool) (removed []string, freed int64, err error)
}

// Config says what the API works on.
type Config struct {
	NodeName string
	Pods     func() []*corev1.Pod // of this node
	Runtime  Runtime
	Images   Images
	// InUse returns the IDs of images that must not be pruned; with history also
	// of those that a rollback would use.
	InUse func(ctx context.Context, history bool) (map[string]bool, error)
	// Addresses returns a pod's network namespace, empty for the host's.
	Addresses func(podUID string) (netns string, err error)
	LogDir    func(namespace, name, uid string) string
	// Metrics and Probes are what /metrics and /metrics/probes show.
	Metrics, Probes prometheus.Gatherer
	// Hardware and Disk, a path on the node's disk, are what /metrics/cadvisor
	// says of the machine.
	Hardware cadvisor.Hardware
	Disk     string
	Logger   *slog.Logger
}

// server answers the requests.
type server struct{ Config }

// New returns the API as a handler. It authenticates nobody: see Serve.
func New(c Config) http.Handler {
	s := &server{c}
	m := http.NewServeMux()
	m.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok") })
	m.HandleFunc("GET /pods", s.pods)
	m.HandleFunc("GET /containerLogs/{namespace}/{pod}/{container}", s.logs)
	for _, path := range []string{"/{namespace}/{pod}/{container}", "/{namespace}/{pod}/{uid}/{container}"} {
		m.HandleFunc("/exec"+path, s.exec)
		m.HandleFunc("/attach"+path, s.attach)
		m.HandleFunc("POST /run"+path, s.run)
	}
	m.HandleFunc("/portForward/{namespace}/{pod}", s.portForward)
	m.HandleFunc("/portForward/{namespace}/{pod}/{uid}", s.portForward)
	m.HandleFunc("GET /stats/summary", s.summary)
	m.HandleFunc("GET /metrics/resource", s.resource)
	m.HandleFunc("GET /metrics/cadvisor", s.cadvisor)
	m.Handle("GET /metrics", s.expose(c.Metrics))
	m.Handle("GET /metrics/probes", s.expose(c.Probes))
	m.HandleFunc("GET /pkg/images", s.listImages)
	m.HandleFunc("DELETE /pkg/images", s.removeImages)
	m.HandleFunc("POST /pkg/images/load", s.loadImages)
	m.HandleFunc("POST /pkg/images/pull", s.pullImage)
	m.HandleFunc("POST /pkg/images/prune", s.pruneImages)
	m.HandleFunc("GET /pkg/images/save", s.saveImages)
	return m
}

// pod finds the pod that a request's path names, or answers 404.
func (s *server) pod(w http.ResponseWriter, r *http.Request) *corev1.Pod {
	namespace, name, uid := r.PathValue("namespace"), r.PathValue("pod"), r.PathValue("uid")
	var found *corev1.Pod
	for _, p := range s.Pods() {
		if p.Namespace != namespace || p.Name != name || uid != "" && string(p.UID) != uid {
			continue
		}
		// A pod that is being deleted may have a successor of its name.
		if found == nil || found.DeletionTimestamp != nil {
			found = p
		}
	}
	if found == nil {
		http.Error(w, "pod does not exist", http.StatusNotFound)
	}
	return found
}

// running finds the running container that a request's path names, or answers
// with an error.
func (s *server) running(w http.ResponseWriter, r *http.Request) (pod *corev1.Pod, c cri.Container, ok bool) {
	if pod = s.pod(w, r); pod == nil {
		return nil, c, false
	}
	name := r.PathValue("container")
	attempts, err := s.attempts(r.Context(), string(pod.UID), name)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return nil, c, false
	}
	if len(attempts) == 0 || attempts[0].State != cri.Running {
		http.Error(w, "container not found (\""+name+"\")", http.StatusNotFound)
		return nil, c, false
	}
	return pod, attempts[0], true
}

// attempts returns what the runtime knows of a container, newest first.
func (s *server) attempts(ctx context.Context, uid, name string) ([]cri.Container, error) {
	sandbox, ok, err := s.Runtime.Sandbox(ctx, uid)
	if err != nil || !ok {
		return nil, err
	}
	var all []cri.Container
	for _, c := range sandbox.Containers {
		if c.Name == name {
			all = append(all, c)
		}
	}
	slices.SortFunc(all, func(a, b cri.Container) int { return b.Attempt - a.Attempt })
	return all, nil
}

// pods answers with the node's pods as a v1 PodList.
func (s *server) pods(w http.ResponseWriter, _ *http.Request) {
	list := corev1.PodList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "PodList"}, Items: []corev1.Pod{}}
	pods := s.Pods()
	slices.SortFunc(pods, func(a, b *corev1.Pod) int {
		return strings.Compare(a.Namespace+"/"+a.Name, b.Namespace+"/"+b.Name)
	})
	for _, p := range pods {
		list.Items = append(list.Items, *p)
	}
	writeJSON(w, list)
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(v) // fails only if the client went away
}

// shutdownGrace is how long running requests may take when Serve ends.
const shutdownGrace = 2 * time.Second
