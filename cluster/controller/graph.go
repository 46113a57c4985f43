package controller

import (
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// graph is who owns whom among all objects, by UID. Owners that were never
// seen may have dependents in it.
type graph struct {
	mu       sync.Mutex                       // guards all below
	exists   map[types.UID]node               // objects that were seen
	children map[types.UID]map[types.UID]node // by owner
	parents  map[types.UID][]types.UID        // of objects that have any
}

func newGraph() *graph {
	return &graph{exists: map[types.UID]node{}, children: map[types.UID]map[types.UID]node{}, parents: map[types.UID][]types.UID{}}
}

// set notes an object and its owners. It returns the owners that it had and
// has no more.
func (g *graph) set(n node, refs []metav1.OwnerReference) (former []node) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.exists[n.uid] = n
	if len(refs) == 0 && len(g.parents[n.uid]) == 0 {
		return nil
	}
	old := g.parents[n.uid]
	g.unlinkLocked(n.uid)
	now := map[types.UID]bool{}
	for _, r := range refs {
		now[r.UID] = true
		if g.children[r.UID] == nil {
			g.children[r.UID] = map[types.UID]node{}
		}
		g.children[r.UID][n.uid] = n
		g.parents[n.uid] = append(g.parents[n.uid], r.UID)
	}
	for _, uid := range old {
		if owner, ok := g.exists[uid]; ok && !now[uid] {
			former = append(former, owner)
		}
	}
	return former
}

// remove forgets an object, and returns whom that concerns: its dependents,
// and its owners, which may have waited for it.
func (g *graph) remove(n node) []node {
	g.mu.Lock()
	defer g.mu.Unlock()
	var concerned []node
	for _, d := range g.children[n.uid] {
		concerned = append(concerned, d)
	}
	for _, uid := range g.parents[n.uid] {
		if owner, ok := g.exists[uid]; ok {
			concerned = append(concerned, owner)
		}
	}
	g.unlinkLocked(n.uid)
	delete(g.exists, n.uid)
	return concerned
}

func (g *graph) unlinkLocked(uid types.UID) {
	for _, owner := range g.parents[uid] {
		delete(g.children[owner], uid)
		if len(g.children[owner]) == 0 {
			delete(g.children, owner)
		}
	}
	delete(g.parents, uid)
}

// dependents are the objects that name uid as an owner.
func (g *graph) dependents(uid types.UID) []node {
	g.mu.Lock()
	defer g.mu.Unlock()
	var all []node
	for _, d := range g.children[uid] {
		all = append(all, d)
	}
	return all
}

// lacksOwner tells whether some owner of n was not seen (yet).
func (g *graph) lacksOwner(n node) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, uid := range g.parents[n.uid] {
		if _, ok := g.exists[uid]; !ok {
			return true
		}
	}
	return false
}
