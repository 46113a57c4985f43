//go:build !front

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/seed38700745/pkg/bundle"
	"github.com/seed38700745/pkg/cluster/cri"
	"github.com/seed38700745/pkg/repo"
)

// placeImages makes a bundle's images available to a cluster: loads them into all
// nodes of one of pkg's, or pushes them to a registry. It returns the names to run them
// under, by those of the manifests, where these are others.
func (a *app) placeImages(ctx context.Context, c *connection, b *bundle.Bundle, o *bundleInstallOptions, dry bool) (map[string]string, error) {
	if o.noImages || len(b.Config.Images) == 0 {
		return nil, nil
	}
	if o.imagesTo != "" {
		if dry {
			return relocated(b, o.imagesTo), nil
		}
		return a.pushImages(ctx, b, o.imagesTo, o.access.access())
	}
	elsewhere := c.target.local == nil
	nodes, err := c.nodes(ctx)
	if elsewhere && (err != nil || len(nodes) == 0) { // this user may not see them, perhaps
		a.debugf("nodes: %v", err)
		return nil, a.noImageStore(c, b, dry)
	}
	if err != nil {
		return nil, err
	}
	for _, node := range nodes {
		i := &imageCommand{app: a, node: node}
		var have []cri.Image
		err := i.ask(ctx, c, http.MethodGet, "", nil, nil, &have)
		if elsewhere && err != nil {
			a.debugf("%v", err)
			return nil, a.noImageStore(c, b, dry)
		}
		if err != nil {
			return nil, err
		}
		if err := i.loadBundle(ctx, c, b, have, dry); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// noImageStore says what is to be done on a Kubernetes whose nodes pull for themselves.
// A dry run goes on all the same.
func (a *app) noImageStore(c *connection, b *bundle.Bundle, dry bool) error {
	var names []string
	for _, i := range b.Config.Images {
		names = append(names, i.Name)
	}
	err := fmt.Errorf("the nodes of %s take images from registries only: those of the bundle must be in one that they reach (%s)", c.target.name, shortImages(names))
	if dry {
		a.warnf("%v", err)
		return nil
	}
	return withHint(err, "--images-to HOST/PATH pushes them there and runs them from there; --no-images if the names lead to them already")
}

// loadBundle loads those images that the node does not have.
func (i *imageCommand) loadBundle(ctx context.Context, c *connection, b *bundle.Bundle, have []cri.Image, dry bool) error {
	var want []bundle.Image
	for _, image := range b.Config.Images {
		id, err := b.ImageID(ctx, image)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(have, func(h cri.Image) bool { return h.Name == image.Name && h.ID == id }) {
			want = append(want, image)
		}
	}
	if len(want) == 0 {
		return nil
	}
	size, err := b.ImagesSize(ctx, want)
	if err != nil {
		return err
	}
	fmt.Fprintf(i.app.Err, "loading %d image%s (%s) into node %s\n", len(want), plural(len(want)), megabytes(size), i.node)
	if dry {
		return nil
	}
	r, w := io.Pipe()
	go func() { w.CloseWithError(b.WriteImages(ctx, w, want)) }() // ends when all is read or r is closed
	defer r.Close()
	var images []cri.Image
	if err := i.ask(ctx, c, http.MethodPost, "/load", nil, r, &images); err != nil {
		return fmt.Errorf("load the bundle's images: %w", err)
	}
	return nil
}

// relocated are the names of images in a registry by their own, in full and, as
// manifests may have them, short.
func relocated(b *bundle.Bundle, prefix string) map[string]string {
	out := map[string]string{}
	for _, i := range b.Config.Images {
		to := bundle.Relocated(prefix, i)
		names := []string{i.Name}
		if rest, ok := strings.CutPrefix(i.Name, "docker.io/"); ok {
			names = append(names, rest)
			if rest, ok := strings.CutPrefix(rest, "library/"); ok {
				names = append(names, rest)
			}
		}
		for _, n := range names {
			out[n] = to
			out[strings.TrimSuffix(n, ":latest")] = to
		}
	}
	return out
}

// pushImages pushes a bundle's images below a registry's path.
func (a *app) pushImages(ctx context.Context, b *bundle.Bundle, prefix string, access repo.Access) (map[string]string, error) {
	prefix = strings.TrimPrefix(prefix, repo.OCIScheme)
	for _, i := range b.Config.Images {
		to := bundle.Relocated(prefix, i)
		at, err := a.repositories().Artifact(ctx, repo.OCIScheme+to, access)
		if err != nil {
			return nil, err
		}
		if at.Version == nil {
			return nil, errors.New(to + ": an image without tag")
		}
		img, err := b.Image(ctx, i)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(a.Err, "pushing %s (%s)\n", to, megabytes(i.Size))
		if err := remote.Write(at.Version, img, at.Options...); err != nil {
			return nil, fmt.Errorf("push %s: %w", to, err)
		}
	}
	return relocated(b, prefix), nil
}
