// Package images finds the container images that a chart installs: those that its
// manifests name when they are rendered with the default values.
package images

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/seed38700745/pkg/chart"
	"github.com/seed38700745/pkg/engine"
)

// Image is an image and what runs it.
type Image struct {
	Name  string
	Users []string // "Deployment app", sorted
}

// List is what was found.
type List struct {
	Images []Image
	// Guessed says why the chart could not be rendered with its default values; the
	// images are then what values.yaml calls so. Nil: they are those of manifests.
	Guessed error
}

// Limits are those of one rendering on a server: far above what public charts take,
// which is 0.1 s and 10 MB. Memory is of the whole process.
func Limits() engine.Limits {
	return engine.Limits{Time: 5 * time.Second, Output: 64 << 20, Memory: 1 << 30}
}

// Of renders a chart and returns its images. Stopped tells that it took longer than
// it may: such a chart must not be rendered again, as one goroutine may still
// be at it.
func Of(ctx context.Context, c *chart.Chart, limits engine.Limits) (l List, stopped bool) {
	out, err := engine.Render(ctx, engine.Input{
		Chart: c, Limits: limits, SkipSchemaValidation: true,
		Release: engine.Release{Name: c.Metadata.Name, Namespace: "default", Revision: 1, IsInstall: true},
	})
	if err != nil {
		var reached *engine.LimitError
		var failed *engine.TemplateError
		if errors.As(err, &failed) {
			err = errors.New(failed.Message)
		}
		return Guess(c, err), errors.As(err, &reached)
	}
	f := finder{}
	for _, m := range out.Manifests {
		f.manifest(m.Kind, m.Content, "")
	}
	for _, h := range out.Hooks {
		kind := "hook"
		if h.IsTest() {
			kind = "test"
		}
		f.manifest(h.Kind, h.Manifest, ", "+kind)
	}
	return List{Images: f.list()}, false
}

// Guess lists what the default values call an image: an "image" that is a text, or a
// table with a repository and perhaps a registry and a tag.
func Guess(c *chart.Chart, why error) List {
	f := finder{}
	f.values(c.Values, c.Metadata.AppVersion, "values.yaml", 0)
	return List{f.list(), why}
}

// finder collects the users of images, by name.
type finder map[string]map[string]bool

const deepest = 40 // levels of a manifest that are looked at

func (f finder) add(name, user string) {
	if name == "" || strings.ContainsAny(name, " \n\t{") {
		return
	}
	if f[name] == nil {
		f[name] = map[string]bool{}
	}
	f[name][user] = true
}

func (f finder) list() []Image {
	out := make([]Image, 0, len(f))
	for _, name := range slices.Sorted(maps.Keys(f)) {
		out = append(out, Image{name, slices.Sorted(maps.Keys(f[name]))})
	}
	return out
}

func (f finder) manifest(kind, text, suffix string) {
	if kind == "CustomResourceDefinition" || !strings.Contains(text, "image") {
		return
	}
	var object map[string]any
	if yaml.Unmarshal([]byte(text), &object) != nil {
		return
	}
	meta, _ := object["metadata"].(map[string]any)
	name, _ := meta["name"].(string)
	f.walk(object, strings.TrimSpace(cmp.Or(kind, "object")+" "+name)+suffix, 0)
}

// walk adds every text called "image", as containers have one, and so have the
// objects that operators make pods of.
func (f finder) walk(v any, user string, depth int) {
	if depth > deepest {
		return
	}
	switch v := v.(type) {
	case map[string]any:
		for key, sub := range v {
			if name, ok := sub.(string); ok && key == "image" {
				f.add(name, user)
				continue
			}
			f.walk(sub, user, depth+1)
		}
	case []any:
		for _, sub := range v {
			f.walk(sub, user, depth+1)
		}
	}
}

func (f finder) values(v any, version, path string, depth int) {
	table, ok := v.(map[string]any)
	if !ok || depth > deepest {
		return
	}
	if name, ok := table["repository"].(string); ok && name != "" && !strings.Contains(name, "://") {
		if registry, ok := table["registry"].(string); ok && registry != "" {
			name = registry + "/" + name
		}
		tag := version
		if t := table["tag"]; t != nil && fmt.Sprint(t) != "" {
			tag = fmt.Sprint(t)
		}
		f.add(strings.TrimSuffix(name+":"+tag, ":"), path)
	}
	if name, ok := table["image"].(string); ok {
		f.add(name, path)
	}
	for key, sub := range table {
		f.values(sub, version, path+" "+key, depth+1)
	}
}
