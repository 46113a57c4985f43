// Package node is the agent of one node: it makes the pods bound to the node
// real and reports how they are.
//
// An Agent follows the pods of its node. Each has one worker, a goroutine that
// looks at the pod's specification, at its sandbox and at what its probes say,
// computes what to do (decide, a pure function), does it, and writes the pod's
// status when it changed. Nothing is remembered that cannot be found again:
// restart counts and crash backoffs are kept in the records of the runtime, so
// that a restarted agent adopts what runs and goes on.
//
// The agent serves the kubelet's API (package kubelet) and keeps its Node
// object and its Lease fresh. It never decides where a pod runs.
package node

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"

	"github.com/seed38700745/pkg/cluster/event"
	"github.com/seed38700745/pkg/cluster/node/eviction"
	"github.com/seed38700745/pkg/cluster/node/kubelet"
	"github.com/seed38700745/pkg/cluster/node/probe"
	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/object/builtin"
)

// Config is what an Agent works with. Fields without a default are needed.
type Config struct {
	Name     string // of the Node
	Verbs    object.Verbs
	Runtime  Runtime
	Images   Images
	Network  Network
	Volumes  Volumes
	DNS      DNS
	Recorder *event.Recorder // its Run is the caller's

	// RootDir holds <pod uid>/files: hosts files, termination messages and the
	// like. Localhost seccomp profiles lie beside it, in "seccomp".
	RootDir string
	LogDir  string // <namespace>_<pod>_<uid>/<container>/<attempt>.log
	PodCIDR string // the node's range of pod addresses; may be empty

	// ImageDir is where images lie, to know how full their disk is; RootDir when empty.
	ImageDir string
	// Thresholds say when the node is short of something: eviction.Default()
	// when nil. PressureTransition is how long its conditions then stay at
	// least: 5 minutes when 0.
	Thresholds         eviction.Thresholds
	PressureTransition time.Duration
	// Measure tells what is available: eviction.Read when nil.
	Measure func() (map[eviction.Signal]eviction.Amount, error)

	MaxPods int // 110 when 0
	// Reserved is kept from pods: capacity minus Reserved is allocatable.
	Reserved corev1.ResourceList
	Labels   map[string]string // further labels of the Node
	// ResolvConf is the host's resolver configuration, /etc/resolv.conf when empty.
	ResolvConf string

	// Port is where others reach the kubelet API on the node's address.
	Port int32
	// TLS is used by Serve. Client certificates are always required; ClientCAs
	// says whose.
	TLS *tls.Config
	// Clients are the common names of certificates that may use the kubelet
	// API, besides members of the group system:masters.
	Clients []string

	Version        string // the Kubernetes version: "v1.36.3"
	RuntimeVersion string // this product's, shown as pkg://<version>

	Now    func() time.Time // time.Now when nil
	Logger *slog.Logger     // slog.Default() when nil
}

// Times and limits of the kubelet.
const (
	defaultMaxPods = 110
	resyncPeriod   = time.Minute
	pullsPerSecond = 5
	pullBurst      = 10
)

// Agent runs the pods of one node. Make one with New.
type Agent struct {
	Config
	prober  *probe.Prober
	handler http.Handler
	meters  *meters
	pulls   *rate.Limiter
	files   podFiles
	// capacity is what the machine has, read once at New.
	capacity corev1.ResourceList
	machine  corev1.NodeSystemInfo
	// cordoned is what the Node said last; keepNode's own.
	cordoned *bool

	pressure    pressure
	nodeChanged chan struct{} // holds one token while the Node's status is to be written
	imageUse    imageUse

	mu      sync.Mutex
	workers map[string]*worker // by pod UID; guarded by mu
	synced  bool               // all pods that existed at the start are known; guarded by mu
	claims  sync.Mutex         // held while a pod is admitted
}

