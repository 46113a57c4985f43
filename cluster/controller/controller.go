// Package controller has the loops that make the state of the world follow what
// objects ask for: a Deployment becomes ReplicaSets, a ReplicaSet becomes Pods,
// a Service gets its endpoints, a claim its volume, and what nobody owns any
// more goes away. One file per kind; their behaviour, names, annotations,
// conditions and events are Kubernetes'.
//
// Every loop reads and writes through object.Verbs only, and none calls
// another. A loop reconciles one key at a time in four steps: read all, compute
// what should be (a pure function, with the time passed in), compare, write.
// It never looks at what changed, so a missed or repeated event does no harm.
// A write that lost a race (Conflict) ends the reconcile, which is tried again.
//
// Because reads through the Verbs in process see one's own writes, loops count
// what there is and need none of the "expectations" that a controller working
// from a delayed cache must keep.
package controller

import (
	"context"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/util/workqueue"

	"github.com/seed38700745/pkg/cluster/event"
	"github.com/seed38700745/pkg/cluster/object"
)

// manager is the field manager of all writes: the name under which Kubernetes'
// own controllers write, so that tools that leave its fields alone also leave
// these alone.
const manager = "kube-controller-manager"

// Config says what a Set works on. Verbs is required.
type Config struct {
	Verbs  object.Verbs
	Now    func() time.Time // nil: time.Now
	Logger *slog.Logger     // nil: nothing is logged

	// Resources lists what the API serves and can delete, custom resources
	// included. It is asked again and again, as custom resources come and go.
	// Nil: no garbage collection, and namespaces keep their content.
	Resources func() []Resource

	// RootCA is the cluster's certificate authority, in PEM, which every
	// namespace gets in ConfigMap kube-root-ca.crt. Empty: no ConfigMap.
	RootCA []byte

	// PodUses says what the pods of a namespace that fit use of processor time and
	// memory. Nil: nobody knows, and autoscalers do nothing.
	PodUses func(ctx context.Context, namespace string, pods labels.Selector) ([]PodUse, error)

	// VolumesDir is the folder on the nodes under which dynamically
	// provisioned local volumes live.
	VolumesDir string

	// Queues is told of the loops' work queues; nil: nobody is.
	Queues workqueue.MetricsProvider
}

// Resource is one collection that the API serves.
type Resource struct {
	object.Resource
	Kind       string // "Deployment", as owner references name it
	Namespaced bool
}

// Set is all controllers. Make one with New; Run works until its context ends.
type Set struct {
	cfg       Config
	verbs     object.Verbs
	now       func() time.Time
	log       *slog.Logger
	recorders []*event.Recorder
}

// New returns a Set. It starts nothing.
func New(c Config) *Set {
	s := &Set{cfg: c, verbs: c.Verbs, now: c.Now, log: c.Logger}
	if s.now == nil {
		s.now = time.Now
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	return s
}

// Run runs all loops until ctx ends or one fails, and waits for them.
func (s *Set) Run(ctx context.Context) error {
	loops := s.loops()
	group, ctx := errgroup.WithContext(ctx)
	for _, r := range s.recorders {
		group.Go(func() error { return r.Run(ctx) })
	}
	feeds := newFeeds(s.verbs, s.cfg.Queues, loops)
	group.Go(func() error { return feeds.run(ctx) })
	for _, l := range loops {
		group.Go(func() error { return l.run(ctx, feeds, s.log) })
	}
	group.Go(func() error { return s.ensureLocalClass(ctx) })
	group.Go(func() error { return s.expireEvents(ctx) })
	if s.cfg.Resources != nil {
		group.Go(func() error { return newCollector(s).run(ctx) })
	}
	return group.Wait()
}

// loops wires every controller that works key by key.
func (s *Set) loops() []*loop {
	return []*loop{
		newDeployments(s).loop(),
		newReplicaSets(s).loop(),
		newReplicationControllers(s).loop(),
		newStatefulSets(s).loop(),
		newDaemonSets(s).loop(),
		newJobs(s).loop(),
		newCronJobs(s).loop(),
		newEndpointSlices(s).loop(),
		newEndpoints(s).loop(),
		newEndpointMirror(s).loop(),
		newBalancers(s).loop(),
		newClaims(s).loop(),
		newVolumes(s).loop(),
		newClaimProtection(s).loop(),
		newVolumeProtection(s).loop(),
		newEphemeralClaims(s).loop(),
		newNamespaces(s).loop(),
		newNamespaceDefaults(s).loop(),
		newNodes(s).loop(),
		newNodeEviction(s).loop(),
		newDisruptions(s).loop(),
		newPodGC(s).loop(),
		newAggregation(s).loop(),
		newQuotas(s).loop(),
		newAutoscalers(s).loop(),
	}
}

// recorder returns a new source of Events, which Run also runs.
func (s *Set) recorder(component string) *event.Recorder {
	r := event.New(s.verbs, component, "", s.now)
	s.recorders = append(s.recorders, r)
	return r
}

// write are the options of all writes but Events.
func write() object.WriteOptions { return object.WriteOptions{FieldManager: manager} }

// groupKind is how owner references name a kind, whatever the version.
func groupKind(apiVersion, kind string) schema.GroupKind {
	return schema.FromAPIVersionAndKind(apiVersion, kind).GroupKind()
}
