//go:build !front

package repo

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// registrySource reads a registry for the time of one operation. Manifests and blobs
// are kept by digest and fetched once; what tags led to last, and which there were, is
// used while offline.
type registrySource struct {
	r       *Resolver
	options []remote.Option // with the operation's context
}

// registry says how a registry is reached.
func (r *Resolver) registry(ctx context.Context, a Access) (*registrySource, error) {
	client, err := r.client(a)
	if err != nil {
		return nil, err
	}
	return &registrySource{r: r, options: []remote.Option{
		remote.WithContext(ctx), remote.WithTransport(client.Transport), remote.WithUserAgent(r.UserAgent),
		remote.WithAuthFromKeychain(keychain{file: r.RegistryConfig, access: a}),
	}}, nil
}

// manifest reads what a tag or digest leads to.
func (s *registrySource) manifest(ref name.Reference) ([]byte, v1.Hash, error) {
	if d, ok := ref.(name.Digest); ok {
		if hash, err := v1.NewHash(d.DigestStr()); err == nil {
			if data, ok := s.r.kept(hash.Hex); ok && hash.Algorithm == "sha256" {
				return data, hash, nil
			}
		}
	}
	key := OCIScheme + ref.Name()
	if s.r.Offline {
		data, ok, err := s.r.recalled(key)
		if err == nil && !ok {
			err = &OfflineError{What: key}
		}
		return data, v1.Hash{Algorithm: "sha256", Hex: hexSum(data)}, err
	}
	found, err := remote.Get(ref, s.options...)
	if err != nil {
		return nil, v1.Hash{}, plainHTTPError(err)
	}
	_, err = s.r.keep(key, found.Manifest)
	return found.Manifest, found.Digest, err
}

// blob reads a blob of a repository, whose digest and size are checked.
func (s *registrySource) blob(repository name.Repository, d v1.Descriptor) ([]byte, error) {
	if d.Digest.Algorithm == "sha256" {
		if data, ok := s.r.kept(d.Digest.Hex); ok {
			return data, nil
		}
	}
	ref := repository.Digest(d.Digest.String())
	switch {
	case s.r.Offline:
		return nil, &OfflineError{What: OCIScheme + ref.Name()}
	case d.Size > maxArchiveSize:
		return nil, fmt.Errorf("%s: larger than %d bytes", ref, maxArchiveSize)
	}
	layer, err := remote.Layer(ref, s.options...)
	if err != nil {
		return nil, err
	}
	content, err := layer.Compressed()
	if err != nil {
		return nil, err
	}
	defer content.Close()
	data, err := io.ReadAll(io.LimitReader(content, maxArchiveSize+1))
	if err == nil && int64(len(data)) != d.Size {
		err = fmt.Errorf("%s: %d bytes, the manifest says %d", ref, len(data), d.Size)
	}
	if err != nil {
		return nil, err
	}
	_, err = s.r.keep("", data)
	return data, err
}

// tags lists the tags of a repository.
func (s *registrySource) tags(repository name.Repository) ([]string, error) {
	return remembered(s, "tags of "+OCIScheme+repository.Name(), func() ([]string, error) {
		return remote.List(repository, s.options...)
	})
}

// referrers lists what was attached to a manifest.
func (s *registrySource) referrers(d name.Digest) ([]v1.Descriptor, error) {
	return remembered(s, "referrers of "+OCIScheme+d.Name(), func() ([]v1.Descriptor, error) {
		index, err := remote.Referrers(d, s.options...)
		if err != nil {
			return nil, err
		}
		m, err := index.IndexManifest()
		if err != nil {
			return nil, err
		}
		return m.Manifests, nil
	})
}

// remembered asks the registry and keeps its answer; offline it returns that.
func remembered[T any](s *registrySource, key string, ask func() (T, error)) (answer T, err error) {
	if s.r.Offline {
		data, ok, err := s.r.recalled(key)
		if err == nil && !ok {
			err = &OfflineError{What: key}
		}
		if err == nil {
			err = json.Unmarshal(data, &answer)
		}
		return answer, err
	}
	if answer, err = ask(); err != nil {
		return answer, plainHTTPError(err)
	}
	data, err := json.Marshal(answer)
	if err == nil {
		_, err = s.r.keep(key, data)
	}
	return answer, err
}
