// Package cluster is the orchestrator as a whole: it builds the store, the API,
// the controllers, the scheduler, the node agent with its parts, the network and
// DNS, lets them know each other, and runs them in one process.
//
// The parts meet only at the verbs of package object, which the API implements;
// this file is the one place that knows everybody. Below Home:
//
//	instance.json, lock   package instance
//	settings.json         package settings, as proxy.json
//	registries.yaml       package registries
//	kubeconfig            the administrator's
//	store/pkg.db          package store
//	pki/                  package pki
//	images/               package image
//	containers/           package container
//	pods/                 hosts files, ephemeral volumes
//	volumes/              the data of persistent volumes
//	backups/              those made by schedule, package backup
//	logs/                 pkgd.log, and pods/ with the containers' logs
//
// What a reboot may take is below /run/pkg/<id>: sockets, namespaces, locks.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/seed38700745/pkg/cluster/api"
	"github.com/seed38700745/pkg/cluster/api/auth"
	"github.com/seed38700745/pkg/cluster/api/crd"
	"github.com/seed38700745/pkg/cluster/api/metrics"
	"github.com/seed38700745/pkg/cluster/api/openapi"
	"github.com/seed38700745/pkg/cluster/backup"
	"github.com/seed38700745/pkg/cluster/container"
	"github.com/seed38700745/pkg/cluster/controller"
	"github.com/seed38700745/pkg/cluster/dns"
	"github.com/seed38700745/pkg/cluster/event"
	"github.com/seed38700745/pkg/cluster/image"
	"github.com/seed38700745/pkg/cluster/instance"
	"github.com/seed38700745/pkg/cluster/kind"
	"github.com/seed38700745/pkg/cluster/meter"
	"github.com/seed38700745/pkg/cluster/network"
	"github.com/seed38700745/pkg/cluster/node"
	"github.com/seed38700745/pkg/cluster/node/eviction"
	"github.com/seed38700745/pkg/cluster/pki"
	"github.com/seed38700745/pkg/cluster/scheduler"
	"github.com/seed38700745/pkg/cluster/settings"
	"github.com/seed38700745/pkg/cluster/store"
	"github.com/seed38700745/pkg/cluster/volume"
)

// Domain is the DNS domain of every cluster.
const Domain = "cluster.local"

// Config says what a cluster is made of.
type Config struct {
	Record instance.Record
	// API listens for the API's clients on this machine. Run closes it.
	API net.Listener
	// Shim and Helper are the programs that run containers.
	Shim, Helper string
	// Settings are the user's choices.
	Settings settings.Settings
	// Images configures where images come from; Root is filled in.
	Images image.Config

	// Thresholds say when the node is short of memory or disk space, and
	// PressureTransition for how long that then holds; see node.Config.
	Thresholds         eviction.Thresholds
	PressureTransition time.Duration

	Version    string // of this product
	Kubernetes string // of the API: "v1.36.3"
	Logger     *slog.Logger
}

// Cluster is an open cluster. Make one with Open, run it once, then close it.
type Cluster struct {
	config   Config
	nodeName string
	log      *slog.Logger

	store      *store.DB
	pki        *pki.PKI
	kinds      *kind.Registry
	api        *api.Server
	documents  *openapi.Documents
	network    *network.Network
	dns        *dns.Server
	volumes    *volume.Manager
	agent      *node.Agent
	agentPipe  *pipe
	scheduler  *scheduler.Scheduler
	controller *controller.Set
	crds       *crd.Loop
	metrics    *metrics.Sampler
	meter      *meter.Meter
	backups    *backup.Maker
	recorders  []*event.Recorder
}

// paths below the data folder and the run folder.
func (c *Config) home(elem ...string) string {
	return filepath.Join(append([]string{c.Record.Home}, elem...)...)
}

func (c *Config) run(elem ...string) string {
	return filepath.Join(append([]string{c.Record.RunDir()}, elem...)...)
}

// SysctlRecord is where the host's own sysctls are kept while any cluster is on
// this machine.
const SysctlRecord = "/run/pkg/sysctls.json"

// networkConfig is what the network needs to be set up and to be cleaned up.
func networkConfig(r instance.Record, log *slog.Logger) network.Config {
	return network.Config{
		ID: r.ID, RunDir: r.RunDir(), PodCIDR: r.PodCIDR, ServiceCIDR: r.ServiceCIDR, DNS: r.DNS(),
		SysctlRecord: SysctlRecord, Logger: log,
	}
}

