//go:build !front

package repo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/seed38700745/pkg/repo/localindex"
)

// Listed is one version of one chart that a repository has.
type Listed struct {
	Chart string
	localindex.Entry
	request Request
}

// List fetches what a repository has now, whole: a configured one by its name, the
// built-in one, or one by its URL, http(s):// or oci://HOST/PATH. The note is a line
// the user should see; usually "".
func (r *Resolver) List(ctx context.Context, source string, access Access) (list []Listed, note string, err error) {
	at := func(chart string, e localindex.Entry, q Request) {
		q.Version, q.Devel, q.Access = e.Version, true, access
		list = append(list, Listed{Chart: chart, Entry: e, request: q})
	}
	e := unlisted(source, access)
	if !strings.Contains(source, "://") {
		if builtIn, err := r.isBuiltIn(source); err != nil || builtIn {
			all, berr := r.bundledEntries()
			for _, c := range all {
				at(c.name, c.entry, Request{Ref: source + "/" + c.name})
			}
			return list, "", errors.Join(err, berr)
		}
		if e, err = r.entry(source); err != nil {
			return nil, "", err
		}
		copied := *e
		copied.setAccess(e.Access().or(access))
		e = &copied
	}
	told, err := r.Update(ctx, e)
	if err != nil {
		return nil, "", err
	}
	err = r.withIndex(ctx, e, func(x *localindex.Index) error {
		return x.Range(func(chart string, versions []localindex.Entry) error {
			for _, v := range versions {
				switch {
				case !strings.Contains(source, "://"):
					at(chart, v, Request{Ref: source + "/" + chart})
				case IsOCI(source):
					at(chart, v, Request{Ref: strings.TrimSuffix(source, "/") + "/" + chart})
				default:
					at(chart, v, Request{Ref: chart, RepoURL: source})
				}
			}
			return nil
		})
	})
	return list, told.Note, err
}

// missingProvenance tells whether a server says that it has no such file; S3 refuses
// what it does not have.
func missingProvenance(err error) bool {
	var answer *statusError
	return errors.As(err, &answer) &&
		(answer.code == http.StatusNotFound || answer.code == http.StatusGone || answer.code == http.StatusForbidden)
}

// PullListed fetches what was listed, with its provenance file if there is one.
func (r *Resolver) PullListed(ctx context.Context, l Listed) (*Archive, error) {
	q := l.request
	q.Provenance = true
	a, err := r.Pull(ctx, q)
	if errors.Is(err, ErrNoProvenance) {
		q.Provenance = false
		a, err = r.Pull(ctx, q)
	}
	return a, err
}

// DigestOf is the SHA-256, hex, of a listed archive; "" if only fetching it tells.
func (r *Resolver) DigestOf(ctx context.Context, l Listed) (string, error) {
	switch sum := strings.TrimPrefix(l.Digest, "sha256:"); {
	case sha256Hex().MatchString(sum):
		return sum, nil
	case !IsOCI(l.URL):
		return "", nil
	}
	sum, _, err := r.StoredDigest(ctx, l.URL[:strings.LastIndexByte(l.URL, '/')], l.Chart, l.Version, l.request.Access)
	return sum, err
}

// StoredDigest is the SHA-256, hex, of a chart's archive in a registry below the
// reference oci://HOST/PATH; ok is false when there is no such version.
func (r *Resolver) StoredDigest(ctx context.Context, below, chart, version string, access Access) (sum string, ok bool, err error) {
	source, err := r.registry(ctx, access)
	if err != nil {
		return "", false, err
	}
	repository, err := parseRepository(strings.TrimPrefix(strings.TrimSuffix(below, "/"), OCIScheme)+"/"+chart, access)
	if err != nil {
		return "", false, err
	}
	ref := repository.Tag(tagOf(version))
	found, err := remote.Get(ref, source.options...)
	var answer *transport.Error
	if errors.As(err, &answer) && answer.StatusCode == http.StatusNotFound {
		return "", false, nil
	}
	if err != nil {
		return "", false, fmt.Errorf("%s: %w", ref, plainHTTPError(err))
	}
	sum, err = chartDigest(found.Manifest, ref)
	return sum, err == nil, err
}

func chartDigest(manifest []byte, ref name.Reference) (string, error) {
	var m v1.Manifest
	if err := json.Unmarshal(manifest, &m); err != nil {
		return "", fmt.Errorf("%s: manifest: %w", ref, err)
	}
	for _, l := range m.Layers {
		if l.MediaType == mediaChart || l.MediaType == mediaOldChart {
			return l.Digest.Hex, nil
		}
	}
	return "", fmt.Errorf("%s is there and is no chart", ref)
}
