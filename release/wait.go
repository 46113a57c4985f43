package release

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	kfields "k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"github.com/seed38700745/pkg/cluster/object"
)

const (
	// settle is how long a message must stand before it is printed, so that what
	// passes quickly does not scroll by.
	settle = 400 * time.Millisecond
	// crashLines is how much of a crashed container's log is shown.
	crashLines = 10
	// logTimeout bounds reading it.
	logTimeout = 3 * time.Second
)

// waiter waits until objects are as they should be, and says what it waits for.
type waiter struct {
	cluster   Cluster
	namespace string // the release's
	goal      goal
	say       func(format string, args ...any)
	now       func() time.Time
	// stable is how long everything has to stay ready, without a crash.
	stable time.Duration
	// logsShown says that the logs of containers are shown anyway.
	logsShown bool
	// table is shown all states at every change, and every second; nil at the end.
	// Without it what is waited for is said in lines.
	table func([]State)
}

// scene is what a waiter sees, one object of each name.
type scene struct {
	objects  map[Ref]*unstructured.Unstructured
	pods     map[object.Key]*unstructured.Unstructured
	warnings map[types.UID]string // last Warning event about an object, by its UID
	events   map[types.UID]event  // last event about an object, by its UID
	pulls    map[types.UID]string // what the last event says of an image that is being pulled, by the pod's UID
	synced   map[Ref]bool         // looked up, though perhaps not there
}

// wait returns nil when all items are ready. Errors: *FailedError as soon as one
// can not become ready, *TimeoutError after timeout (0: none), *LostError, ctx's.
func (w *waiter) wait(ctx context.Context, items []*Item, timeout time.Duration) error {
	var watched []*Item
	for _, i := range items {
		if w.matters(i) {
			watched = append(watched, i)
		}
	}
	if len(watched) == 0 {
		return nil
	}
	start := w.now()
	if w.table != nil {
		defer w.table(nil)
	}
	outer := ctx
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var deadline <-chan time.Time
	if timeout > 0 {
		timer := time.NewTimer(timeout)
		defer timer.Stop()
		deadline = timer.C
	}
	updates := make(chan func(*scene))
	g, gctx := errgroup.WithContext(ctx)
	w.follow(gctx, g, watched, updates)
	err := w.inContact(ctx, func(ctx context.Context) error {
		return w.loop(ctx, watched, updates, deadline, start)
	})
	cancel()
	if err = errors.Join(err, g.Wait()); err != nil {
		return err
	}
	return w.served(outer, watched)
}

const (
	// servedTimeout is how long a server may take to tell of a kind whose definition it
	// has established; a second or two are usual.
	servedTimeout = 30 * time.Second
	servedPoll    = 100 * time.Millisecond
)

// served waits until the server tells of the kinds that the items define.
func (w *waiter) served(ctx context.Context, items []*Item) error {
	ctx, cancel := context.WithTimeout(ctx, servedTimeout)
	defer cancel()
	for gvk := range definedKinds(items) {
		for {
			_, err := w.cluster.Kind(ctx, gvk)
			if err == nil {
				break
			}
			if !isNoMatch(err) {
				return err
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("%s is defined, but the server does not tell of it: %w", gvk, err)
			case <-time.After(servedPoll):
				w.cluster.Refresh()
			}
		}
	}
	return nil
}

// matters tells whether a kind has anything to wait for.
func (w *waiter) matters(i *Item) bool {
	bare := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": i.Body.GetAPIVersion(), "kind": i.Body.GetKind(),
		"spec": i.Body.Object["spec"], "metadata": map[string]any{"generation": int64(1)},
	}}
	phase, _ := assess(bare, w.goal)
	return phase != Ready || i.Kind == "Job" || !builtInGroup(i.Group)
}

