//go:build !front

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/spf13/pflag"
	"sigs.k8s.io/yaml"

	"github.com/seed38700745/pkg/bundle"
	"github.com/seed38700745/pkg/cluster/registries"
	"github.com/seed38700745/pkg/cmd/internal/imageexport"
	"github.com/seed38700745/pkg/engine"
	"github.com/seed38700745/pkg/repo"
)

// mirrorImages are the flags of `pkg repo mirror` about images.
type mirrorImages struct {
	with           bool
	to             string // "HOST/PATH"
	registriesFile string
}

func (m *mirrorImages) add(f *pflag.FlagSet) {
	f.BoolVar(&m.with, "with-images", false, "copy the images, too, that the charts run with their default values")
	f.StringVar(&m.to, "images-to", "", "path of a registry, HOST/PATH, for the images")
	f.StringVar(&m.registriesFile, "registries-file", "", "file that gets what registries.yaml of clusters has to say; default standard output")
}

// check settles where images go.
func (m *mirrorImages) check(target string) error {
	switch {
	case !m.with && (m.to != "" || m.registriesFile != ""):
		return usagef("--images-to and --registries-file go with --with-images")
	case !m.with || m.to != "":
		m.to = strings.TrimSuffix(strings.TrimPrefix(m.to, repo.OCIScheme), "/")
		return nil
	case repo.IsOCI(target):
		m.to = strings.TrimSuffix(strings.TrimPrefix(target, repo.OCIScheme), "/") + "/images"
		return nil
	}
	u, err := url.Parse(target)
	if err != nil || u.Host == "" || !strings.HasPrefix(u.Scheme, "http") {
		return withHint(usagef("%w", errNoRegistry), "--images-to HOST/PATH names a registry for them")
	}
	m.to = u.Host + strings.TrimSuffix(u.Path, "/") + "/images"
	return nil
}

// mirrorImages copies the images of charts, one after the other.
func (a *app) mirrorImages(ctx context.Context, r *repo.Resolver, o *mirrorOptions, list []repo.Listed, out *mirrored) error {
	names, err := a.imagesOfCharts(ctx, r, list, out)
	if err != nil {
		return err
	}
	access := o.to
	reached := registries.Config{Mirrors: map[string]registries.Mirror{}}
	for _, n := range names {
		if strings.HasPrefix(n, "deb.internal/") {
			fmt.Fprintf(a.Err, "%s is not copied: clusters build it from Debian packages\n", n)
			continue
		}
		plain, err := a.mirrorImage(ctx, r, o, n, access)
		if err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			fmt.Fprintf(a.Err, "not copied: image %s: %v\n", n, err)
			out.Failed = append(out.Failed, mirrorFailure{"image " + n, err.Error()})
			continue
		}
		out.Images++
		host, _, _ := strings.Cut(n, "/")
		scheme := "https://"
		if plain {
			scheme = "http://"
		}
		endpoint := scheme + strings.TrimSuffix(bundle.Relocated(o.images.to, bundle.Image{Name: host + "/"}), "/")
		reached.Mirrors[host] = registries.Mirror{Endpoints: []string{endpoint}}
	}
	if o.dryRun || len(reached.Mirrors) == 0 {
		return nil
	}
	text, err := yaml.Marshal(reached)
	if err != nil {
		return err
	}
	if o.images.registriesFile != "" {
		return writeFileWhole(o.images.registriesFile, func(w io.Writer) error {
			_, err := w.Write(text)
			return err
		})
	}
	if o.format != "table" {
		return nil
	}
	_, err = io.Copy(a.Out, io.MultiReader(strings.NewReader("# registries.yaml of clusters that shall take these images from there:\n"), bytes.NewReader(text)))
	return err
}

// mirrorImage copies one image, and tells whether its registry is spoken to without TLS.
func (a *app) mirrorImage(ctx context.Context, r *repo.Resolver, o *mirrorOptions, image string, access repo.Access) (plain bool, err error) {
	to := bundle.Relocated(o.images.to, bundle.Image{Name: image})
	at, err := r.Artifact(ctx, repo.OCIScheme+to, access)
	if err != nil {
		return false, err
	}
	if at.Version == nil {
		return false, errors.New("it has no tag")
	}
	plain = at.Repository.Registry.Scheme() == "http"
	known := ""
	there, err := remote.Head(at.Version, at.Options...)
	var answer *transport.Error
	switch {
	case err == nil:
		known = there.Digest.String()
	case !errors.As(err, &answer) || answer.StatusCode != http.StatusNotFound:
		return plain, err
	}
	if o.dryRun {
		if known == "" {
			fmt.Fprintf(a.Err, "would copy image %s\n", image)
		}
		return plain, nil
	}
	dir, err := os.MkdirTemp("", "pkg-mirror-")
	if err != nil {
		return plain, err
	}
	defer os.RemoveAll(dir)
	found, _, err := a.exportImages(ctx, imageexport.Request{
		Names: []string{image}, Folder: dir, Whole: true, Known: map[string]string{image: known},
	})
	if err != nil || len(found) != 1 {
		return plain, err
	}
	if found[0].Digest == known {
		return plain, nil
	}
	img, index, err := bundle.FromFolder(ctx, dir, bundle.Image{Name: found[0].Name, Digest: found[0].Digest})
	if err != nil {
		return plain, err
	}
	fmt.Fprintf(a.Err, "pushing %s\n", at.Version)
	if index != nil {
		err = remote.WriteIndex(at.Version, index, at.Options...)
	} else {
		err = remote.Write(at.Version, img, at.Options...)
	}
	if err != nil {
		return plain, fmt.Errorf("push %s: %w", at.Version, err)
	}
	return plain, nil
}

// imagesOfCharts renders charts with their default values and lists the images that
// they name. One that does not render so is told; what it runs is not known.
func (a *app) imagesOfCharts(ctx context.Context, r *repo.Resolver, list []repo.Listed, out *mirrored) ([]string, error) {
	var all []string
	for _, l := range list {
		named, err := a.defaultImages(ctx, r, l)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if err == nil {
			named, err = fullNames(named)
		}
		if err != nil {
			fmt.Fprintf(a.Err, "images of %s %s are not known: %v\n", l.Chart, l.Version, err)
			out.Failed = append(out.Failed, mirrorFailure{fmt.Sprintf("images of %s %s", l.Chart, l.Version), err.Error()})
		}
		all = append(all, named...)
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

func (a *app) defaultImages(ctx context.Context, r *repo.Resolver, l repo.Listed) ([]string, error) {
	archive, err := r.PullListed(ctx, l)
	if err != nil {
		return nil, err
	}
	c, err := archive.Load()
	if err != nil {
		return nil, err
	}
	if c.Metadata.Type == "library" {
		return nil, nil
	}
	if err := r.Complete(ctx, c, ""); err != nil {
		return nil, err
	}
	return a.namedImages(ctx, c, map[string]any{}, renderFlags{}, engine.DefaultCapabilities())
}
