package node

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/seed38700745/pkg/cluster/cri"
	"github.com/seed38700745/pkg/cluster/node/eviction"
	"github.com/seed38700745/pkg/cluster/node/podspec"
	"github.com/seed38700745/pkg/cluster/object/builtin"
)

// Times of the kubelet.
const (
	pressurePeriod = 10 * time.Second // between two looks at the machine
	// evictedTimeout is how long an evicted pod may take to give back what it
	// holds before the next one is chosen.
	evictedTimeout = 30 * time.Second
	evictedGrace   = time.Second
	// defaultPressureTransition is how long a condition stays after its
	// thresholds were last met, so that it does not flap.
	defaultPressureTransition = 5 * time.Minute
)

// pressure is which conditions the node is under.
type pressure struct {
	mu   sync.Mutex
	last map[corev1.NodeConditionType]time.Time // when a threshold was last met; guarded by mu
	now  map[corev1.NodeConditionType]bool      // guarded by mu
}

// set takes over the met thresholds and tells whether a condition changed.
func (p *pressure) set(met []eviction.Met, now time.Time, transition time.Duration) (changed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range met {
		p.last[m.Signal.Condition()] = now
	}
	for c, at := range p.last {
		if under := now.Sub(at) < transition; under != p.now[c] {
			p.now[c], changed = under, true
		}
	}
	return changed
}

// under returns the present conditions, sorted.
func (p *pressure) under() []corev1.NodeConditionType {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []corev1.NodeConditionType
	for c, under := range p.now {
		if under {
			all = append(all, c)
		}
	}
	slices.Sort(all)
	return all
}