func (w *waiter) loop(ctx context.Context, items []*Item, updates <-chan func(*scene), deadline <-chan time.Time, start time.Time) error {
	s := &scene{
		objects: map[Ref]*unstructured.Unstructured{}, pods: map[object.Key]*unstructured.Unstructured{},
		warnings: map[types.UID]string{}, events: map[types.UID]event{}, pulls: map[types.UID]string{}, synced: map[Ref]bool{},
	}
	printed, told := map[Ref]said{}, map[string]bool{}
	var quiet, second <-chan time.Time
	if w.table != nil {
		ticker := time.NewTicker(time.Second)
		defer ticker.Stop()
		second = ticker.C
	}
	proof := steadiness{waiter: w, items: items}
	for {
		var states []State
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-deadline:
			w.tellCrashes(ctx, s, items, told)
			left := pending(s.states(items, w.goal))
			if len(left) == 0 {
				return nil // though not for as long as was asked for
			}
			return &TimeoutError{After: w.now().Sub(start).Round(time.Second), Pending: left}
		case <-proof.over:
			return nil
		case <-second:
			w.table(s.states(items, w.goal))
			continue
		case change := <-updates:
			change(s)
			states = s.states(items, w.goal)
		case <-quiet:
			quiet = nil
			if all := s.states(items, w.goal); w.table != nil {
				w.table(all)
			} else {
				w.tell(pending(all), printed)
			}
			w.tellCrashes(ctx, s, items, told)
			continue
		}
		left := pending(states)
		for _, st := range left {
			if st.Phase == Failed {
				w.tellCrashes(ctx, s, items, told)
				return &FailedError{State: st}
			}
		}
		if done, err := proof.check(s, len(left) == 0); done || err != nil {
			return err
		}
		if quiet == nil {
			quiet = time.After(settle)
		}
	}
}

func pending(states []State) []State {
	var out []State
	for _, s := range states {
		if s.Phase != Ready {
			out = append(out, s)
		}
	}
	return out
}

// said is what was printed of an object, and when.
type said struct {
	text string
	at   time.Time
}

// progressPause is the time between two lines that differ in how far a pull is.
const progressPause = 10 * time.Second

// tell prints the states that changed since they were printed.
func (w *waiter) tell(states []State, printed map[Ref]said) {
	for _, s := range states {
		text, last := s.String(), printed[s.Object]
		if text == last.text || sameProgress(text, last.text) && w.now().Sub(last.at) < progressPause {
			continue
		}
		printed[s.Object] = said{text, w.now()}
		w.say("waiting for %s", text)
	}
}

// sameProgress tells whether two texts are of one pull: they end in a percentage
// and differ in numbers only.
func sameProgress(a, b string) bool {
	const end = " %)"
	if !strings.HasSuffix(a, end) || !strings.HasSuffix(b, end) {
		return false
	}
	words := func(s string) string {
		return strings.Map(func(r rune) rune {
			if r >= '0' && r <= '9' {
				return -1
			}
			return r
		}, s)
	}
	return words(a) == words(b)
}

// states assesses every item, with the reasons that its pods give.
func (s *scene) states(items []*Item, g goal) []State {
	out := make([]State, len(items))
	for n, i := range items {
		st := State{Object: i.Ref}
		o := s.objects[i.Ref]
		switch {
		case o == nil && s.synced[i.Ref]:
			st.Message = "is not there"
		case o == nil:
			st.Message = "no answer from the cluster yet"
		default:
			st.Phase, st.Message = assess(o, g)
		}
		if o != nil && st.Phase != Ready {
			if why := s.why(o); why != "" {
				st.Message += ": " + why
			}
			st.Event = s.lastEvent(o).text
		}
		out[n] = st
	}
	return out
}

// why looks for the reason in an object's pods and events.
func (s *scene) why(o *unstructured.Unstructured) string {
	if o.GetKind() == "Pod" {
		_, why, _ := strings.Cut(s.explain(o), ": ")
		return why
	}
	for _, p := range s.podsOf(o) {
		if text := s.explain(p); text != "" {
			return text
		}
	}
	return s.warnings[o.GetUID()]
}

// explain is explainPod with what the events say: for a container that is being
// created, what is being done about its image.
func (s *scene) explain(pod *unstructured.Unstructured) string {
	text := explainPod(pod, s.warnings[pod.GetUID()])
	if pull := s.pulls[pod.GetUID()]; pull != "" && strings.HasSuffix(text, ": ContainerCreating") {
		text += ": " + pull
	}
	return text
}

func (s *scene) podsOf(o *unstructured.Unstructured) (out []*unstructured.Unstructured) {
	if o.GetKind() == "Pod" {
		return []*unstructured.Unstructured{o}
	}
	which := podSelector(o)
	if which == nil {
		return nil
	}
	for _, p := range s.pods {
		if p.GetNamespace() == o.GetNamespace() && which.Matches(labels.Set(p.GetLabels())) {
			out = append(out, p)
		}
	}
	newestFirst(out)
	return out
}

