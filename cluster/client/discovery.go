package client

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/seed38700745/pkg/cluster/object"
)

// Kind is one kind of a server in one version.
type Kind struct {
	object.Resource
	Version    string
	Kind       string
	Namespaced bool
}

// GVK names the kind as manifests do.
func (k Kind) GVK() schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: k.Group, Version: k.Version, Kind: k.Kind}
}

// cacheLife is how long kinds are taken from the cache folder without asking. A
// kind that is missing there is asked for at once.
const cacheLife = 10 * time.Minute

// discovery knows the kinds of a server.
type discovery struct {
	client *Client
	file   string // "" for none
	now    func() time.Time

	mu     sync.Mutex
	kinds  []Kind // guarded by mu; groups and versions in the server's order
	asked  bool   // guarded by mu; the server itself was asked
	loaded bool   // guarded by mu
}

// cacheFile names the file of a server.
func cacheFile(dir, server string) string {
	sum := sha256.Sum256([]byte(server))
	return filepath.Join(dir, "discovery", hex.EncodeToString(sum[:8])+".json")
}

// cached is the file's content.
type cached struct {
	Server string
	Kinds  []Kind
}

// find returns the first kind that fits, asking the server if what is known has
// none. ok is false if the server has none either.
func (d *discovery) find(ctx context.Context, fits func(Kind) bool) (k Kind, ok bool, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.loaded {
		d.loadLocked()
	}
	if i := slices.IndexFunc(d.kinds, fits); i >= 0 {
		return d.kinds[i], true, nil
	}
	if d.asked {
		return Kind{}, false, nil
	}
	if err := d.askLocked(ctx); err != nil {
		return Kind{}, false, err
	}
	if i := slices.IndexFunc(d.kinds, fits); i >= 0 {
		return d.kinds[i], true, nil
	}
	return Kind{}, false, nil
}

// all returns every kind, from the server if fresh is set.
func (d *discovery) all(ctx context.Context, fresh bool) ([]Kind, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.loaded {
		d.loadLocked()
	}
	if len(d.kinds) == 0 || fresh && !d.asked {
		if err := d.askLocked(ctx); err != nil {
			return nil, err
		}
	}
	return d.kinds, nil
}

// forget makes the next question go to the server.
func (d *discovery) forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.kinds, d.asked, d.loaded = nil, false, true
}

// loadLocked reads the cache file if it is young. What is wrong with it does not
// matter: the server can be asked.
func (d *discovery) loadLocked() {
	d.loaded = true
	info, err := os.Stat(d.file)
	if d.file == "" || err != nil || d.now().Sub(info.ModTime()) > cacheLife {
		return
	}
	data, err := os.ReadFile(d.file)
	if err != nil {
		return
	}
	var c cached
	if json.Unmarshal(data, &c) == nil && c.Server == d.client.base.String() {
		d.kinds = c.Kinds
	}
}

// saveLocked writes the cache file, or does without.
func (d *discovery) saveLocked() {
	if d.file == "" || os.MkdirAll(filepath.Dir(d.file), 0o755) != nil {
		return
	}
	data, err := json.Marshal(cached{d.client.base.String(), d.kinds})
	if err != nil {
		return
	}
	temp, err := os.CreateTemp(filepath.Dir(d.file), ".discovery")
	if err != nil {
		return
	}
	defer os.Remove(temp.Name())
	_, werr := temp.Write(data)
	if cerr := temp.Close(); werr == nil && cerr == nil {
		_ = os.Rename(temp.Name(), d.file) // without a cache it works, too
	}
}

// acceptAggregated asks for everything in one answer (Kubernetes 1.27 and later).
const acceptAggregated = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList," +
	"application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json"

// groupList is the part that we use of an APIGroupDiscoveryList.
type groupList struct {
	Kind  string `json:"kind"`
	Items []struct {
		Metadata struct {
			Name string `json:"name"`
		} `json:"metadata"`
		Versions []struct {
			Version   string `json:"version"`
			Resources []struct {
				Resource     string `json:"resource"`
				ResponseKind *struct {
					Group   string `json:"group"`
					Version string `json:"version"`
					Kind    string `json:"kind"`
				} `json:"responseKind"`
				Scope string   `json:"scope"`
				Verbs []string `json:"verbs"`
			} `json:"resources"`
		} `json:"versions"`
	} `json:"items"`
}

