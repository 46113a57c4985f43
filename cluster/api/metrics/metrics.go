// Package metrics serves metrics.k8s.io: how much CPU and memory nodes and pods
// use, which kubectl top shows. A Sampler asks the nodes' agents for their
// counters now and then and keeps the last two readings: the use of CPU is the
// difference between them. Nothing is stored.
package metrics

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/object/builtin"
)

// Readings are taken every sampleEvery, the second one after sampleSoon, so that
// there is an answer soon after the start. The metrics server's 15 s would let a
// new pod be without metrics for up to 30 s.
const (
	sampleEvery = 5 * time.Second
	sampleSoon  = 2 * time.Second
	askTimeout  = 10 * time.Second
)

// Config says whom a Sampler asks. Verbs and Get are required.
type Config struct {
	Verbs object.Verbs
	// Get asks a node's agent for a path. The caller closes the body.
	Get    func(ctx context.Context, node, path string) (*http.Response, error)
	Logger *slog.Logger // nil: nothing is logged
}

// Sampler keeps the latest readings. Make one with New; Run takes readings.
type Sampler struct {
	cfg Config

	mu    sync.Mutex
	nodes map[string]window // by name; guarded by mu
}

// window is two readings of one node.
type window struct{ before, now *summary }

// summary is the part of an agent's /stats/summary that is looked at.
type summary struct {
	Node struct {
		CPU    *cpu    `json:"cpu"`
		Memory *memory `json:"memory"`
	} `json:"node"`
	Pods []podSummary `json:"pods"`
}

type podSummary struct {
	PodRef struct {
		Name      string `json:"name"`
		Namespace string `json:"namespace"`
		UID       string `json:"uid"`
	} `json:"podRef"`
	Containers []containerSummary `json:"containers"`
}

type containerSummary struct {
	Name      string    `json:"name"`
	StartTime time.Time `json:"startTime"`
	CPU       *cpu      `json:"cpu"`
	Memory    *memory   `json:"memory"`
}

type cpu struct {
	Time                 time.Time `json:"time"`
	UsageCoreNanoSeconds uint64    `json:"usageCoreNanoSeconds"`
}

type memory struct {
	WorkingSetBytes uint64 `json:"workingSetBytes"`
}

// New returns a Sampler. It starts nothing.
func New(c Config) *Sampler {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return &Sampler{cfg: c, nodes: map[string]window{}}
}

// Run takes readings until ctx ends.
func (s *Sampler) Run(ctx context.Context) error {
	wait := sampleSoon
	for {
		if s.sample(ctx) {
			wait = sampleEvery
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
}

// sample asks all nodes, and tells whether there is an answer for all now. A
// node that does not answer has no metrics until it does.
func (s *Sampler) sample(ctx context.Context) (complete bool) {
	nodes, err := builtin.Nodes.List(ctx, s.cfg.Verbs, object.ListOptions{})
	if err != nil {
		s.cfg.Logger.Warn("metrics: list nodes", "error", err)
		return false
	}
	next := map[string]window{}
	complete = len(nodes) > 0
	for _, n := range nodes {
		now, err := s.ask(ctx, n.Name)
		if err != nil {
			s.cfg.Logger.Debug("metrics", "node", n.Name, "error", err)
			complete = false
			continue
		}
		s.mu.Lock()
		before := s.nodes[n.Name].now
		s.mu.Unlock()
		next[n.Name] = window{before, now}
		complete = complete && before != nil
	}
	s.mu.Lock()
	s.nodes = next
	s.mu.Unlock()
	return complete
}

func (s *Sampler) ask(ctx context.Context, node string) (*summary, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	r, err := s.cfg.Get(ctx, node, "/stats/summary")
	if err != nil {
		return nil, err
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the agent answered %s", r.Status)
	}
	var out summary
	if err := json.NewDecoder(r.Body).Decode(&out); err != nil {
		return nil, fmt.Errorf("decode /stats/summary: %w", err)
	}
	return &out, nil
}

// window returns the readings of a node; ok is false while there are not two.
func (s *Sampler) window(node string) (w window, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w = s.nodes[node]
	return w, w.before != nil && w.now != nil
}
