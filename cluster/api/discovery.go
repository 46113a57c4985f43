package api

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"slices"
	"sort"
	"strings"
	"sync"

	apidiscoveryv2 "k8s.io/api/apidiscovery/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/version"

	"github.com/seed38700745/pkg/cluster/api/wire"
	"github.com/seed38700745/pkg/cluster/kind"
)

// discoveryCache holds encoded discovery documents for as long as the served
// kinds stay the same.
type discoveryCache struct {
	mu    sync.Mutex
	kinds []*kind.Kind // of which the documents tell
	docs  map[string]document
}

type document struct {
	data []byte
	etag string
}

// get returns the document key, made by build if it is not there.
func (c *discoveryCache) get(kinds []*kind.Kind, key string, build func() ([]byte, error)) (document, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !slices.Equal(c.kinds, kinds) {
		c.kinds, c.docs = slices.Clone(kinds), map[string]document{}
	}
	if d, ok := c.docs[key]; ok {
		return d, nil
	}
	data, err := build()
	if err != nil {
		return document{}, err
	}
	sum := sha256.Sum256(data)
	d := document{data, `"` + strings.ToUpper(hex.EncodeToString(sum[:])) + `"`}
	if c.docs == nil {
		c.docs = map[string]document{}
	}
	c.docs[key] = d
	return d, nil
}

// discover serves /api, /apis, /apis/GROUP, /api/v1 and /apis/GROUP/VERSION.
func (q *request) discover(path string) error {
	build := q.server.document(path)
	if build == nil {
		return notServed()
	}
	aggregated := path == "/api" || path == "/apis"
	a, ok := wire.Negotiate(q.Header.Get("Accept"), func(a wire.Accepted) bool {
		if a.Plain() {
			return true
		}
		return aggregated && a.Group == apidiscoveryv2.GroupName && a.Version == "v2" && a.As == "APIGroupDiscoveryList"
	})
	if !ok {
		return notAcceptable()
	}
	pretty := q.pretty()
	key := path + " " + a.ContentType()
	if pretty {
		key += " pretty"
	}
	doc, err := q.server.discovery.get(q.server.Kinds.All(), key, func() ([]byte, error) {
		var b bytes.Buffer
		err := wire.Encode(&b, a.Format, pretty, build(!a.Plain()))
		return b.Bytes(), err
	})
	if err != nil {
		return err
	}
	h := q.w.Header()
	if aggregated {
		h.Set("Vary", "Accept")
		h.Set("ETag", doc.etag)
		h.Set("Cache-Control", "public")
		if q.Header.Get("If-None-Match") == doc.etag {
			q.w.WriteHeader(http.StatusNotModified)
			return nil
		}
	}
	h.Set("Content-Type", a.ContentType())
	out := q.respond(http.StatusOK)
	defer out.Close()
	_, err = out.Write(doc.data)
	return err
}

// document returns what makes the discovery document of a path, nil if there
// is none.
func (s *Server) document(path string) func(aggregated bool) runtime.Object {
	parts := strings.Split(strings.TrimPrefix(path, "/"), "/")
	gvs := s.groupVersions()
	group := ""
	if parts[0] == "apis" && len(parts) > 1 {
		group = parts[1]
	}
	gv := schema.GroupVersion{Group: group, Version: parts[len(parts)-1]}
	switch {
	case path == "/api":
		return func(aggregated bool) runtime.Object {
			if aggregated {
				return s.aggregated(func(g string) bool { return g == "" })
			}
			return &metav1.APIVersions{
				TypeMeta: metav1.TypeMeta{Kind: "APIVersions"}, Versions: []string{"v1"},
				ServerAddressByClientCIDRs: []metav1.ServerAddressByClientCIDR{},
			}
		}
	case path == "/apis":
		return func(aggregated bool) runtime.Object {
			if aggregated {
				return s.aggregated(func(g string) bool { return g != "" })
			}
			return s.groupList()
		}
	case len(parts) == 2 && parts[0] == "apis":
		for _, g := range s.groupList().Groups {
			if g.Name == group {
				g.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "APIGroup"}
				return func(bool) runtime.Object { return &g }
			}
		}
	case slices.Contains(gvs, gv) && (parts[0] == "api" && len(parts) == 2 || parts[0] == "apis" && len(parts) == 3):
		return func(bool) runtime.Object { return s.resourceList(gv) }
	}
	return nil
}