// New returns an Agent. It reads what the machine has and starts nothing.
func New(c Config) (*Agent, error) {
	if c.MaxPods == 0 {
		c.MaxPods = defaultMaxPods
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.ResolvConf == "" {
		c.ResolvConf = "/etc/resolv.conf"
	}
	if c.ImageDir == "" {
		c.ImageDir = c.RootDir
	}
	if c.Thresholds == nil {
		c.Thresholds = eviction.Default()
	}
	if c.PressureTransition == 0 {
		c.PressureTransition = defaultPressureTransition
	}
	if c.Measure == nil {
		c.Measure = func() (map[eviction.Signal]eviction.Amount, error) { return eviction.Read(c.RootDir, c.ImageDir) }
	}
	a := &Agent{
		Config: c, prober: probe.New(), workers: map[string]*worker{},
		pressure:    pressure{last: map[corev1.NodeConditionType]time.Time{}, now: map[corev1.NodeConditionType]bool{}},
		nodeChanged: make(chan struct{}, 1), imageUse: imageUse{},
		pulls: rate.NewLimiter(pullsPerSecond, pullBurst),
		files: podFiles{root: c.RootDir, logs: c.LogDir},
	}
	amounts, err := c.Measure()
	if err != nil {
		return nil, fmt.Errorf("node %s: %w", c.Name, err)
	}
	a.capacity = capacity(amounts)
	if a.machine, err = systemInfo(); err != nil {
		return nil, fmt.Errorf("node %s: %w", c.Name, err)
	}
	a.meters = newMeters(a)
	a.handler = kubelet.New(kubelet.Config{
		Pods: a.Pods, Runtime: c.Runtime, Images: c.Images, InUse: a.imagesToKeep,
		Addresses: a.podAddresses, LogDir: a.files.logDir, NodeName: c.Name, Logger: c.Logger,
		Metrics: a.meters.all, Probes: a.meters.probes, Hardware: a.hardware(), Disk: c.RootDir,
	})
	return a, nil
}

// Run works until ctx ends. It leaves the pods running.
func (a *Agent) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	var workers sync.WaitGroup
	g.Go(func() error { return a.keepNode(ctx) })
	g.Go(func() error { return a.keepLease(ctx) })
	g.Go(func() error {
		return builtin.Pods.Follow(ctx, a.Verbs,
			object.WatchOptions{Fields: fields.OneTermEqualSelector("spec.nodeName", a.Name)},
			func(pod *corev1.Pod, deleted bool) { a.podChanged(ctx, &workers, pod, deleted) },
			a.podsSynced)
	})
	g.Go(func() error { return a.followSources(ctx) })
	g.Go(func() error { return a.followRuntime(ctx) })
	g.Go(func() error { return a.housekeep(ctx) })
	g.Go(func() error { return a.keepRoom(ctx) })
	err := g.Wait()
	workers.Wait()
	return err
}

// Serve serves the kubelet API on l with TLS until ctx ends. l may be any
// listener, also one in memory.
func (a *Agent) Serve(ctx context.Context, l net.Listener) error {
	return kubelet.Serve(ctx, l, a.handler, a.TLS, a.Clients)
}

// podChanged hands a pod's state to its worker, which it starts if need be.
func (a *Agent) podChanged(ctx context.Context, workers *sync.WaitGroup, pod *corev1.Pod, deleted bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	uid := string(pod.UID)
	w := a.workers[uid]
	if w == nil {
		if deleted {
			return
		}
		w = newWorker(a, pod)
		a.workers[uid] = w
		workers.Go(func() { // ends with ctx, or when the pod is gone
			w.run(ctx)
			a.meters.forget(uid)
			a.mu.Lock()
			delete(a.workers, uid)
			a.mu.Unlock()
		})
		return
	}
	w.set(pod, deleted)
}

func (a *Agent) podsSynced() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.synced = true
}

// worker returns the worker of a pod, or nil.
func (a *Agent) worker(uid string) *worker {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.workers[uid]
}

// Pods returns the pods that the agent knows, with their latest status.
func (a *Agent) Pods() []*corev1.Pod {
	a.mu.Lock()
	defer a.mu.Unlock()
	all := make([]*corev1.Pod, 0, len(a.workers))
	for _, w := range a.workers {
		pod, _ := w.current()
		all = append(all, pod)
	}
	return all
}

// followRuntime wakes the workers whose containers changed.
func (a *Agent) followRuntime(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case e, ok := <-a.Runtime.Events():
			if !ok {
				<-ctx.Done()
				return nil
			}
			if w := a.worker(e.PodUID); w != nil {
				w.poke()
			}
		}
	}
}

// followSources wakes the workers of pods that use a ConfigMap, Secret or claim
// which changed, so that volumes are refreshed and failed starts tried again.
func (a *Agent) followSources(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		return builtin.ConfigMaps.Follow(ctx, a.Verbs, object.WatchOptions{}, func(m *corev1.ConfigMap, _ bool) {
			a.sourceChanged(source{"configmap", m.Namespace, m.Name})
		}, nil)
	})
	g.Go(func() error {
		return builtin.Secrets.Follow(ctx, a.Verbs, object.WatchOptions{}, func(s *corev1.Secret, _ bool) {
			a.sourceChanged(source{"secret", s.Namespace, s.Name})
		}, nil)
	})
	g.Go(func() error {
		return builtin.PersistentVolumeClaims.Follow(ctx, a.Verbs, object.WatchOptions{}, func(c *corev1.PersistentVolumeClaim, _ bool) {
			a.sourceChanged(source{"claim", c.Namespace, c.Name})
		}, nil)
	})
	return g.Wait()
}

func (a *Agent) sourceChanged(s source) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, w := range a.workers {
		if pod, _ := w.current(); uses(pod, s) {
			w.refresh()
		}
	}
}

// podAddresses returns a pod's network namespace, empty for the host's.
func (a *Agent) podAddresses(uid string) (string, error) {
	for _, pod := range a.Pods() {
		if string(pod.UID) == uid && pod.Spec.HostNetwork {
			return "", nil
		}
	}
	attached, err := a.Network.Attached()
	if err != nil {
		return "", err
	}
	n, ok := attached[uid]
	if !ok {
		return "", errors.New("the pod is not attached to the network")
	}
	return n.NetNS, nil
}
