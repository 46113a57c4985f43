package image

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/seed38700745/pkg/cluster/registries"
)

// responseTimeout is how long a registry may take to begin an answer.
const responseTimeout = 30 * time.Second

// client speaks to a registry, and to others that it refers to: for tokens, for
// blobs. What is said of the registry's certificates holds for no other host.
type client struct {
	host         string
	own, foreign *http.Transport
}

func (s *Store) newClient(host string, reach *registries.Config) (*client, error) {
	config, err := reach.TLSOf(host)
	if err != nil {
		return nil, err
	}
	c := &client{host: host, foreign: s.transport(nil)}
	c.own = c.foreign
	if config != nil {
		c.own = s.transport(config)
	}
	return c, nil
}

// RoundTrip implements http.RoundTripper.
func (c *client) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Host == c.host {
		return c.own.RoundTrip(r)
	}
	return c.foreign.RoundTrip(r)
}

func (c *client) close() {
	c.own.CloseIdleConnections()
	c.foreign.CloseIdleConnections()
}

// transport makes connections that give up fast and say so.
func (s *Store) transport(config *tls.Config) *http.Transport {
	if config == nil {
		config = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	dialer := &net.Dialer{Timeout: s.config.ConnectTimeout}
	return &http.Transport{
		Proxy: s.config.Proxy,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := dialer.DialContext(ctx, network, address)
			if err != nil && ctx.Err() == nil {
				host, _, _ := net.SplitHostPort(address)
				return nil, &connectError{hubName(host), err}
			}
			return conn, err
		},
		OnProxyConnectResponse: func(_ context.Context, proxy *url.URL, req *http.Request, resp *http.Response) error {
			if resp.StatusCode != http.StatusOK {
				return &connectError{hubName(req.URL.Hostname()), fmt.Errorf("proxy %s answered %s", proxy.Host, resp.Status)}
			}
			return nil
		},
		TLSHandshakeTimeout:   s.config.ConnectTimeout,
		ResponseHeaderTimeout: responseTimeout,
		ForceAttemptHTTP2:     true,
		TLSClientConfig:       config,
		MaxIdleConnsPerHost:   layersAtOnce + 1,
	}
}
