// Package scheduler assigns pods to nodes: filter, score, bind, as Kubernetes'
// default scheduler does, with its reasons, messages and events.
//
// place.go and the files beside it are pure: what a pod asks for and the nodes
// as they are go in, a node or the reasons why none fits come out, always the
// same for the same input. The loop (this file) keeps that view of the nodes
// current by watching, takes waiting pods from a queue in the order of their
// priority, and binds them. A pod that was placed counts on its node at once
// (it is "assumed"), before the API says so: a burst cannot overcommit a node.
//
// A pod that fits nowhere may send pods of lower priority away (preempt.go).
// They end gracefully; until they are gone the room they leave is kept for it:
// it counts on its nominated node for all pods that are no more important.
package scheduler

import (
	"context"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/seed38700745/pkg/cluster/event"
	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/object/builtin"
)

// Name is the scheduler name of the pods that this scheduler places.
const Name = corev1.DefaultSchedulerName

// bindsAtOnce is how many bindings may be on their way to the disk together.
const bindsAtOnce = 64

// Config says what a Scheduler works on. Verbs is required.
type Config struct {
	Verbs    object.Verbs
	Recorder *event.Recorder  // nil: the Scheduler makes and runs its own
	Now      func() time.Time // nil: time.Now
	Logger   *slog.Logger     // nil: nothing is logged
	// Attempted is told of each try to place a pod: "scheduled",
	// "unschedulable" or "error"; nil: nobody is.
	Attempted func(result string, took time.Duration)
}

// Scheduler places pods. Make one with New; Run works until its context ends.
type Scheduler struct {
	cfg    Config
	verbs  object.Verbs
	events *event.Recorder
	now    func() time.Time
	log    *slog.Logger
	cache  *cache
	queue  *waiting
	start  int // of the next placement, see enough; the scheduling loop's own
}

// New returns a Scheduler. It starts nothing.
func New(c Config) *Scheduler {
	s := &Scheduler{cfg: c, verbs: c.Verbs, events: c.Recorder, now: c.Now, log: c.Logger}
	if s.now == nil {
		s.now = time.Now
	}
	if s.cfg.Attempted == nil {
		s.cfg.Attempted = func(string, time.Duration) {}
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.events == nil {
		s.events = event.New(s.verbs, Name, "", s.now)
	}
	s.cache, s.queue = newCache(), newWaiting(s.now)
	return s
}

// Run watches and schedules until ctx ends, and waits for bindings under way.
func (s *Scheduler) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	if s.cfg.Recorder == nil {
		group.Go(func() error { return s.events.Run(ctx) })
	}
	synced := s.follow(ctx, group)
	group.Go(func() error {
		for _, ch := range synced {
			select {
			case <-ch:
			case <-ctx.Done():
				return nil
			}
		}
		return s.schedule(ctx)
	})
	return group.Wait()
}

// schedule places pods as they come. Bindings are written beside it.
func (s *Scheduler) schedule(ctx context.Context) error {
	var binds errgroup.Group
	binds.SetLimit(bindsAtOnce)
	for {
		p, ok := s.queue.next(ctx)
		if !ok {
			return binds.Wait()
		}
		if w, node := s.try(ctx, p); node != "" {
			binds.Go(func() error { s.bind(ctx, w, node); return nil })
		}
	}
}

// try places one pod. It returns the node to bind it to; no node means that
// the pod waits (again), and that this was said where it should be.
func (s *Scheduler) try(ctx context.Context, w *waitingPod) (*waitingPod, string) {
	pod, err := builtin.Pods.Get(ctx, s.verbs, w.pod.Namespace, w.pod.Name)
	if err != nil || pod.UID != w.pod.UID || !ours(pod) {
		if err != nil && !apierrors.IsNotFound(err) {
			s.queue.retry(w)
		}
		return w, ""
	}
	w.pod = pod
	if len(pod.Spec.SchedulingGates) > 0 {
		s.queue.park(w)
		s.refuse(ctx, w, corev1.PodReasonSchedulingGated, "Scheduling is blocked due to non-empty scheduling gates", "")
		return w, ""
	}
	begun, result := s.now(), "error"
	defer func() { s.cfg.Attempted(result, s.now().Sub(begun)) }()
	world, err := s.world(ctx, pod)
	if err != nil {
		s.log.Warn("read what a placement needs", "pod", object.KeyOf(pod).String(), "error", err)
		s.queue.retry(w)
		return w, ""
	}
	world.start = s.start
	chosen, why := place(pod, world)
	if n := len(world.nodes); n > enoughAtLeast {
		s.start = (s.start + enough(n)) % n
	}
	if chosen == nil {
		result = "unschedulable"
		s.unfit(ctx, w, world, why)
		return w, ""
	}
	switch ready, err := s.prepareVolumes(ctx, pod, world, chosen.node); {
	case err != nil:
		s.log.Warn("prepare volumes", "pod", object.KeyOf(pod).String(), "error", err)
		s.queue.retry(w)
		return w, ""
	case !ready:
		result = "unschedulable"
		s.queue.await(w) // its claims are being bound
		return w, ""
	}
	result = "scheduled"
	s.cache.assume(pod, chosen.node.Name)
	s.queue.nominate(pod, "")
	return w, chosen.node.Name
}

