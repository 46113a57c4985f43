package engine

import (
	"maps"
	"slices"

	"sigs.k8s.io/yaml"
)

// Images lists the images that rendered manifests and hooks name, sorted: those of
// the containers of any object, a custom one's too, and those of volumes. What an
// operator adds on its own is not known.
func (o *Output) Images() []string {
	found := map[string]bool{}
	for _, m := range o.Manifests {
		imagesOf(m.Content, found)
	}
	for _, h := range o.Hooks {
		imagesOf(h.Manifest, found)
	}
	return slices.Sorted(maps.Keys(found))
}

// imagesOf adds the images of one document. What is no YAML names none; who installs
// it is told.
func imagesOf(document string, into map[string]bool) {
	var body any
	if yaml.Unmarshal([]byte(document), &body) == nil {
		walkImages(body, into)
	}
}

func walkImages(v any, into map[string]bool) {
	switch v := v.(type) {
	case []any:
		for _, item := range v {
			walkImages(item, into)
		}
	case map[string]any:
		for key, item := range v {
			switch key {
			case "containers", "initContainers", "ephemeralContainers":
				for _, c := range tables(item) {
					addImage(c["image"], into)
				}
			case "volumes":
				for _, volume := range tables(item) {
					if image, ok := volume["image"].(map[string]any); ok {
						addImage(image["reference"], into)
					}
				}
			}
			walkImages(item, into)
		}
	}
}

// tables are the maps in a list.
func tables(v any) (out []map[string]any) {
	list, _ := v.([]any)
	for _, item := range list {
		if m, ok := item.(map[string]any); ok {
			out = append(out, m)
		}
	}
	return out
}

func addImage(v any, into map[string]bool) {
	if name, ok := v.(string); ok && name != "" {
		into[name] = true
	}
}