// containerConfig is what the runtime needs to find containers, and to run them
// if the programs are given.
func containerConfig(r instance.Record, shim, helper string, log *slog.Logger) container.Config {
	return container.Config{
		Root: filepath.Join(r.Home, "containers"), Run: filepath.Join(r.RunDir(), "containers"),
		ShimPath: shim, HelperPath: helper, CgroupParent: "pkg/" + r.ID, Logger: log,
	}
}

// Open opens the store and builds all parts. It starts no loop; the network's
// links and rules are in place when it returns.
func Open(c Config) (_ *Cluster, err error) {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	k := &Cluster{config: c, log: c.Logger, agentPipe: newPipe(), meter: meter.New(meter.Version{Product: c.Version, Kubernetes: c.Kubernetes})}
	defer func() {
		if err != nil {
			err = errors.Join(err, k.Close())
		}
	}()
	if k.nodeName, err = nodeName(); err != nil {
		return nil, err
	}
	for _, dir := range []string{c.home("store"), c.home("logs", "pods"), c.home("volumes"), c.home("pods"), c.run()} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
	}
	if k.network, err = network.Open(networkConfig(c.Record, c.Logger)); err != nil {
		return nil, err
	}
	if err := k.openAPI(); err != nil {
		return nil, err
	}
	if err := k.buildNode(); err != nil {
		return nil, err
	}
	k.buildControl()
	k.backups = k.newBackups()
	return k, nil
}

// nodeName is the host's name, as Kubernetes wants it.
func nodeName() (string, error) {
	name, err := os.Hostname()
	if err != nil {
		return "", fmt.Errorf("host name: %w", err)
	}
	return strings.ToLower(strings.TrimSpace(name)), nil
}

// openAPI opens certificates and store and builds the API over them.
func (k *Cluster) openAPI() (err error) {
	c := &k.config
	gateway := network.Gateway(c.Record.PodCIDR)
	k.pki, err = pki.Open(c.home("pki"), pki.Options{
		NodeName: k.nodeName, NodeIPs: []net.IP{gateway.AsSlice(), net.ParseIP(k.network.NodeIP())},
		ServiceIP: c.Record.APIAddress().AsSlice(), Domain: Domain,
	})
	if err != nil {
		return fmt.Errorf("certificates: %w", err)
	}
	kinds := kind.All()
	crd.Complete(kinds)
	k.kinds = kind.NewRegistry(kinds)
	k.store, err = store.Open(c.home("store", "pkg.db"), store.Options{
		Codec: api.NewCodec(k.kinds), Logger: k.log, Committed: k.meter.Committed,
	})
	if err != nil {
		return err
	}
	k.meter.Register(meter.Storage(k.store, k.kinds, c.home("store", "pkg.db")))
	if k.documents, err = openapi.Load(); err != nil {
		return err
	}
	return k.newAPI()
}

// buildNode builds the agent and what it uses.
func (k *Cluster) buildNode() error {
	c := &k.config
	runtime, err := container.New(containerConfig(c.Record, c.Shim, c.Helper, k.log))
	if err != nil {
		return err
	}
	c.Images.Root, c.Images.Logger = c.home("images"), k.log
	images, err := image.New(c.Images)
	if err != nil {
		return err
	}
	k.volumes, err = volume.New(volume.Config{
		Root: c.home("pods"), VolumesDir: c.home("volumes"), Node: k.nodeName, Verbs: k.api, Logger: k.log,
	})
	if err != nil {
		return err
	}
	k.dns = dns.New(dns.Config{Verbs: k.api, Domain: Domain, Listen: net.JoinHostPort(c.Record.DNS().String(), "53"), Logger: k.log})
	recorder := k.recorder("kubelet", k.nodeName)
	k.agent, err = node.New(node.Config{
		Name: k.nodeName, Verbs: k.api, Runtime: runtime, Images: images, Network: k.network, Volumes: k.volumes,
		DNS: node.DNS{Server: c.Record.DNS().String(), Domain: Domain}, Recorder: recorder,
		ImageDir: c.home("images"), Thresholds: c.Thresholds, PressureTransition: c.PressureTransition,
		RootDir: c.home("pods"), LogDir: c.home("logs", "pods"), PodCIDR: c.Record.PodCIDR.String(),
		TLS:     k.pki.KubeletServer(),
		Version: c.Kubernetes, RuntimeVersion: c.Version, Logger: k.log,
	})
	return err
}

// recorder makes a recorder whose Run is ours.
func (k *Cluster) recorder(component, host string) *event.Recorder {
	r := event.New(k.api, component, host, nil)
	k.recorders = append(k.recorders, r)
	return r
}

