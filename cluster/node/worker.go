package node

import (
	"context"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/seed38700745/pkg/cluster/cri"
)

// worker makes one pod real. Its run is the only goroutine that acts on the
// pod; others hand it states and wake it.
type worker struct {
	agent *Agent
	uid   string
	log   *slog.Logger
	wake  chan struct{} // holds one token while there is something to look at

	mu     sync.Mutex
	pod    *corev1.Pod        // the newest state seen; guarded by mu
	gone   bool               // deleted from the API; guarded by mu
	cancel context.CancelFunc // ends the present turn; guarded by mu
	health map[string]health  // of running containers, by ID; guarded by mu
	fresh  bool               // volumes must be refreshed; guarded by mu
	// preStops are the containers whose preStop hook was run; guarded by mu.
	preStops map[string]bool
	// admitted is written by run and read by others; guarded by mu.
	admitted bool

	// freezes counts beginnings and ends of the pod's being frozen: while it
	// is odd the pod stands still.
	freezes atomic.Int64

	// evicted is why the pod must end, and evictedDone closed when it has;
	// guarded by mu.
	evicted     *waiting
	evictedDone chan struct{}
	volumes     map[string]string // folders on the host, by volume; guarded by mu

	// The rest belongs to run.
	problems  map[string]waiting // failed starts, and pulls without a reason, by container
	delays    map[string]delay   // when a failed start is tried again
	probes    map[probeKey]context.CancelFunc
	network   cri.PodNetwork
	retry     time.Duration // the present pause after errors of volumes, network, sandbox
	lastError string        // the one that was last reported as event
	stopping  bool          // stop signals were announced
	cleaned   bool          // sandbox, network and volumes of the ended pod are gone
	setUp     time.Time
}

// delay holds back a container's next start after a failure before it ran.
type delay struct {
	since, until time.Time
	pull         bool // it was the image
	shown        bool // the backoff was reported
}

func newWorker(a *Agent, pod *corev1.Pod) *worker {
	return &worker{
		agent: a, uid: string(pod.UID), pod: pod,
		log:  a.Logger.With("pod", pod.Namespace+"/"+pod.Name),
		wake: make(chan struct{}, 1), health: map[string]health{},
		problems: map[string]waiting{}, delays: map[string]delay{},
		probes: map[probeKey]context.CancelFunc{}, preStops: map[string]bool{},
	}
}

// poke makes the worker look at its pod again.
func (w *worker) poke() {
	select {
	case w.wake <- struct{}{}:
	default: // it will look anyway
	}
}

// refresh makes the worker refresh the pod's volumes and try failed starts.
func (w *worker) refresh() {
	w.mu.Lock()
	w.fresh = true
	w.mu.Unlock()
	w.poke()
}

// evict makes the worker end the pod for a reason. What it returns is closed
// when the pod holds nothing any more.
func (w *worker) evict(reason waiting) <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.evicted == nil {
		w.evicted, w.evictedDone = &reason, make(chan struct{})
		if w.cancel != nil {
			w.cancel()
		}
		w.poke()
	}
	return w.evictedDone
}

// eviction returns why the pod must end, or nil.
func (w *worker) eviction() *waiting {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.evicted
}

// volume returns where a volume lies on the host; empty: it is not known.
func (w *worker) volume(name string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.volumes[name]
}

// setUpVolumes makes or refreshes the pod's volumes.
func (w *worker) setUpVolumes(ctx context.Context, pod *corev1.Pod) (map[string]string, error) {
	paths, err := w.agent.Volumes.Setup(ctx, pod)
	if err == nil {
		w.mu.Lock()
		w.volumes = paths
		w.mu.Unlock()
	}
	return paths, err
}

// set hands over a state of the pod. The beginning of its end, and a shortened
// grace, interrupt what the worker does.
func (w *worker) set(pod *corev1.Pod, gone bool) {
	w.mu.Lock()
	old := w.pod
	urgent := gone && !w.gone
	w.gone = w.gone || gone
	if !older(pod, old) {
		w.pod = pod
		urgent = urgent || ending(pod) && (!ending(old) || seconds(pod.DeletionGracePeriodSeconds) < seconds(old.DeletionGracePeriodSeconds))
	}
	if urgent && w.cancel != nil {
		w.cancel()
	}
	w.mu.Unlock()
	w.poke()
}

func ending(pod *corev1.Pod) bool { return pod.DeletionTimestamp != nil }

func seconds(p *int64) int64 {
	if p == nil {
		return 0
	}
	return *p
}

// older tells whether a is an earlier state than b. Resource versions count up.
func older(a, b *corev1.Pod) bool {
	x, errX := strconv.ParseUint(a.ResourceVersion, 10, 64)
	y, errY := strconv.ParseUint(b.ResourceVersion, 10, 64)
	return errX == nil && errY == nil && x < y
}

func (w *worker) current() (pod *corev1.Pod, gone bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.pod, w.gone
}

// run looks at the pod whenever there is a reason to, until it is gone or ctx
// ends.
func (w *worker) run(ctx context.Context) {
	defer w.stopProbes(nil)
	defer w.tellEvicted()
	for {
		next, done := w.turn(ctx)
		if done || ctx.Err() != nil {
			return
		}
		timer := time.NewTimer(next)
		select {
		case <-ctx.Done():
		case <-w.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// tellEvicted tells who waits for an eviction that it is over.
func (w *worker) tellEvicted() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.evicted != nil {
		select {
		case <-w.evictedDone:
		default:
			close(w.evictedDone)
		}
	}
}

// turn is one look, which an urgent change interrupts.
func (w *worker) turn(ctx context.Context) (next time.Duration, done bool) {
	turn, cancel := context.WithCancel(ctx)
	defer cancel()
	w.mu.Lock()
	w.cancel = cancel
	w.mu.Unlock()
	begun := w.agent.Now()
	next, done = w.sync(ctx, turn)
	w.agent.meters.synced(w.agent.Now().Sub(begun))
	w.mu.Lock()
	w.cancel = nil
	w.mu.Unlock()
	if turn.Err() != nil && ctx.Err() == nil && !done {
		return 0, false
	}
	return next, done
}

// again returns the pause before another try after an error that concerns the
// whole pod: 500 ms doubling to 2 minutes, as the kubelet does for volumes.
func (w *worker) again() time.Duration {
	const least, most = 500 * time.Millisecond, 2 * time.Minute
	w.retry = min(max(2*w.retry, least), most)
	return w.retry
}

// healthOf returns what is known about a container.
func (w *worker) healthOf(id string) health {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.health[id]
}

// note changes what is known about a container, and wakes the worker if that
// makes a difference.
func (w *worker) note(id string, change func(*health)) {
	w.mu.Lock()
	h, known := w.health[id]
	changed := h
	change(&changed)
	w.health[id] = changed
	w.mu.Unlock()
	if !known || changed != h {
		w.poke()
	}
}

// healths returns a copy of what is known, for a view.
func (w *worker) healths() map[string]health {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := make(map[string]health, len(w.health))
	for id, h := range w.health {
		all[id] = h
	}
	return all
}
