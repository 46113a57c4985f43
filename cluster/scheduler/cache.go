package scheduler

import (
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// cache is which pods are on which nodes: what the watches told, and what was
// placed since. All else a placement reads live.
type cache struct {
	mu    sync.Mutex           // guards all below
	nodes map[string]*nodeInfo // replaced, never changed; node is nil where pods name a node that is not known
	names []string             // of known nodes, sorted; nil: to be made anew
	pods  map[types.UID]placed
}

// placed is where a pod is, or is assumed to be soon.
type placed struct {
	pod     *corev1.Pod
	node    string
	assumed bool
}

func newCache() *cache {
	return &cache{nodes: map[string]*nodeInfo{}, pods: map[types.UID]placed{}}
}

// known returns the nodes that exist, by name.
func (c *cache) known() []*nodeInfo {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.names == nil {
		c.names = []string{}
		for name, n := range c.nodes {
			if n.node != nil {
				c.names = append(c.names, name)
			}
		}
		slices.Sort(c.names)
	}
	nodes := make([]*nodeInfo, len(c.names))
	for i, name := range c.names {
		nodes[i] = c.nodes[name]
	}
	return nodes
}

// setNode notes a node, and tells whether placement sees a difference.
func (c *cache) setNode(n *corev1.Node, deleted bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.names = nil
	old := c.nodes[n.Name]
	if deleted {
		if old != nil {
			c.replace(n.Name, nil, old.pods)
		}
		return true
	}
	if old == nil {
		c.replace(n.Name, n, nil)
		return true
	}
	changed := matters(old.node, n)
	if changed {
		c.replace(n.Name, n, old.pods)
	}
	return changed
}

// setPod notes where a pod is, and tells whether that may help waiting pods:
// one went away, or a new one came.
func (c *cache) setPod(p *corev1.Pod, deleted bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	old, known := c.pods[p.UID]
	gone := deleted || finished(p)
	switch {
	case gone && known:
		c.remove(old)
		return true
	case gone:
		return false
	case p.Spec.NodeName == "":
		return false // an assumed pod stays so until its binding is seen
	case known && old.node == p.Spec.NodeName && countsSame(old.pod, p):
		c.pods[p.UID] = placed{pod: old.pod, node: old.node}
		return false
	case known:
		c.remove(old)
	}
	c.add(placed{pod: p, node: p.Spec.NodeName})
	return !known
}

// assume counts p on node until the API shows it there or forget takes it back.
func (c *cache) assume(p *corev1.Pod, node string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if old, known := c.pods[p.UID]; known {
		c.remove(old)
	}
	c.add(placed{pod: p, node: node, assumed: true})
}

// forget takes back an assumption; a binding that was seen meanwhile stays.
func (c *cache) forget(p *corev1.Pod) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if old, known := c.pods[p.UID]; known && old.assumed {
		c.remove(old)
	}
}

func (c *cache) add(p placed) {
	c.pods[p.pod.UID] = p
	n := c.nodes[p.node]
	if n == nil {
		c.nodes[p.node] = newNodeInfo(nil, []*corev1.Pod{p.pod})
		return
	}
	c.nodes[p.node] = n.with(p.pod)
}

func (c *cache) remove(p placed) {
	delete(c.pods, p.pod.UID)
	if n := c.nodes[p.node]; n != nil {
		rest := slices.DeleteFunc(slices.Clone(n.pods), func(o *corev1.Pod) bool { return o.UID == p.pod.UID })
		c.replace(p.node, n.node, rest)
	}
}

func (c *cache) replace(name string, n *corev1.Node, pods []*corev1.Pod) {
	if n == nil && len(pods) == 0 {
		delete(c.nodes, name)
		return
	}
	c.nodes[name] = newNodeInfo(n, pods)
}
