package image

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/seed38700745/pkg/cluster/cri"
)

// userAgent tells registries who asks.
const userAgent = "pkg"

// connectError is a registry that could not be reached at all, other than one
// that refuses.
type connectError struct {
	host string
	err  error
}

func (e *connectError) Error() string { return fmt.Sprintf("cannot reach %s: %v", e.host, e.err) }
func (e *connectError) Unwrap() error { return e.err }

// pull fetches an image from its mirrors and its registry, in this order. The
// error wraps a connectError only if none of them could be reached.
func (s *Store) pull(ctx context.Context, normal string, creds cri.Credentials, progress func(cri.ImageProgress)) (cri.Image, error) {
	var unreachable, refused error
	for _, source := range s.sources(normal) {
		ref, err := parse(source, s.insecure(source)...)
		if err != nil {
			return cri.Image{}, err
		}
		img, err := s.pullFrom(ctx, normal, ref, creds, progress)
		if err == nil {
			return img, nil
		}
		if ctx.Err() != nil {
			return cri.Image{}, context.Cause(ctx)
		}
		var ce *connectError
		if errors.As(err, &ce) {
			unreachable = ce
		} else {
			refused = err
		}
		s.log.Debug("pull failed", "source", source, "error", err)
	}
	if refused != nil {
		return cri.Image{}, refused
	}
	return cri.Image{}, unreachable
}

// sources are the references to try for a normalised one.
func (s *Store) sources(normal string) []string {
	host, rest, _ := strings.Cut(normal, "/")
	var out []string
	for _, m := range s.config.Mirrors[host] {
		out = append(out, strings.TrimSuffix(m, "/")+"/"+rest)
	}
	return append(out, normal)
}

func (s *Store) insecure(reference string) []name.Option {
	host, _, _ := strings.Cut(reference, "/")
	if slices.Contains(s.config.Insecure, host) {
		return []name.Option{name.Insecure}
	}
	return nil
}

func (s *Store) pullFrom(ctx context.Context, normal string, ref name.Reference, creds cri.Credentials, progress func(cri.ImageProgress)) (cri.Image, error) {
	transport := s.transport()
	defer transport.CloseIdleConnections()
	desc, err := remote.Get(ref, remote.WithContext(ctx), remote.WithTransport(transport),
		remote.WithAuthFromKeychain(keychains{keychain(creds), s.keys}), remote.WithUserAgent(userAgent),
		remote.WithPlatform(v1.Platform{OS: "linux", Architecture: s.config.Arch}),
		remote.WithRetryBackoff(remote.Backoff{Duration: 200 * time.Millisecond, Factor: 2, Steps: 3}),
		remote.WithRetryPredicate(retryable))
	if err != nil {
		return cri.Image{}, readable(normal, err)
	}
	record := refRecord{Name: normal, Digest: withDigest(normal, desc.Digest.String())}
	if i, ok := s.byDigest(record.Digest); ok { // nothing new
		return s.put(record, i)
	}
	img, err := desc.Image()
	if err != nil {
		return cri.Image{}, readable(normal, err)
	}
	added, err := s.add(ctx, img, []refRecord{record}, progress)
	if err != nil {
		return cri.Image{}, readable(normal, err)
	}
	return added[0], nil
}

// byDigest finds an image that came from the registry under the same digest.
func (s *Store) byDigest(digest string) (imageRecord, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, r := range s.names {
		if r.Digest == digest {
			return s.images[r.ID], true
		}
	}
	return imageRecord{}, false
}

// withDigest is a normalised name's repository with a digest.
func withDigest(normal, digest string) string {
	repo, _, _ := strings.Cut(normal, "@")
	if i := strings.LastIndex(repo, ":"); i > strings.LastIndex(repo, "/") {
		repo = repo[:i]
	}
	return repo + "@" + digest
}

// retryable: what failed on the way is tried again, a host that does not answer
// is not.
func retryable(err error) bool {
	var ce *connectError
	var ne net.Error
	return !errors.As(err, &ce) && !errors.Is(err, context.Canceled) && errors.As(err, &ne)
}

// transport makes connections that give up fast and say so.
func (s *Store) transport() *http.Transport {
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
		ResponseHeaderTimeout: 30 * time.Second,
		ForceAttemptHTTP2:     true,
		TLSClientConfig:       &tls.Config{MinVersion: tls.VersionTLS12},
		MaxIdleConnsPerHost:   4,
	}
}

// hubName is a host as users know it.
func hubName(host string) string {
	if host == dockerHubAPI {
		return dockerHub
	}
	return host
}

// readable turns a registry's error into what a user can act on.
func readable(normal string, err error) error {
	var ce *connectError
	if errors.As(err, &ce) {
		return ce
	}
	var uerr *url.Error
	if errors.As(err, &uerr) && strings.Contains(uerr.Err.Error(), "TLS handshake timeout") {
		return &connectError{hubName(hostOf(uerr.URL)), uerr.Err}
	}
	var te *transport.Error
	if errors.As(err, &te) {
		switch te.StatusCode {
		case http.StatusNotFound:
			return fmt.Errorf("the registry has no %s: %w", normal, te)
		case http.StatusUnauthorized, http.StatusForbidden:
			return fmt.Errorf("the registry refuses %s (it may not exist, or need credentials): %w", normal, te)
		}
	}
	return err
}

func hostOf(rawURL string) string {
	u, err := url.Parse(rawURL)
	if err != nil {
		return rawURL
	}
	return u.Hostname()
}

// keychain finds credentials by registry host, or by host and path.
type keychain cri.Credentials

// Resolve implements authn.Keychain.
func (k keychain) Resolve(r authn.Resource) (authn.Authenticator, error) {
	best, found := "", false
	for key := range k {
		clean := strings.TrimSuffix(strings.TrimPrefix(strings.TrimPrefix(key, "https://"), "http://"), "/")
		clean = strings.TrimSuffix(strings.TrimSuffix(clean, "/v1"), "/v2")
		if clean == dockerHub {
			clean = dockerHubAPI
		}
		if clean != r.RegistryStr() && r.String() != clean && !strings.HasPrefix(r.String(), clean+"/") {
			continue
		}
		if !found || len(key) > len(best) {
			best, found = key, true
		}
	}
	if !found {
		return authn.Anonymous, nil
	}
	c := k[best]
	return authn.FromConfig(authn.AuthConfig{Username: c.Username, Password: c.Password, IdentityToken: c.IdentityToken}), nil
}

// keychains asks one after the other.
type keychains []keychain

// Resolve implements authn.Keychain.
func (ks keychains) Resolve(r authn.Resource) (authn.Authenticator, error) {
	for _, k := range ks {
		if a, err := k.Resolve(r); err != nil || a != authn.Anonymous {
			return a, err
		}
	}
	return authn.Anonymous, nil
}