// groupVersions are those of stored and of virtual resources: core first, then
// the groups by name, each with its preferred version first.
func (s *Server) groupVersions() []schema.GroupVersion {
	gvs := s.Kinds.GroupVersions()
	for gvr := range s.virtual {
		if !slices.Contains(gvs, gvr.GroupVersion()) {
			gvs = append(gvs, gvr.GroupVersion())
		}
	}
	sort.Slice(gvs, func(i, j int) bool {
		if gvs[i].Group != gvs[j].Group {
			return gvs[i].Group < gvs[j].Group
		}
		return version.CompareKubeAwareVersionStrings(gvs[i].Version, gvs[j].Version) > 0
	})
	return gvs
}

func (s *Server) groupList() *metav1.APIGroupList {
	l := &metav1.APIGroupList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "APIGroupList"}, Groups: []metav1.APIGroup{}}
	for _, gv := range s.groupVersions() {
		if gv.Group == "" {
			continue
		}
		v := metav1.GroupVersionForDiscovery{GroupVersion: gv.String(), Version: gv.Version}
		if n := len(l.Groups); n > 0 && l.Groups[n-1].Name == gv.Group {
			l.Groups[n-1].Versions = append(l.Groups[n-1].Versions, v)
			continue
		}
		l.Groups = append(l.Groups, metav1.APIGroup{Name: gv.Group, Versions: []metav1.GroupVersionForDiscovery{v}, PreferredVersion: v})
	}
	return l
}

// resourceList is the document of one group-version: of each resource, itself
// and its subresources.
func (s *Server) resourceList(gv schema.GroupVersion) *metav1.APIResourceList {
	l := &metav1.APIResourceList{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "APIResourceList"}, GroupVersion: gv.String(), APIResources: []metav1.APIResource{},
	}
	for _, r := range s.resources(gv) {
		l.APIResources = append(l.APIResources, metav1.APIResource{
			Name: r.name, SingularName: r.singular, Namespaced: r.namespaced, Kind: r.gvk.Kind,
			Verbs: r.verbs, ShortNames: r.shortNames, Categories: r.categories, StorageVersionHash: r.hash(),
		})
		for _, sub := range r.subresources {
			a := metav1.APIResource{Name: r.name + "/" + sub.Name, Namespaced: r.namespaced, Kind: sub.GVK.Kind, Verbs: sub.Verbs}
			if sub.GVK.GroupVersion() != gv {
				a.Group, a.Version = sub.GVK.Group, sub.GVK.Version
			}
			l.APIResources = append(l.APIResources, a)
		}
	}
	return l
}

// aggregated is the discovery document of all groups that want selects.
func (s *Server) aggregated(want func(group string) bool) *apidiscoveryv2.APIGroupDiscoveryList {
	l := &apidiscoveryv2.APIGroupDiscoveryList{
		TypeMeta: metav1.TypeMeta{APIVersion: "apidiscovery.k8s.io/v2", Kind: "APIGroupDiscoveryList"},
		Items:    []apidiscoveryv2.APIGroupDiscovery{},
	}
	for _, gv := range s.groupVersions() {
		if !want(gv.Group) {
			continue
		}
		v := apidiscoveryv2.APIVersionDiscovery{Version: gv.Version, Freshness: apidiscoveryv2.DiscoveryFreshnessCurrent}
		for _, r := range s.resources(gv) {
			v.Resources = append(v.Resources, r.aggregated())
		}
		if n := len(l.Items); n > 0 && l.Items[n-1].Name == gv.Group {
			l.Items[n-1].Versions = append(l.Items[n-1].Versions, v)
			continue
		}
		l.Items = append(l.Items, apidiscoveryv2.APIGroupDiscovery{
			ObjectMeta: metav1.ObjectMeta{Name: gv.Group}, Versions: []apidiscoveryv2.APIVersionDiscovery{v},
		})
	}
	return l
}

