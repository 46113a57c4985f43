package image

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/seed38700745/pkg/cluster/cri"
	"github.com/seed38700745/pkg/cluster/registries"
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

// pull takes an image in from its mirrors or its registry, in this order. The error
// wraps a connectError only if none of them could be reached.
func (s *Store) pull(ctx context.Context, normal string, creds cri.Credentials, progress func(cri.ImageProgress)) (cri.Image, error) {
	var out cri.Image
	err := s.fetch(ctx, normal, creds, func(_ string, found *remote.Descriptor) (err error) {
		out, err = s.take(ctx, normal, found, progress)
		return err
	})
	return out, err
}

// fetch finds an image on its mirrors or its registry, in this order, and hands it,
// with the reference that it was found under, to take, whose failure makes it look
// further. The error wraps a connectError only if none of them could be reached.
func (s *Store) fetch(ctx context.Context, normal string, creds cri.Credentials, take func(source string, found *remote.Descriptor) error) error {
	reach, err := registries.Load(s.config.Registries)
	if err != nil {
		return err
	}
	var unreachable, refused error
	for _, source := range reach.Sources(normal) {
		var options []name.Option
		if source.Plain {
			options = append(options, name.Insecure)
		}
		ref, err := parse(source.Reference, options...)
		if err != nil {
			return err
		}
		err = s.fetchFrom(ctx, normal, ref, reach, creds, func(found *remote.Descriptor) error { return take(source.Reference, found) })
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		var ce *connectError
		if errors.As(err, &ce) {
			unreachable = ce
		} else {
			refused = err
		}
		s.log.Debug("pull failed", "source", source.Reference, "error", err)
	}
	if refused != nil {
		return refused
	}
	return unreachable
}

// fetchFrom looks at one place, with one after the other of the credentials that fit
// until one is not refused, as the kubelet does.
func (s *Store) fetchFrom(ctx context.Context, normal string, ref name.Reference, reach *registries.Config, creds cri.Credentials, take func(*remote.Descriptor) error) error {
	client, err := s.newClient(ref.Context().RegistryStr(), reach)
	if err != nil {
		return err
	}
	defer client.close()
	var desc *remote.Descriptor
	for _, auth := range s.authenticators(ref.Context(), reach, creds) {
		desc, err = remote.Get(ref, remote.WithContext(ctx), remote.WithTransport(client),
			remote.WithAuth(auth), remote.WithUserAgent(userAgent),
			remote.WithPlatform(v1.Platform{OS: "linux", Architecture: s.config.Arch}),
			remote.WithRetryBackoff(remote.Backoff{Duration: 200 * time.Millisecond, Factor: 2, Steps: 3}),
			remote.WithRetryPredicate(retryable))
		var te *transport.Error
		if err == nil || !errors.As(err, &te) || te.StatusCode != http.StatusUnauthorized && te.StatusCode != http.StatusForbidden {
			break
		}
	}
	if err == nil {
		err = take(desc)
	}
	if err != nil {
		return readable(normal, err)
	}
	return nil
}

// take adds what was found to the store.
func (s *Store) take(ctx context.Context, normal string, found *remote.Descriptor, progress func(cri.ImageProgress)) (cri.Image, error) {
	record := refRecord{Name: normal, Digest: withDigest(normal, found.Digest.String())}
	if i, ok := s.byDigest(record.Digest); ok { // nothing new
		return s.put(record, i)
	}
	img, err := found.Image()
	if err != nil {
		return cri.Image{}, err
	}
	added, err := s.add(ctx, img, []refRecord{record}, progress)
	if err != nil {
		return cri.Image{}, err
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
