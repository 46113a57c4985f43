//go:build !front

package main

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/seed38700745/pkg/bundle"
	"github.com/seed38700745/pkg/cluster/cri"
	"github.com/seed38700745/pkg/cluster/registries"
	"github.com/seed38700745/pkg/cmd/internal/imageexport"
)

// fullName completes the name of an image as the cluster does:
// "nginx" is docker.io/library/nginx:latest.
func fullName(image string) (string, error) {
	ref, err := name.ParseReference(image)
	if err != nil {
		return "", fmt.Errorf("image %q: %w", image, err)
	}
	full := ref.Name()
	if rest, ok := strings.CutPrefix(full, name.DefaultRegistry+"/"); ok {
		full = "docker.io/" + rest
	}
	return full, nil
}

// fullNames completes names, sorted, each once.
func fullNames(images []string) ([]string, error) {
	var out []string
	for _, i := range images {
		full, err := fullName(i)
		if err != nil {
			return nil, err
		}
		out = append(out, full)
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// gatherImages puts the blobs of images into a folder: of those that this machine's
// cluster has, its own; the others are fetched or built by pkgd.
func (a *app) gatherImages(ctx context.Context, o *bundleCreateOptions, names []string, folder string) ([]bundle.Image, error) {
	var out []bundle.Image
	if !o.pull {
		here, err := a.savedImages(ctx, names, o.architecture, folder)
		if err != nil {
			return nil, err
		}
		out = here
	}
	names = slices.DeleteFunc(slices.Clone(names), func(n string) bool {
		return slices.ContainsFunc(out, func(i bundle.Image) bool { return i.Name == n })
	})
	if len(names) > 0 {
		found, _, err := a.exportImages(ctx, imageexport.Request{Names: names, Folder: folder, Architecture: o.architecture, NoSubstitution: o.noSubstitution})
		if err != nil {
			return nil, err
		}
		for _, i := range found {
			out = append(out, bundle.Image{Name: i.Name, Digest: i.Digest, Origin: i.Origin})
		}
	}
	slices.SortFunc(out, func(a, b bundle.Image) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// exportImages has pkgd fetch or build images, and tells how it gets on. Those that
// could not be had are only returned if the request says so.
func (a *app) exportImages(ctx context.Context, r imageexport.Request) (found []imageexport.Image, failed []imageexport.Failure, err error) {
	path, err := program("pkgd")
	if err != nil {
		return nil, nil, err
	}
	local, err := a.localCluster()
	if err != nil {
		return nil, nil, err
	}
	r.Registries = filepath.Join(local.home, registries.File)
	if f, err := os.Open(r.Registries); err != nil {
		r.Registries = "" // there is none, or it is root's
	} else if err := f.Close(); err != nil {
		return nil, nil, err
	}
	files := a.dockerConfigs()
	r.Credentials = []string{files.Login, files.Docker}
	in, err := json.Marshal(r)
	if err != nil {
		return nil, nil, err
	}
	c := exec.CommandContext(ctx, path, imageexport.Command)
	var talk bytes.Buffer
	c.Stdin, c.Stderr = bytes.NewReader(in), &talk
	c.Cancel = func() error { return c.Process.Signal(syscall.SIGTERM) }
	answer, err := c.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	if err := c.Start(); err != nil {
		return nil, nil, err
	}
	said := ""
	for lines := json.NewDecoder(answer); ; {
		var line imageexport.Line
		if err := lines.Decode(&line); err != nil {
			break // the exit code says whether it was all
		}
		switch {
		case line.Image != nil:
			fmt.Fprintf(a.Err, "%s: %s\n", line.Image.Name, line.Image.Origin)
			found = append(found, *line.Image)
		case line.Failed != nil:
			failed = append(failed, *line.Failed)
		case line.Progress != nil && pullStep(line.Progress) != said:
			said = pullStep(line.Progress)
			fmt.Fprintln(a.Err, said)
		}
	}
	if err := c.Wait(); err != nil {
		if ctx.Err() != nil {
			return nil, nil, context.Cause(ctx)
		}
		return nil, nil, errors.New(strings.TrimPrefix(strings.TrimSpace(firstOf(talk.String(), err.Error())), "Error: "))
	}
	return found, failed, nil
}

// savedImages takes from this machine's cluster, if it runs and this user may ask it,
// those of the images that it has.
func (a *app) savedImages(ctx context.Context, names []string, architecture, folder string) ([]bundle.Image, error) {
	t, err := a.target()
	if err != nil || t.local == nil || a.reachable(t) != nil {
		return nil, nil // another one is meant, or none is there: registries then
	}
	c, err := a.connectTo(t)
	if err != nil {
		return nil, err
	}
	nodes, err := c.nodes(ctx)
	if err != nil {
		return nil, err
	}
	var out []bundle.Image
	for _, node := range nodes {
		i := &imageCommand{app: a, node: node}
		var have []cri.Image
		if err := i.ask(ctx, c, http.MethodGet, "", nil, nil, &have); err != nil {
			return nil, err
		}
		wanted := url.Values{}
		origins := map[string]string{}
		for _, image := range have {
			if slices.Contains(names, image.Name) && !slices.ContainsFunc(out, func(i bundle.Image) bool { return i.Name == image.Name }) {
				wanted.Add("name", image.Name)
				origins[image.Name] = firstOf(image.Origin, "from the cluster where the bundle was made")
			}
		}
		if len(wanted) == 0 {
			continue
		}
		answer, err := c.Node(ctx, node, http.MethodGet, imagesPath+"/save", wanted, nil, "")
		if err != nil {
			return nil, fmt.Errorf("node %s: %w", node, err)
		}
		digests, err := unpackLayout(answer, folder, architecture)
		if err := errors.Join(err, answer.Close()); err != nil {
			return nil, fmt.Errorf("node %s: save images: %w", node, err)
		}
		for _, image := range wanted["name"] {
			if digest, ok := digests[image]; ok {
				fmt.Fprintf(a.Err, "%s: %s\n", image, origins[image])
				out = append(out, bundle.Image{Name: image, Digest: digest, Origin: origins[image]})
			}
		}
	}
	return out, nil
}

// blobPath matches the blobs of an OCI layout; nothing else is unpacked.
var blobPath = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^blobs/sha256/[0-9a-f]{64}$`) })

// unpackLayout writes the blobs of an archive below a folder, and returns the digests
// of its images by name. Who reads the blobs checks them.
func unpackLayout(archive io.Reader, folder, architecture string) (map[string]string, error) {
	if err := os.MkdirAll(filepath.Join(folder, "blobs", "sha256"), 0o755); err != nil {
		return nil, err
	}
	var index v1.IndexManifest
	for t := tar.NewReader(archive); ; {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		switch entry := path.Clean(h.Name); {
		case entry == "index.json":
			err = json.NewDecoder(t).Decode(&index)
		case h.Typeflag == tar.TypeReg && blobPath().MatchString(entry):
			err = writeBlob(filepath.Join(folder, filepath.FromSlash(entry)), t)
		}
		if err != nil {
			return nil, err
		}
	}
	out := map[string]string{}
	for _, d := range index.Manifests {
		if d.Platform != nil && d.Platform.Architecture != architecture {
			continue
		}
		out[d.Annotations["io.containerd.image.name"]] = d.Digest.String()
	}
	return out, nil
}

func writeBlob(path string, content io.Reader) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, content)
	return errors.Join(err, f.Close())
}