// buildControl builds what decides: controllers and scheduler.
func (k *Cluster) buildControl() {
	k.controller = controller.New(controller.Config{
		Verbs: k.api, Logger: k.log, Resources: k.resources, RootCA: k.pki.CA(), VolumesDir: k.config.home("volumes"),
		Queues: k.meter.Queues(), PodUses: k.podUses,
	})
	k.scheduler = scheduler.New(scheduler.Config{Verbs: k.api, Recorder: k.recorder("default-scheduler", ""), Logger: k.log,
		Attempted: func(result string, took time.Duration) { k.meter.Scheduled(scheduler.Name, result, took) }})
}

// podUses tells autoscalers what pods use.
func (k *Cluster) podUses(ctx context.Context, namespace string, pods labels.Selector) ([]controller.PodUse, error) {
	all, err := k.metrics.Pods(ctx, namespace, pods)
	if err != nil {
		return nil, err
	}
	uses := make([]controller.PodUse, len(all))
	for i, m := range all {
		uses[i] = controller.PodUse{Pod: m.Name, Time: m.Timestamp.Time, Window: m.Window.Duration, Containers: map[string]corev1.ResourceList{}}
		for _, c := range m.Containers {
			uses[i].Containers[c.Name] = c.Usage
		}
	}
	return uses, nil
}

// resources lists what the API stores, for garbage collection and namespaces.
func (k *Cluster) resources() []controller.Resource {
	var all []controller.Resource
	for _, x := range k.kinds.All() {
		all = append(all, controller.Resource{Resource: x.Resource(), Kind: x.GVK.Kind, Namespaced: x.Namespaced})
	}
	return all
}

// Run runs everything until ctx ends or a part fails, and waits for all. ready
// is called once, when the API answers and the node is Ready. Pods keep running.
func (k *Cluster) Run(ctx context.Context, ready func()) error {
	gateway := netip.AddrPortFrom(network.Gateway(k.config.Record.PodCIDR), uint16(k.config.Record.APIPort))
	inside, err := net.Listen("tcp4", gateway.String())
	if err != nil {
		return fmt.Errorf("API for pods: %w", err)
	}
	g, ctx := errgroup.WithContext(ctx)
	listener := join(k.config.API, inside)
	g.Go(func() error { return k.api.Serve(ctx, listener, k.pki.Server()) })
	g.Go(func() error { return k.agent.Serve(ctx, k.agentPipe) })
	if err := k.bootstrap(ctx); err != nil {
		return errors.Join(err, stop(g, listener, k.agentPipe))
	}
	for _, r := range k.recorders {
		g.Go(func() error { return r.Run(ctx) })
	}
	for name, run := range map[string]func(context.Context) error{
		"custom resources": k.crds.Run,
		"controllers":      k.controller.Run,
		"scheduler":        k.scheduler.Run,
		"metrics":          k.metrics.Run,
		"node agent":       k.agent.Run,
		"volumes":          k.volumes.Run,
		"dns":              k.dns.Run,
		"backups":          k.keepBackups,
		"network":          func(ctx context.Context) error { return k.network.Run(ctx, k.api) },
		"readiness":        func(ctx context.Context) error { return k.awaitReady(ctx, ready) },
	} {
		g.Go(func() error {
			if err := run(ctx); err != nil && ctx.Err() == nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			return nil
		})
	}
	return g.Wait()
}

// stop ends a group that has only servers in it.
func stop(g *errgroup.Group, listeners ...net.Listener) error {
	for _, l := range listeners {
		l.Close()
	}
	return g.Wait()
}

// bootstrap writes what every cluster has, and the administrator's kubeconfig.
func (k *Cluster) bootstrap(ctx context.Context) error {
	r := k.config.Record
	endpoint := netip.AddrPortFrom(network.Gateway(r.PodCIDR), uint16(r.APIPort))
	if err := api.Bootstrap(ctx, k.api, endpoint); err != nil {
		return err
	}
	if err := k.crds.Load(ctx); err != nil {
		return err
	}
	if err := auth.EnsureRoles(ctx, k.api); err != nil {
		return err
	}
	cert, key, err := k.pki.Admin()
	if err != nil {
		return err
	}
	path := k.config.home("kubeconfig")
	if err := os.WriteFile(path, pki.Kubeconfig(r.Server(), k.pki.CA(), cert, key), 0o600); err != nil {
		return err
	}
	return instance.Share(path, k.config.Settings.Group)
}

// Close releases the store, last of all.
func (k *Cluster) Close() error {
	if k.store == nil {
		return nil
	}
	return k.store.Close()
}