// resource is what discovery tells about one resource of a group-version.
type resource struct {
	name, singular         string
	gvk                    schema.GroupVersionKind
	namespaced             bool
	verbs                  []string
	shortNames, categories []string
	subresources           []kind.Subresource
	stored                 schema.GroupVersionKind // empty for virtual ones
}

// hash identifies the stored version, as clients compare it over time.
func (r resource) hash() string {
	if r.stored.Empty() {
		return ""
	}
	sum := sha256.Sum256([]byte(r.stored.Group + "/" + r.stored.Version + "/" + r.stored.Kind))
	return hex.EncodeToString(sum[:])[:12]
}

func (r resource) aggregated() apidiscoveryv2.APIResourceDiscovery {
	scope := apidiscoveryv2.ScopeCluster
	if r.namespaced {
		scope = apidiscoveryv2.ScopeNamespace
	}
	d := apidiscoveryv2.APIResourceDiscovery{
		Resource: r.name, ResponseKind: groupVersionKind(r.gvk), Scope: scope, SingularResource: r.singular,
		Verbs: r.verbs, ShortNames: r.shortNames, Categories: r.categories,
	}
	for _, sub := range r.subresources {
		d.Subresources = append(d.Subresources, apidiscoveryv2.APISubresourceDiscovery{
			Subresource: sub.Name, ResponseKind: groupVersionKind(sub.GVK), Verbs: sub.Verbs,
		})
	}
	return d
}

func groupVersionKind(gvk schema.GroupVersionKind) *metav1.GroupVersionKind {
	return &metav1.GroupVersionKind{Group: gvk.Group, Version: gvk.Version, Kind: gvk.Kind}
}

// allVerbs are those of stored resources.
func allVerbs() []string {
	return []string{"create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"}
}

// resources lists what a group-version serves, by name.
func (s *Server) resources(gv schema.GroupVersion) (out []resource) {
	for _, k := range s.Kinds.All() {
		served, ok := s.Kinds.ForGVR(gv.WithResource(k.Plural))
		if !ok || served.Kind != k {
			continue
		}
		gvk := served.Version()
		r := resource{
			name: k.Plural, singular: k.Singular, gvk: gvk, namespaced: k.Namespaced, verbs: allVerbs(),
			shortNames: k.ShortNames, categories: k.Categories, stored: k.GVK,
		}
		if k.HasStatus {
			r.subresources = append(r.subresources, kind.Subresource{Name: "status", GVK: gvk, Verbs: []string{"get", "patch", "update"}})
		}
		if k.Scale != nil {
			scale := schema.GroupVersionKind{Group: "autoscaling", Version: "v1", Kind: "Scale"}
			r.subresources = append(r.subresources, kind.Subresource{Name: "scale", GVK: scale, Verbs: []string{"get", "patch", "update"}})
		}
		r.subresources = append(r.subresources, k.More...)
		sort.Slice(r.subresources, func(i, j int) bool { return r.subresources[i].Name < r.subresources[j].Name })
		out = append(out, r)
	}
	for gvr, v := range s.virtual {
		if gvr.GroupVersion() == gv {
			singular := v.Singular
			if singular == "" {
				singular = strings.ToLower(v.GVK.Kind)
			}
			out = append(out, resource{name: v.Plural, singular: singular, gvk: v.GVK, namespaced: v.Namespaced, verbs: v.verbs(), shortNames: v.ShortNames})
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].name < out[j].name })
	return out
}