// keepRoom looks at the machine now and then. Short of something it frees what
// nobody uses, and if that is not enough ends one pod. Pods that exceed their
// own limits of disk use end in any case.
func (a *Agent) keepRoom(ctx context.Context) error {
	ticker := time.NewTicker(pressurePeriod)
	defer ticker.Stop()
	for {
		if err := a.makeRoom(ctx); err != nil && ctx.Err() == nil {
			a.Logger.Warn("pressure on the node", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

func (a *Agent) makeRoom(ctx context.Context) error {
	met, err := a.lookForPressure()
	if err != nil {
		return err
	}
	if exceeded, err := a.evictExceeding(ctx); err != nil || exceeded || len(met) == 0 {
		return err
	}
	m := met[0]
	a.tellNode(ctx, news{corev1.EventTypeWarning, "EvictionThresholdMet", fmt.Sprintf("Attempting to reclaim %s", m.Signal.Resource())})
	if m.Signal.Condition() == corev1.NodeDiskPressure {
		// What a rollback would use goes last: before pods, it can be pulled again.
		for _, history := range []bool{true, false} {
			if err := a.freeDisk(ctx, history); err != nil {
				a.Logger.Warn("disk space not freed", "error", err)
			}
			if met, err = a.lookForPressure(); err != nil || len(met) == 0 {
				return err
			}
		}
		m = met[0]
	}
	return a.evictFor(ctx, m)
}

// lookForPressure measures, and lets the Node's conditions follow.
func (a *Agent) lookForPressure() ([]eviction.Met, error) {
	amounts, err := a.Measure()
	if err != nil {
		return nil, fmt.Errorf("measure the node: %w", err)
	}
	met := a.Thresholds.Met(amounts)
	if a.pressure.set(met, a.Now(), a.PressureTransition) {
		select {
		case a.nodeChanged <- struct{}{}:
		default: // it will look anyway
		}
	}
	return met, nil
}

// tellNode records something about the node, if it is known yet.
func (a *Agent) tellNode(ctx context.Context, n news) {
	if node, err := builtin.Nodes.Get(ctx, a.Verbs, "", a.Name); err == nil {
		a.nodeEvent(node, n)
	}
}

// freeDisk removes what nobody needs: leftovers of pods that are gone, old
// attempts of containers, and unused images, with history but for those that a
// rollback would use.
func (a *Agent) freeDisk(ctx context.Context, history bool) error {
	a.mu.Lock()
	synced := a.synced
	a.mu.Unlock()
	if !synced { // pods that exist would look like leftovers
		return nil
	}
	if err := a.removeOrphans(ctx); err != nil {
		a.Logger.Warn("leftovers of removed pods", "error", err)
	}
	for _, w := range a.liveWorkers() {
		w.dropDead(ctx)
	}
	used, err := a.imagesToKeep(ctx, history)
	if err != nil {
		return err
	}
	removed, freed, err := a.Images.Prune(func(id string) bool { return used[id] })
	if len(removed) > 0 {
		a.Logger.Info("unused images removed", "images", removed, "bytes", freed)
	}
	return err
}

// evictExceeding ends the pods that use more of the disk than they may.
func (a *Agent) evictExceeding(ctx context.Context) (some bool, err error) {
	for _, w := range a.liveWorkers() {
		pod, _ := w.current()
		if !eviction.Limited(pod) {
			continue
		}
		u, err := a.usage(ctx, w, true)
		if err != nil {
			return some, err
		}
		if message := eviction.Exceeded(u); message != "" {
			some = true
			if err := a.evict(ctx, w, message); err != nil {
				return some, err
			}
		}
	}
	return some, nil
}

// evictFor ends the pod that goes first, and waits until it has.
func (a *Agent) evictFor(ctx context.Context, m eviction.Met) error {
	var all []eviction.Usage
	workers := map[string]*worker{}
	for _, w := range a.liveWorkers() {
		u, err := a.usage(ctx, w, m.Signal.Condition() == corev1.NodeDiskPressure)
		if err != nil {
			return err
		}
		all = append(all, u)
		workers[w.uid] = w
	}
	ranked := eviction.Rank(all, m.Signal)
	if len(ranked) == 0 {
		return fmt.Errorf("the node is low on %s (%s), and no pod can be evicted", m.Signal.Resource(), m.Signal)
	}
	u := ranked[0]
	return a.evict(ctx, workers[string(u.Pod.UID)], eviction.Message(m, u))
}

// liveWorkers are those of pods that take up room and are not ending.
func (a *Agent) liveWorkers() []*worker {
	a.mu.Lock()
	defer a.mu.Unlock()
	var all []*worker
	for _, w := range a.workers {
		w.mu.Lock()
		if w.admitted && !w.gone && !ending(w.pod) && !isTerminal(w.pod.Status.Phase) && w.evicted == nil {
			all = append(all, w)
		}
		w.mu.Unlock()
	}
	slices.SortFunc(all, func(x, y *worker) int { return slices.Compare([]string{x.uid}, []string{y.uid}) })
	return all
}

// evict ends a pod for good and waits until it holds nothing any more.
func (a *Agent) evict(ctx context.Context, w *worker, message string) error {
	pod, _ := w.current()
	a.Logger.Warn("pod is evicted", "pod", pod.Namespace+"/"+pod.Name, "reason", message)
	w.event(pod, "", corev1.EventTypeWarning, eviction.Reason, message)
	done := w.evict(waiting{eviction.Reason, message})
	timer := time.NewTimer(evictedTimeout)
	defer timer.Stop()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return fmt.Errorf("evicted pod %s/%s is not gone after %s", pod.Namespace, pod.Name, evictedTimeout)
	}
}

// usage measures a pod; its use of the disk only withDisk, as that reads all
// its folders.
func (a *Agent) usage(ctx context.Context, w *worker, withDisk bool) (eviction.Usage, error) {
	pod, _ := w.current()
	u := eviction.Usage{Pod: pod, Containers: map[string]eviction.ContainerUsage{}, Volumes: map[string]eviction.Disk{}}
	if total, err := a.Runtime.PodStats(ctx, w.uid); err == nil { // else it is only just coming up
		u.Memory, u.PIDs = int64(total.MemoryWorkingSet), int64(total.Pids)
	}
	sandbox, _, err := a.Runtime.Sandbox(ctx, w.uid)
	if err != nil {
		return u, err
	}
	for _, c := range sandbox.Containers {
		used := u.Containers[c.Name]
		if c.State == cri.Running {
			if s, err := a.Runtime.Stats(ctx, w.uid, c.ID); err == nil {
				used.Memory = int64(s.MemoryWorkingSet)
			}
		}
		if withDisk && c.LayerDir != "" {
			layer, err := eviction.DiskUse(c.LayerDir)
			if err != nil {
				return u, err
			}
			used.Disk.Add(layer)
		}
		u.Containers[c.Name] = used
	}
	if !withDisk {
		return u, nil
	}
	for _, c := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
		logs, err := eviction.DiskUse(filepath.Join(a.files.logDir(pod.Namespace, pod.Name, w.uid), c.Name))
		if err != nil {
			return u, err
		}
		used := u.Containers[c.Name]
		used.Disk.Bytes += logs.Bytes
		u.Containers[c.Name] = used
	}
	for _, v := range pod.Spec.Volumes {
		path := w.volume(v.Name)
		if v.EmptyDir == nil || v.EmptyDir.Medium != corev1.StorageMediumDefault || path == "" {
			continue
		}
		if u.Volumes[v.Name], err = eviction.DiskUse(path); err != nil {
			return u, err
		}
	}
	return u, nil
}

// refuseUnderPressure returns why a node under pressure does not take a pod:
// short of memory it takes no BestEffort pods that do not tolerate that, short
// of anything else none at all. Critical pods it always takes.
func (a *Agent) refuseUnderPressure(pod *corev1.Pod) *waiting {
	under := a.pressure.under()
	if len(under) == 0 || eviction.Critical(pod) {
		return nil
	}
	if len(under) == 1 && under[0] == corev1.NodeMemoryPressure {
		tolerates := slices.ContainsFunc(pod.Spec.Tolerations, func(t corev1.Toleration) bool {
			return (t.Key == corev1.TaintNodeMemoryPressure || t.Key == "" && t.Operator == corev1.TolerationOpExists) &&
				(t.Effect == "" || t.Effect == corev1.TaintEffectNoSchedule)
		})
		if tolerates || podspec.QoS(pod) != corev1.PodQOSBestEffort {
			return nil
		}
	}
	return &waiting{eviction.Reason, eviction.NodeMessage(under)}
}