// tellCrashes prints the end of the log of each container that crashed and was
// not reported yet; of one that crashes again and again only the first.
func (w *waiter) tellCrashes(ctx context.Context, s *scene, items []*Item, told map[string]bool) {
	for _, i := range items {
		o := s.objects[i.Ref]
		if o == nil {
			continue
		}
		for _, p := range s.podsOf(o) {
			for _, c := range crashed(p) {
				id := string(p.GetUID()) + "/" + c.container
				if told[id] {
					continue
				}
				told[id] = true
				w.say("pod %s: container %s: %s", p.GetName(), c.container, c.how)
				if w.logsShown {
					continue
				}
				for _, line := range w.lastLines(ctx, p, c) {
					w.say("  | %s", line)
				}
			}
		}
	}
}

func (w *waiter) lastLines(ctx context.Context, pod *unstructured.Unstructured, c crash) []string {
	ctx, cancel := context.WithTimeout(ctx, logTimeout)
	defer cancel()
	log, err := w.cluster.Logs(ctx, object.KeyOf(pod), LogOptions{Container: c.container, Previous: c.previous, Tail: crashLines})
	if err != nil {
		return []string{fmt.Sprintf("(no log: %v)", err)}
	}
	defer log.Close()
	var out []string
	for lines := bufio.NewScanner(log); lines.Scan(); {
		out = append(out, lines.Text())
	}
	return out
}

// follow starts watching the items, and where they have pods, pods and events.
func (w *waiter) follow(ctx context.Context, g *errgroup.Group, items []*Item, updates chan<- func(*scene)) {
	send := func(change func(*scene)) {
		select {
		case updates <- change:
		case <-ctx.Done():
		}
	}
	inside := map[string]bool{}
	for _, i := range items {
		one := object.WatchOptions{Namespace: i.Namespace, Fields: kfields.OneTermEqualSelector("metadata.name", i.Name)}
		verbs := w.cluster.At(i.Body.GroupVersionKind().Version)
		g.Go(func() error {
			return object.Follow(ctx, verbs, i.Where.Resource, one, object.Handler{
				Changed: func(o object.Object, deleted bool) { send(func(s *scene) { s.setObject(i.Ref, o, deleted) }) },
				Synced:  func() { send(func(s *scene) { s.synced[i.Ref] = true }) },
			})
		})
		if podSelector(i.Body) != nil || i.Kind == "Pod" {
			inside[i.Namespace] = true
		}
	}
	for namespace := range inside {
		all := object.WatchOptions{Namespace: namespace}
		g.Go(func() error {
			return object.Follow(ctx, w.cluster, pods(), all, object.Handler{
				Changed: func(o object.Object, deleted bool) { send(func(s *scene) { s.setPod(o, deleted) }) },
			})
		})
		g.Go(func() error {
			return object.Follow(ctx, w.cluster, events(), all, object.Handler{
				Changed: func(o object.Object, deleted bool) { send(func(s *scene) { s.setEvent(o, deleted) }) },
			})
		})
	}
}

func (s *scene) setObject(r Ref, o object.Object, deleted bool) {
	u, ok := o.(*unstructured.Unstructured)
	if !ok || deleted {
		delete(s.objects, r)
		return
	}
	s.objects[r] = u
}

func (s *scene) setPod(o object.Object, deleted bool) {
	u, ok := o.(*unstructured.Unstructured)
	if !ok || deleted {
		delete(s.pods, object.KeyOf(o))
		return
	}
	s.pods[object.KeyOf(o)] = u
}

func (s *scene) setEvent(o object.Object, deleted bool) {
	u, ok := o.(*unstructured.Unstructured)
	if !ok || deleted {
		return
	}
	e := fieldsOf(u)
	uid := types.UID(e.text("involvedObject", "uid"))
	switch e.text("reason") {
	case "Pulling":
		s.pulls[uid] = firstLine(e.text("message"))
	case "Pulled":
		delete(s.pulls, uid)
	}
	text := strings.TrimSuffix(e.text("reason")+": "+firstLine(e.text("message")), ": ")
	if e.text("type") == "Warning" {
		s.warnings[uid] = text
	}
	if now := (event{text, eventTime(u)}); !now.at.Before(s.events[uid].at) {
		s.events[uid] = now
	}
}

// event is what is shown of an event.
type event struct {
	text string
	at   time.Time
}

// lastEvent is the newest about an object or its pods.
func (s *scene) lastEvent(o *unstructured.Unstructured) event {
	last := s.events[o.GetUID()]
	for _, p := range s.podsOf(o) {
		if e := s.events[p.GetUID()]; e.at.After(last.at) {
			last = e
		}
	}
	return last
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(strings.TrimSpace(s), "\n")
	return s
}
