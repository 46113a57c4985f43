//go:build !front

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/seed38700745/pkg/cluster/client"
	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/release"
)

// target is the cluster that a command means.
type target struct {
	config client.Kubeconfig
	name   string // "this machine's cluster in /var/lib/pkg"
	why    string // what chose it
	local  *localCluster
}

// target decides which cluster is meant: flags, then `pkg use`, then $KUBECONFIG,
// then this machine's. ~/.kube/config is read only for a context that was named.
func (a *app) target() (*target, error) {
	g := &a.global
	t := &target{config: client.Kubeconfig{
		Path: g.Kubeconfig, Context: firstOf(g.KubeContext, a.Env("HELM_KUBECONTEXT")),
		Server: firstOf(g.KubeAPIServer, a.Env("HELM_KUBEAPISERVER")), Token: firstOf(g.KubeToken, a.Env("HELM_KUBETOKEN")),
		CAFile: firstOf(g.KubeCAFile, a.Env("HELM_KUBECAFILE")), TLSServerName: firstOf(g.KubeTLSName, a.Env("HELM_KUBETLS_SERVER_NAME")),
		Insecure: g.KubeInsecure || a.Env("HELM_KUBEINSECURE_SKIP_TLS_VERIFY") == "true",
		AsUser:   firstOf(g.KubeAsUser, a.Env("HELM_KUBEASUSER")), AsGroups: g.KubeAsGroups,
	}}
	kept, err := a.keptContext()
	if err != nil {
		return nil, err
	}
	switch {
	case t.config.Path != "":
		t.why = "--kubeconfig"
	case t.config.Context != "":
		t.config.Path, t.why = firstOf(a.Env("KUBECONFIG"), kept.Kubeconfig, homeKubeconfig()), "--kube-context"
	case t.config.Server != "":
		t.name, t.why = t.config.Server, "--kube-apiserver"
		return t, nil
	case kept.Context != "":
		t.config.Path, t.config.Context, t.why = kept.Kubeconfig, kept.Context, "pkg use"
	case a.Env("KUBECONFIG") != "":
		t.config.Path, t.why = a.Env("KUBECONFIG"), "$KUBECONFIG"
	default:
		if t.local, err = a.localCluster(); err != nil {
			return nil, err
		}
		t.config.Path = t.local.kubeconfig()
		t.name, t.why = "this machine's cluster in "+t.local.home, "nothing else was chosen"
		return t, nil
	}
	t.name = "kubeconfig " + t.config.Path
	if t.config.Context != "" {
		t.name = fmt.Sprintf("context %s of %s", t.config.Context, t.config.Path)
	}
	return t, nil
}

// homeKubeconfig is ~/.kube/config.
func homeKubeconfig() string {
	home, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	return filepath.Join(home, ".kube", "config")
}

// connection is a cluster with the namespace to work in.
type connection struct {
	kube
	target    *target
	namespace string
}

// connectToInstall connects for a command that puts something on a cluster: it
// says first which one is meant, and starts this machine's if that is meant and
// not running, making it if there is none.
func (a *app) connectToInstall(ctx context.Context) (*connection, error) {
	t, err := a.target()
	if err != nil {
		return nil, err
	}
	return a.connectToTarget(ctx, t)
}

// connectToChange is connectToInstall for a command that changes what is there:
// where there is no cluster it makes none.
func (a *app) connectToChange(ctx context.Context) (*connection, error) {
	t, err := a.target()
	if err != nil {
		return nil, err
	}
	if t.local != nil {
		if record, err := t.local.record(); err != nil {
			return nil, err
		} else if record == nil {
			return nil, t.local.errNoCluster()
		}
	}
	return a.connectToTarget(ctx, t)
}

func (a *app) connectToTarget(ctx context.Context, t *target) (*connection, error) {
	if t.local != nil {
		if err := startCluster(ctx, a); err != nil {
			return nil, err
		}
	}
	c, err := a.connectTo(t)
	if err != nil {
		return nil, err
	}
	if !a.asHelm || t.local != nil { // helm's users chose it themselves
		fmt.Fprintf(a.Err, "cluster: %s (%s), namespace %s\n", t.name, t.why, c.namespace)
	}
	return c, nil
}

// connect connects for a command that only reads.
func (a *app) connect() (*connection, error) {
	t, err := a.target()
	if err != nil {
		return nil, err
	}
	if t.local != nil {
		if err := a.reachable(t); err != nil {
			return nil, err
		}
	}
	return a.connectTo(t)
}

// reachable tells why this machine's cluster cannot be used as it is.
func (a *app) reachable(t *target) error {
	pid, err := t.local.running()
	if err != nil {
		return err
	}
	if pid == 0 {
		return withHint(fmt.Errorf("%s is not running", t.name), "pkg cluster start, or choose another: --kubeconfig, --kube-context, pkg use, $KUBECONFIG")
	}
	return t.local.allowed()
}

