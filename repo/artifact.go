//go:build !front

package repo

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// Artifact is a place in a registry for what is no chart, and how it is reached.
type Artifact struct {
	Repository name.Repository
	// Version is the tag or digest of the reference; nil if it has none.
	Version name.Reference
	// Options are for the functions of package remote.
	Options []remote.Option
}

// Artifact reads a reference oci://HOST/PATH[:TAG][@DIGEST], and finds the
// credentials for it.
func (r *Resolver) Artifact(ctx context.Context, ref string, access Access) (*Artifact, error) {
	text, ok := strings.CutPrefix(ref, OCIScheme)
	if !ok {
		return nil, errors.New(ref + ": registries are named oci://HOST/PATH")
	}
	text, digest, pinned := strings.Cut(text, "@")
	text, tag, tagged := cutTag(text)
	repository, err := parseRepository(text, access)
	if err != nil {
		return nil, errors.New(ref + ": " + err.Error())
	}
	a := &Artifact{Repository: repository}
	switch {
	case pinned:
		a.Version, err = name.NewDigest(repository.Name()+"@"+digest, nameOptions(access)...)
	case tagged:
		a.Version, err = name.NewTag(repository.Name()+":"+tag, nameOptions(access)...)
	}
	if err != nil {
		return nil, errors.New(ref + ": " + err.Error())
	}
	if r.Offline {
		return nil, &OfflineError{What: ref}
	}
	source, err := r.registry(ctx, access)
	if err != nil {
		return nil, err
	}
	a.Options = source.options
	return a, nil
}

// Send sends a request with the access's credentials, as this package's own are sent.
// The caller closes the answer's body, whatever its status.
func (r *Resolver) Send(req *http.Request, access Access) (*http.Response, error) {
	client, err := r.client(access)
	if err != nil {
		return nil, err
	}
	if r.UserAgent != "" {
		req.Header.Set("User-Agent", r.UserAgent)
	}
	access.authorize(req)
	answer, err := client.Do(req)
	if err != nil {
		return nil, plainHTTPError(err)
	}
	return answer, nil
}
