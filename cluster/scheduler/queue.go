package scheduler

import (
	"cmp"
	"container/heap"
	"context"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// A pod that could not be placed waits from backoffFirst, doubling, to
// backoffMost before it is tried again, and is tried again after flushAfter
// even if nothing happened (Kubernetes' values).
const (
	backoffFirst = time.Second
	backoffMost  = 10 * time.Second
	flushAfter   = 5 * time.Minute
)

// waiting is the pods without a node: those that are ready to be tried, by
// priority, and those that wait for something to happen or for their backoff.
type waiting struct {
	now  func() time.Time
	wake chan struct{} // holds one token when there is news

	mu    sync.Mutex                // guards all below, and waitingPod's fields
	pods  map[types.UID]*waitingPod // all
	ready readyHeap
	// nominated are those for which room is made, by UID.
	nominated map[types.UID]nomination
	events    int64     // counts wakeAll
	order     int64     // counts arrivals
	scan      time.Time // when some resting pod is due; zero: at once
}

// waitingPod is one pod that waits.
type waitingPod struct {
	pod      *corev1.Pod
	attempts int
	order    int64     // arrival; lower first among equal priorities
	tried    int64     // waiting.events when it was last taken
	due      time.Time // not before
	index    int       // in waiting.ready; -1: not there
	parked   bool      // tried, and waits for news
	trying   bool      // taken by next, and neither parked nor retried yet
}

func newWaiting(now func() time.Time) *waiting {
	return &waiting{now: now, wake: make(chan struct{}, 1), pods: map[types.UID]*waitingPod{}, nominated: map[types.UID]nomination{}}
}

// nomination is a pod that waits for the room that is made for it on a node.
type nomination struct {
	pod  *corev1.Pod
	node string
}

// nominate notes that room for p is made on a node; "": no longer.
func (q *waiting) nominate(p *corev1.Pod, node string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if _, waits := q.pods[p.UID]; node == "" || !waits {
		delete(q.nominated, p.UID)
		return
	}
	q.nominated[p.UID] = nomination{p, node}
}

// withNominated counts the pods for which room is made on their nodes, for the
// placement of one that is no more important than they are.
func (q *waiting) withNominated(pod *corev1.Pod, nodes []*nodeInfo) []*nodeInfo {
	q.mu.Lock()
	defer q.mu.Unlock()
	for uid, n := range q.nominated {
		if uid == pod.UID || priority(n.pod) < priority(pod) {
			continue
		}
		if i := slices.IndexFunc(nodes, func(i *nodeInfo) bool { return i.node.Name == n.node }); i >= 0 {
			nodes[i] = nodes[i].with(n.pod)
		}
	}
	return nodes
}

// add queues a pod or notes its change. A change by its user (gates removed,
// labels) makes it worth a try.
func (q *waiting) add(p *corev1.Pod) {
	q.mu.Lock()
	defer q.mu.Unlock()
	w := q.pods[p.UID]
	if w == nil {
		q.order++
		w = &waitingPod{pod: p, order: q.order, index: -1}
		q.pods[p.UID] = w
		if p.Status.NominatedNodeName != "" { // by this scheduler, before it was started again
			q.nominated[p.UID] = nomination{p, p.Status.NominatedNodeName}
		}
		q.push(w)
		return
	}
	edited := w.pod.Generation != p.Generation || len(w.pod.Spec.SchedulingGates) != len(p.Spec.SchedulingGates)
	if !w.trying {
		w.pod = p
	}
	if edited && w.parked {
		w.parked = false
		q.push(w)
	}
}

func (q *waiting) remove(p *corev1.Pod) {
	q.mu.Lock()
	defer q.mu.Unlock()
	w := q.pods[p.UID]
	if w == nil {
		return
	}
	delete(q.pods, p.UID)
	delete(q.nominated, p.UID)
	if w.index >= 0 {
		heap.Remove(&q.ready, w.index)
	}
}

// next waits for the pod to try now; ok is false when ctx ended.
func (q *waiting) next(ctx context.Context) (w *waitingPod, ok bool) {
	for {
		w, wait := q.take()
		if w != nil {
			return w, ctx.Err() == nil
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil, false
		case <-q.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// take returns the first pod that is ready, or how long until one is.
func (q *waiting) take() (*waitingPod, time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.now()
	if !now.Before(q.scan) {
		q.rouse(now)
	}
	if len(q.ready) == 0 {
		return nil, q.scan.Sub(now)
	}
	w := heap.Pop(&q.ready).(*waitingPod)
	w.tried, w.trying = q.events, true
	w.attempts++
	return w, 0
}

// rouse makes the pods ready whose wait is over, and notes when the next is.
func (q *waiting) rouse(now time.Time) {
	q.scan = now.Add(flushAfter)
	for _, w := range q.pods {
		if w.index >= 0 || w.trying {
			continue
		}
		due := w.due
		if w.parked {
			due = due.Add(flushAfter)
		}
		switch {
		case !due.After(now):
			w.parked = false
			heap.Push(&q.ready, w)
		case due.Before(q.scan):
			q.scan = due
		}
	}
}

// park lets w wait until something happens that may help, or, when that
// happened during the try, for its backoff only.
func (q *waiting) park(w *waitingPod) { q.putBack(w, true, backoff(w.attempts)) }

// retry lets w wait for its backoff.
func (q *waiting) retry(w *waitingPod) { q.putBack(w, false, backoff(w.attempts)) }

// await lets w wait for what it started itself (a volume): no backoff.
func (q *waiting) await(w *waitingPod) {
	w.attempts--
	q.putBack(w, true, 0)
}

func (q *waiting) putBack(w *waitingPod, park bool, wait time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	w.trying = false
	if q.pods[w.pod.UID] != w {
		// It went away, or was seen bound, or its namesake came.
		if q.pods[w.pod.UID] != nil || park {
			return
		}
		q.pods[w.pod.UID] = w
	}
	w.due = q.now().Add(wait)
	w.parked = park && w.tried == q.events
	q.scan = time.Time{}
	q.signal()
}

// wakeAll makes parked pods ready, those in backoff when it ends.
func (q *waiting) wakeAll() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.events++
	for _, w := range q.pods {
		w.parked = false
	}
	q.scan = time.Time{}
	q.signal()
}

func (q *waiting) push(w *waitingPod) {
	heap.Push(&q.ready, w)
	q.signal()
}

func (q *waiting) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// backoff is how long to wait after a number of attempts.
func backoff(attempts int) time.Duration {
	d := backoffFirst
	for range attempts - 1 {
		if d *= 2; d >= backoffMost {
			return backoffMost
		}
	}
	return d
}

// readyHeap orders pods by priority, then by arrival.
type readyHeap []*waitingPod

func (h readyHeap) Len() int { return len(h) }

func (h readyHeap) Less(i, j int) bool {
	return cmp.Or(cmp.Compare(priority(h[j].pod), priority(h[i].pod)), cmp.Compare(h[i].order, h[j].order)) < 0
}

func (h readyHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

func (h *readyHeap) Push(x any) {
	w := x.(*waitingPod)
	w.index = len(*h)
	*h = append(*h, w)
}

func (h *readyHeap) Pop() any {
	old := *h
	w := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	w.index = -1
	return w
}

func priority(p *corev1.Pod) int32 {
	if p.Spec.Priority == nil {
		return 0
	}
	return *p.Spec.Priority
}
