// Package client is object.Verbs over HTTPS, for programs that are not part of
// the cluster: pkg, and agents of other machines. It speaks to any Kubernetes.
//
// Everything is exchanged as *unstructured.Unstructured, so that neither the
// types of k8s.io/api nor a scheme are linked. What kinds a server has is learnt
// from its aggregated discovery, kept for a while in a cache folder, and asked
// anew when a kind is missing there.
//
// A collection is named without its version, as everywhere in Verbs. Reads use
// the version that the server prefers, or the one that At gave; writes that
// carry an object use the object's own.
//
// A Client may be used concurrently. It retries nothing but answers that say
// when to try again (429 and 503 with Retry-After).
package client

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/flowcontrol"

	"github.com/seed38700745/pkg/cluster/object"
)

// Config says how to reach a server.
type Config struct {
	REST *rest.Config
	// CacheDir keeps what discovery found, a file for each server; "" keeps
	// nothing.
	CacheDir string
	// QPS bounds the requests a second, but for Burst (at least 1) at once; 0 is no
	// bound.
	QPS   float32
	Burst int
	// Warn receives the server's Warning headers; nil drops them.
	Warn func(text string)
	// Now is time.Now if nil.
	Now func() time.Time
}

// Client is a connection to one server. It implements object.Verbs.
type Client struct {
	base    *url.URL
	http    *http.Client
	kinds   *discovery
	warn    func(string)
	limit   flowcontrol.RateLimiter // nil: none
	version string                  // of reads; "" is the server's choice
	// listsFirst is set once the server has shown that it cannot send initial events.
	listsFirst *atomic.Bool
}

var _ object.Verbs = (*Client)(nil)

// New returns a Client. Nothing is sent before the first request.
func New(c Config) (*Client, error) {
	hc, err := rest.HTTPClientFor(c.REST)
	if err != nil {
		return nil, fmt.Errorf("cluster at %s: %w", c.REST.Host, err)
	}
	base, _, err := rest.DefaultServerUrlFor(c.REST)
	if err != nil {
		return nil, fmt.Errorf("cluster address %q: %w", c.REST.Host, err)
	}
	base.Path = strings.TrimSuffix(base.Path, "/")
	k := &Client{base: base, http: hc, warn: c.Warn, listsFirst: &atomic.Bool{}}
	if k.warn == nil {
		k.warn = func(string) {}
	}
	if c.QPS > 0 {
		k.limit = flowcontrol.NewTokenBucketRateLimiter(c.QPS, max(c.Burst, 1))
	}
	now := c.Now
	if now == nil {
		now = time.Now
	}
	k.kinds = &discovery{client: k, now: now}
	if c.CacheDir != "" {
		k.kinds.file = cacheFile(c.CacheDir, base.String())
	}
	return k, nil
}

// Server is the URL of the server.
func (c *Client) Server() string { return c.base.String() }

// At returns the same verbs, with objects read in the given version of their
// group, "v1beta1" of {"apps", "deployments"} say, where the server has it.
func (c *Client) At(version string) object.Verbs {
	other := *c
	other.version = version
	return &other
}

// Version is the server's answer to /version.
type Version struct {
	Major      string `json:"major"`
	Minor      string `json:"minor"`
	GitVersion string `json:"gitVersion"`
}

// Version asks the server for its version.
func (c *Client) Version(ctx context.Context) (Version, error) {
	var v Version
	err := c.getJSON(ctx, "/version", "", &v)
	return v, err
}

// Ready tells whether the server answers /readyz with 200.
func (c *Client) Ready(ctx context.Context) error {
	body, err := c.Stream(ctx, http.MethodGet, "/readyz", nil, nil, "")
	if err != nil {
		return err
	}
	return body.Close()
}
