// Openapi writes the OpenAPI documents that the cluster's API serves.
//
//	pkgd kinds | openapi -out DIR
//
// It reads the list of served kinds as JSON on standard input and writes, into
// DIR, index.json (group-version path -> hash), v3/<path>.json.gz for each
// group-version, v2.json.gz and v2.pb.gz. The output depends on the input and
// on the versions of the modules alone. The schemas come from generated/, which
// openapi-gen makes out of the same modules.
package main

import (
	"bytes"
	"compress/gzip"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"k8s.io/kube-openapi/pkg/builder"
	"k8s.io/kube-openapi/pkg/builder3"
	"k8s.io/kube-openapi/pkg/common"
	"k8s.io/kube-openapi/pkg/handler"
	"k8s.io/kube-openapi/pkg/spec3"
	"k8s.io/kube-openapi/pkg/validation/spec"

	"github.com/seed38700745/pkg/ci/openapi/generated"
)

// served is one kind in one group-version.
type served struct {
	Group, Version, Kind, Plural string
	Namespaced                   bool
	Model, ListModel             string // OpenAPI model names
	Verbs                        []string
	Subresources                 []subresource
}

// subresource is one of a kind's subresources.
type subresource struct {
	Name                 string
	Group, Version, Kind string // of what it exchanges; Kind empty for streams
	Model                string
	Verbs                []string
}

func (s served) gvPath() string {
	if s.Group == "" {
		return "api/" + s.Version
	}
	return "apis/" + s.Group + "/" + s.Version
}

const title = "Kubernetes"

func main() {
	out := flag.String("out", "", "folder to write")
	version := flag.String("version", "v1.36.0", "of the API")
	flag.Parse()
	if *out == "" {
		flag.Usage()
		os.Exit(2)
	}
	if err := run(*out, *version); err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(1)
	}
}

func run(out, version string) error {
	var kinds []served
	if err := json.NewDecoder(os.Stdin).Decode(&kinds); err != nil {
		return fmt.Errorf("list of kinds on standard input: %w", err)
	}
	if err := os.RemoveAll(out); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(out, "v3"), 0o755); err != nil {
		return err
	}
	groups := map[string][]served{}
	models := map[string][]gvk{}
	for _, k := range kinds {
		groups[k.gvPath()] = append(groups[k.gvPath()], k)
		models[k.Model] = append(models[k.Model], gvk{k.Group, k.Kind, k.Version})
		models[k.ListModel] = append(models[k.ListModel], gvk{k.Group, k.Kind + "List", k.Version})
	}
	index := map[string]string{}
	for path, ks := range groups {
		doc, err := v3(ks, models, version)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		index[path] = hash(doc)
		name := strings.ReplaceAll(path, "/", "_") + ".json.gz"
		if err := writeGzip(filepath.Join(out, "v3", name), doc); err != nil {
			return err
		}
	}
	doc, err := v2(kinds, models, version)
	if err != nil {
		return err
	}
	pb, err := handler.ToProtoBinary(doc)
	if err != nil {
		return err
	}
	index["v2"] = hash(doc)
	if err := writeGzip(filepath.Join(out, "v2.json.gz"), doc); err != nil {
		return err
	}
	if err := writeGzip(filepath.Join(out, "v2.pb.gz"), pb); err != nil {
		return err
	}
	data, err := json.MarshalIndent(index, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(out, "index.json"), append(data, '\n'), 0o644)
}

func hash(data []byte) string {
	sum := sha512.Sum512(data)
	return strings.ToUpper(hex.EncodeToString(sum[:]))
}

func writeGzip(path string, data []byte) error {
	var buf bytes.Buffer
	w, err := gzip.NewWriterLevel(&buf, gzip.BestCompression)
	if err != nil {
		return err
	}
	if _, err := w.Write(data); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return os.WriteFile(path, buf.Bytes(), 0o644)
}

// gvk is an x-kubernetes-group-version-kind, in the order of its JSON keys.
type gvk struct {
	Group   string `json:"group"`
	Kind    string `json:"kind"`
	Version string `json:"version"`
}

// definitionName adds the group-version-kinds to the schemas of served kinds.
func definitionName(models map[string][]gvk) func(string) (string, spec.Extensions) {
	return func(name string) (string, spec.Extensions) {
		if g := models[name]; len(g) > 0 {
			list := make([]any, len(g))
			for i, x := range g {
				list[i] = map[string]any{"group": x.Group, "kind": x.Kind, "version": x.Version}
			}
			return name, spec.Extensions{"x-kubernetes-group-version-kind": list}
		}
		return name, nil
	}
}

// modelNames returns the names of all schemas that the kinds need.
func modelNames(kinds []served) []string {
	set := map[string]bool{
		"io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions": true,
		"io.k8s.apimachinery.pkg.apis.meta.v1.Patch":         true,
		"io.k8s.apimachinery.pkg.apis.meta.v1.Status":        true,
		"io.k8s.apimachinery.pkg.apis.meta.v1.WatchEvent":    true,
	}
	for _, k := range kinds {
		set[k.Model] = true
		if k.ListModel != "" {
			set[k.ListModel] = true
		}
		for _, s := range k.Subresources {
			if s.Model != "" {
				set[s.Model] = true
			}
		}
	}
	names := make([]string, 0, len(set))
	for n := range set {
		names = append(names, n)
	}
	sort.Strings(names)
	return names
}

func v3(kinds []served, models map[string][]gvk, version string) ([]byte, error) {
	info := &spec.Info{InfoProps: spec.InfoProps{Title: title, Version: version}}
	schemas, err := builder3.BuildOpenAPIDefinitionsForResources(&common.OpenAPIV3Config{
		Info:              info,
		GetDefinitions:    generated.GetOpenAPIDefinitions,
		GetDefinitionName: definitionName(models),
	}, modelNames(kinds)...)
	if err != nil {
		return nil, err
	}
	doc := &spec3.OpenAPI{
		Version:    "3.0.0",
		Info:       info,
		Components: &spec3.Components{Schemas: schemas},
		Paths:      &spec3.Paths{Paths: map[string]*spec3.Path{}},
	}
	for _, k := range kinds {
		for _, e := range endpoints(k) {
			doc.Paths.Paths[e.path] = e.v3()
		}
	}
	return json.Marshal(doc)
}

func v2(kinds []served, models map[string][]gvk, version string) ([]byte, error) {
	info := &spec.Info{InfoProps: spec.InfoProps{Title: title, Version: version}}
	swagger, err := builder.BuildOpenAPIDefinitionsForResources(&common.Config{
		Info:              info,
		GetDefinitions:    generated.GetOpenAPIDefinitions,
		GetDefinitionName: definitionName(models),
	}, modelNames(kinds)...)
	if err != nil {
		return nil, err
	}
	swagger.Paths = &spec.Paths{Paths: map[string]spec.PathItem{}}
	for _, k := range kinds {
		for _, e := range endpoints(k) {
			swagger.Paths.Paths[e.path] = e.v2()
		}
	}
	return json.Marshal(swagger)
}