// bind writes the binding of an assumed pod.
func (s *Scheduler) bind(ctx context.Context, w *waitingPod, node string) {
	p := w.pod
	b := &corev1.Binding{
		ObjectMeta: metav1.ObjectMeta{Namespace: p.Namespace, Name: p.Name, UID: p.UID},
		Target:     corev1.ObjectReference{Kind: "Node", Name: node},
	}
	_, err := s.verbs.Create(ctx, builtin.Pods.Resource, b, object.WriteOptions{FieldManager: manager, Subresource: "binding"})
	if err == nil {
		s.events.Event(p, builtin.Pods.Kind, "", corev1.EventTypeNormal, "Scheduled",
			"Successfully assigned %s/%s to %s", p.Namespace, p.Name, node)
		return
	}
	s.cache.forget(p)
	if apierrors.IsNotFound(err) || ctx.Err() != nil {
		return
	}
	s.events.Event(p, builtin.Pods.Kind, "", corev1.EventTypeWarning, "FailedScheduling", "running Bind plugin: %v", err)
	s.queue.retry(w)
}

// unfit makes room for a pod that fits nowhere, or says why that cannot be.
func (s *Scheduler) unfit(ctx context.Context, w *waitingPod, world world, why unfit) {
	node, err := s.preempt(ctx, w.pod, world, &why)
	if err != nil {
		s.log.Warn("preempt", "pod", object.KeyOf(w.pod).String(), "error", err)
	}
	why.preempting = node != ""
	s.queue.nominate(w.pod, node)
	if node != "" {
		s.queue.await(w) // the victims are going
	} else {
		s.queue.park(w)
	}
	message := why.String()
	s.events.Event(w.pod, builtin.Pods.Kind, "", corev1.EventTypeWarning, "FailedScheduling", "%s", message)
	s.refuse(ctx, w, corev1.PodReasonUnschedulable, message, node)
}

// refuse says at the pod why it is not scheduled, and where room is made for it.
func (s *Scheduler) refuse(ctx context.Context, w *waitingPod, reason, message, node string) {
	changed := w.pod.DeepCopy()
	said := setUnscheduled(changed, reason, message, s.now())
	if !said && changed.Status.NominatedNodeName == node {
		return
	}
	changed.Status.NominatedNodeName = node
	if _, err := builtin.Pods.UpdateStatus(ctx, s.verbs, changed, object.WriteOptions{FieldManager: manager}); err != nil &&
		!apierrors.IsConflict(err) && !apierrors.IsNotFound(err) && ctx.Err() == nil {
		s.log.Warn("write pod condition", "pod", object.KeyOf(w.pod).String(), "error", err)
	}
}

// manager is the field manager of the scheduler's writes, as Kubernetes names its.
const manager = "kube-scheduler"

// setUnscheduled sets the PodScheduled condition to False, and tells whether
// that changes anything.
func setUnscheduled(p *corev1.Pod, reason, message string, now time.Time) bool {
	c := corev1.PodCondition{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: reason, Message: message,
		LastTransitionTime: metav1.NewTime(now), ObservedGeneration: p.Generation}
	for i, old := range p.Status.Conditions {
		if old.Type != c.Type {
			continue
		}
		if old.Status == c.Status && old.Reason == reason && old.Message == message {
			return false
		}
		if old.Status == c.Status {
			c.LastTransitionTime = old.LastTransitionTime
		}
		p.Status.Conditions[i] = c
		return true
	}
	p.Status.Conditions = append(p.Status.Conditions, c)
	return true
}

// ours tells whether p waits for this scheduler.
func ours(p *corev1.Pod) bool {
	return p.Spec.NodeName == "" && p.DeletionTimestamp == nil && !finished(p) &&
		(p.Spec.SchedulerName == Name || p.Spec.SchedulerName == "")
}

func finished(p *corev1.Pod) bool {
	return p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
}