// askLocked fetches all kinds of the server.
func (d *discovery) askLocked(ctx context.Context) error {
	var kinds []Kind
	for _, path := range []string{"/api", "/apis"} {
		var l groupList
		if err := d.client.getJSON(ctx, path, acceptAggregated, &l); err != nil {
			return err
		}
		if l.Kind != "APIGroupDiscoveryList" {
			return fmt.Errorf("the cluster at %s has no aggregated discovery (Kubernetes 1.27 or later is needed)", d.client.base)
		}
		kinds = append(kinds, l.kinds()...)
	}
	d.kinds, d.asked = kinds, true
	d.saveLocked()
	return nil
}

func (l groupList) kinds() (out []Kind) {
	for _, g := range l.Items {
		for _, v := range g.Versions {
			for _, r := range v.Resources {
				if r.ResponseKind == nil || r.ResponseKind.Kind == "" {
					continue
				}
				out = append(out, Kind{
					Resource: object.Resource{Group: g.Metadata.Name, Resource: r.Resource},
					Version:  v.Version, Kind: r.ResponseKind.Kind, Namespaced: r.Scope == "Namespaced",
				})
			}
		}
	}
	return out
}

// Kind returns the kind that a manifest names. Errors: *meta.NoKindMatchError.
func (c *Client) Kind(ctx context.Context, gvk schema.GroupVersionKind) (Kind, error) {
	k, ok, err := c.kinds.find(ctx, func(k Kind) bool { return k.GVK() == gvk })
	if err == nil && !ok {
		err = &meta.NoKindMatchError{GroupKind: gvk.GroupKind(), SearchedVersions: []string{gvk.Version}}
	}
	return k, err
}

// Refresh makes the client ask the server for its kinds again, after a
// CustomResourceDefinition was created for instance.
func (c *Client) Refresh() { c.kinds.forget() }

// APIVersions lists what the server serves as Helm does for charts: each
// "group/version" followed by "group/version/Kind".
func (c *Client) APIVersions(ctx context.Context) ([]string, error) {
	kinds, err := c.kinds.all(ctx, true)
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	var out []string
	add := func(s string) {
		if !seen[s] {
			seen[s] = true
			out = append(out, s)
		}
	}
	for _, k := range kinds {
		gv := schema.GroupVersion{Group: k.Group, Version: k.Version}.String()
		add(gv)
		add(gv + "/" + k.Kind)
	}
	return out, nil
}

// collection is where a resource is served.
func (c *Client) collection(ctx context.Context, r object.Resource, version string) (Kind, error) {
	if version == "" {
		version = c.version
	}
	k, ok, err := c.kinds.find(ctx, func(k Kind) bool {
		return k.Resource == r && (version == "" || k.Version == version)
	})
	if err == nil && !ok {
		err = &meta.NoResourceMatchError{PartialResource: r.WithVersion(version)}
	}
	return k, err
}

// path is the URL's path of a collection or, with a name, of one object.
func (k Kind) path(namespace, name string, sub ...string) string {
	var b strings.Builder
	if k.Group == "" {
		b.WriteString("/api/" + k.Version)
	} else {
		b.WriteString("/apis/" + k.Group + "/" + k.Version)
	}
	if k.Namespaced && namespace != "" {
		b.WriteString("/namespaces/" + namespace)
	}
	b.WriteString("/" + k.Resource.Resource)
	if name != "" {
		b.WriteString("/" + escape(name))
	}
	for _, s := range sub {
		if s != "" {
			b.WriteString("/" + s)
		}
	}
	return b.String()
}

// escape protects names of RBAC objects, which may hold a colon or a slash.
func escape(name string) string {
	if !strings.ContainsAny(name, "%/?#") {
		return name
	}
	return strings.NewReplacer("%", "%25", "/", "%2F", "?", "%3F", "#", "%23").Replace(name)
}