// connectedGC is how much the heap grows between collections, in percent, of commands
// that use a cluster: they wait for it most of the time, so that memory counts more.
const connectedGC = 70

func (a *app) connectTo(t *target) (*connection, error) {
	loaded, err := t.config.Load()
	if err != nil {
		if errors.Is(err, fs.ErrPermission) && t.local != nil {
			return nil, t.local.errNotAllowed()
		}
		return nil, err
	}
	if t.local == nil && t.config.Context == "" && loaded.Context != "" {
		t.name = fmt.Sprintf("context %s of %s", loaded.Context, t.config.Path)
	}
	if a.Env("GOGC") == "" {
		debug.SetGCPercent(connectedGC)
	}
	loaded.REST.UserAgent = "pkg/" + programVersion()
	w := &warner{app: a, seen: map[string]bool{}}
	c, err := client.New(client.Config{REST: loaded.REST, CacheDir: a.CacheDir, QPS: a.global.QPS, Burst: a.global.BurstLimit, Warn: w.warn, Now: a.Now})
	if err != nil {
		return nil, err
	}
	out := &connection{kube: kube{c}, target: t}
	out.namespace = firstOf(a.global.Namespace, a.Env("HELM_NAMESPACE"), loaded.Namespace, "default")
	return out, nil
}

// releases makes what works on releases, for one operation ("upgrade").
func (c *connection) releases(a *app, operation string) (*release.Releases, error) {
	self, err := release.ThisProcess()
	if err != nil {
		return nil, fmt.Errorf("this process: %w", err)
	}
	self.Command = operation
	w := &warner{app: a, seen: map[string]bool{}}
	config := release.Config{
		Cluster: c.kube, Namespace: c.namespace, Self: self,
		Say: a.progress, Warn: w.warn, Logs: a.Out, StreamHooks: !a.asHelm, Now: a.Now,
	}
	if size := terminalSize(a.Err); size != nil && !a.asHelm && a.Env("TERM") != "dumb" {
		live := &liveTable{out: a.Err, size: size, now: a.Now, paint: painter{on: a.Env("NO_COLOR") == ""}}
		config.Table = live.update
		config.Say = func(line string) { live.above(func() { a.progress(line) }) }
		config.Warn = func(line string) { live.above(func() { w.warn(line) }) }
	}
	return release.New(config), nil
}

// progress prints a line of what an operation does; helm is silent about it.
func (a *app) progress(line string) {
	if a.asHelm {
		a.debugf("%s", line)
		return
	}
	fmt.Fprintln(a.Err, line)
}

// warner prints warnings, each once, and those about kinds that a cluster only
// stores once a kind.
type warner struct {
	app  *app
	seen map[string]bool
}

var storedOnly = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^(\S+) \S+ is stored, but (.*)$`) })

func (w *warner) warn(text string) {
	if m := storedOnly().FindStringSubmatch(text); m != nil {
		text = m[1] + " is stored, but " + m[2]
	}
	if !w.seen[text] {
		w.seen[text] = true
		w.app.warnf("%s", text)
	}
}

// kube is a client as package release wants it.
type kube struct{ *client.Client }

// Kind implements release.Cluster.
func (k kube) Kind(ctx context.Context, gvk schema.GroupVersionKind) (release.Kind, error) {
	found, err := k.Client.Kind(ctx, gvk)
	return release.Kind{Resource: found.Resource, Namespaced: found.Namespaced}, err
}

// KubeVersion implements release.Cluster.
func (k kube) KubeVersion(ctx context.Context) (string, error) {
	v, err := k.Version(ctx)
	return v.GitVersion, err
}

// Logs implements release.Cluster.
func (k kube) Logs(ctx context.Context, pod object.Key, o release.LogOptions) (io.ReadCloser, error) {
	all := client.LogOptions{Container: o.Container, Follow: o.Follow, Previous: o.Previous}
	if o.Tail > 0 {
		all.Tail = &o.Tail
	}
	return k.Client.Logs(ctx, pod, all)
}

// keptContext is what `pkg use` keeps.
type keptContext struct {
	Kubeconfig string `json:"kubeconfig,omitempty"`
	Context    string `json:"context,omitempty"`
}

func (a *app) keptContextFile() string { return filepath.Join(a.ConfigDir, "context.json") }

func (a *app) keptContext() (k keptContext, err error) {
	data, err := os.ReadFile(a.keptContextFile())
	if errors.Is(err, fs.ErrNotExist) {
		return k, nil
	}
	if err != nil {
		return k, err
	}
	if err := json.Unmarshal(data, &k); err != nil {
		return k, fmt.Errorf("%s: %w", a.keptContextFile(), err)
	}
	return k, nil
}

// quote makes a word safe to be typed into a shell.
func quote(word string) string {
	if word != "" && !strings.ContainsAny(word, " \t\n'\"\\$`*?[]{}()<>|&;#~!") {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
