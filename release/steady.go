package release

import (
	"fmt"
	"time"
)

// steadiness is whether everything that became ready stays so.
type steadiness struct {
	waiter *waiter
	items  []*Item
	over   <-chan time.Time // when it has lasted long enough; nil while not ready
	before map[string]bool  // bad ends of containers until everything was ready
}

// check looks at a scene. done is true when nothing more has to be proved. Errors:
// *FailedError for a container that crashed after everything was ready.
func (p *steadiness) check(s *scene, ready bool) (done bool, err error) {
	if p.waiter.stable <= 0 {
		return ready, nil
	}
	switch {
	case p.over != nil:
		for id, c := range s.crashes(p.items) {
			if !p.before[id] {
				return false, &FailedError{State: State{Object: c.object, Phase: Failed, Message: c.text + ", after it was ready"}}
			}
		}
		if !ready {
			p.over = nil
		}
	case ready:
		p.over, p.before = time.After(p.waiter.stable), map[string]bool{}
		for id := range s.crashes(p.items) {
			p.before[id] = true
		}
	}
	return false, nil
}

// seenCrash is a bad end of a container, and whose it is.
type seenCrash struct {
	object Ref
	text   string
}

// crashes lists the bad ends of containers of the items' pods, each by pod,
// container and restart.
func (s *scene) crashes(items []*Item) map[string]seenCrash {
	out := map[string]seenCrash{}
	for _, i := range items {
		o := s.objects[i.Ref]
		if o == nil {
			continue
		}
		for _, p := range s.podsOf(o) {
			for _, c := range crashed(p) {
				id := fmt.Sprintf("%s/%s/%d", p.GetUID(), c.container, c.restarts)
				out[id] = seenCrash{i.Ref, fmt.Sprintf("pod %s: container %s: %s", p.GetName(), c.container, c.how)}
			}
		}
	}
	return out
}
