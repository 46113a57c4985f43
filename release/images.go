package release

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strings"

	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/yaml"

	"github.com/seed38700745/pkg/chart"
	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/engine"
)

// imagesAnnotation of a recorded chart's metadata says which images a revision ran:
// JSON of references, as its manifest names them, and digests,
// "docker.io/library/nginx@sha256:...". It stands there because that survives when
// helm rewrites the revision.
const imagesAnnotation = "pkg.internal/images"

// Images are the images that a revision ran when it became ready, by the references
// of its manifest; those without a registry's digest are left out. Revisions that
// nobody waited for have none.
func (r *Release) Images() map[string]string {
	if r == nil || r.Chart == nil || r.Chart.Metadata == nil {
		return nil
	}
	var out map[string]string
	if json.Unmarshal([]byte(r.Chart.Metadata.Annotations[imagesAnnotation]), &out) != nil {
		return nil
	}
	return out
}

// needs are the images that a rollback to a revision would run: by digest where it
// is known, else by the names in the manifest.
func (r *Release) needs() []string {
	items, err := parse(r.Manifest)
	if err != nil {
		return nil // nothing could be rolled back to it
	}
	ran := r.Images()
	var out []string
	for _, i := range items {
		spec := podSpec(i)
		for _, field := range []string{"initContainers", "containers"} {
			for _, c := range spec.maps(field) {
				if name := c.text("image"); name != "" {
					out = append(out, cmp.Or(ran[name], name))
				}
			}
		}
	}
	return out
}

// noteImages writes into a revision, which is not stored here, what its pods run, and
// tells whether that is news.
func (r *Releases) noteImages(ctx context.Context, next *Release, items []*Item) (news bool, err error) {
	found, err := r.runningImages(ctx, items)
	if err != nil {
		return false, fmt.Errorf("images of the release: %w", err)
	}
	if next.Chart == nil || next.Chart.Metadata == nil || maps.Equal(found, next.Images()) {
		return false, nil
	}
	data, err := json.Marshal(found)
	if err != nil {
		return false, err
	}
	notes := maps.Clone(next.Chart.Metadata.Annotations)
	if notes == nil {
		notes = map[string]string{}
	}
	notes[imagesAnnotation] = string(data)
	if len(found) == 0 {
		delete(notes, imagesAnnotation)
	}
	next.Chart = chart.Clone(next.Chart)
	next.Chart.Metadata.Annotations = notes
	return true, nil
}

// runningImages asks the pods of the items for the digests of their images.
func (r *Releases) runningImages(ctx context.Context, items []*Item) (map[string]string, error) {
	selectors := map[string][]labels.Selector{} // by namespace
	for _, i := range items {
		if s := podSelector(i.Body); s != nil {
			selectors[i.Namespace] = append(selectors[i.Namespace], s)
		}
	}
	out := map[string]string{}
	for namespace, all := range selectors {
		found, err := r.Cluster.List(ctx, pods(), object.ListOptions{Namespace: namespace})
		if err != nil {
			return nil, err
		}
		for _, o := range found.Items {
			u, err := asUnstructured(o)
			if err != nil {
				return nil, err
			}
			for _, s := range all {
				if s.Matches(labels.Set(u.GetLabels())) && u.GetDeletionTimestamp() == nil {
					podImages(fieldsOf(u), out)
					break
				}
			}
		}
	}
	return out, nil
}

// podImages adds the digests of a pod's images.
func podImages(pod fields, into map[string]string) {
	names := map[string]string{}
	for _, field := range []string{"initContainers", "containers"} {
		for _, c := range pod.maps("spec", field) {
			names[c.text("name")] = c.text("image")
		}
	}
	for _, field := range []string{"initContainerStatuses", "containerStatuses"} {
		for _, s := range pod.maps("status", field) {
			id := s.text("imageID")
			if name := names[s.text("name")]; name != "" && strings.Contains(id, "@sha256:") {
				into[name] = id
			}
		}
	}
}

// pins are the images that a rollback has to name by digest: those that the target
// ran and of which the current revision runs another one, or none, under that name.
func pins(target, current *Release) map[string]string {
	now := current.Images()
	out := map[string]string{}
	for name, id := range target.Images() {
		_, digest, _ := strings.Cut(id, "@")
		if now[name] != id && !strings.Contains(name, "@") {
			out[name] = name + "@" + digest
		}
	}
	return out
}

// pinImages replaces images in the pods of a manifest. Documents in which nothing is
// replaced stay as they are.
func pinImages(manifest string, pins map[string]string) (string, error) {
	if len(pins) == 0 {
		return manifest, nil
	}
	var b strings.Builder
	for _, doc := range engine.SplitManifests(manifest) {
		items, err := parse(doc)
		if err != nil {
			return "", err
		}
		changed := false
		for _, i := range items {
			changed = pinPod(podSpec(i), pins) || changed
		}
		if changed && len(items) == 1 {
			data, err := yaml.Marshal(items[0].Body.Object)
			if err != nil {
				return "", err
			}
			doc = string(data)
			if items[0].Source != "" {
				doc = "# Source: " + items[0].Source + "\n" + doc
			}
		}
		b.WriteString("---\n" + strings.TrimSuffix(doc, "\n") + "\n")
	}
	return b.String(), nil
}

func pinPod(spec fields, pins map[string]string) (changed bool) {
	for _, field := range []string{"initContainers", "containers"} {
		for _, c := range spec.maps(field) {
			if to, ok := pins[c.text("image")]; ok {
				c["image"] = to
				changed = true
			}
		}
	}
	return changed
}
