package stack

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/seed38700745/pkg/chart"
)

// Schema is the JSON Schema of a stack's file.
//
//go:embed stack.schema.json
var Schema []byte

// Stack is a file for one environment: its variables are replaced, and what the
// environment changes is merged.
type Stack struct {
	Name         string
	Repositories []Repository
	Releases     []Release
}

// Repository is where charts come from, for this stack only.
type Repository struct {
	Name     string `json:"name"`
	URL      string `json:"url"`
	Username string `json:"username"`
	Password string `json:"password"`
	CAFile   string `json:"caFile"`
	CertFile string `json:"certFile"`
	KeyFile  string `json:"keyFile"`
}

// Release is one release as it is declared.
type Release struct {
	Name      string
	Namespace string
	Chart     string
	Version   string
	Needs     []ID
	// Layers of values, later ones over earlier ones.
	Values  []Values
	Atomic  bool
	Timeout time.Duration // of each wait; 0: the caller's
}

// ID returns what a stack calls the release.
func (r Release) ID() ID { return ID{r.Namespace, r.Name} }

// ID names a release.
type ID struct{ Namespace, Name string }

// String is "namespace/name".
func (id ID) String() string { return id.Namespace + "/" + id.Name }

// Values are a layer of values: files, then a table over them.
type Values struct {
	Files []string
	Table map[string]any
}

// file is the YAML. Its rules are the schema's.
type file struct {
	Name         string       `json:"name"`
	Namespace    string       `json:"namespace"`
	Repositories []Repository `json:"repositories"`
	Releases     []struct {
		Name         string             `json:"name"`
		Namespace    string             `json:"namespace"`
		Chart        string             `json:"chart"`
		Needs        []string           `json:"needs"`
		Atomic       bool               `json:"atomic"`
		Timeout      string             `json:"timeout"`
		Environments map[string]variant `json:"environments"`
		variant
	} `json:"releases"`
}

// variant is what a release may have for an environment.
type variant struct {
	Version     string         `json:"version"`
	Values      map[string]any `json:"values"`
	ValuesFiles []string       `json:"valuesFiles"`
	Enabled     *bool          `json:"enabled"`
}

// Options say how a file is read.
type Options struct {
	Environment string // "" for none
	Namespace   string // of releases for which the file names none
	// Lookup finds a variable of the shell.
	Lookup func(name string) (string, bool)
}

// Parse reads a stack's file. Its errors name the place in the file.
func Parse(data []byte, o Options) (*Stack, error) {
	tree := map[string]any{}
	if err := yaml.Unmarshal(data, &tree); err != nil {
		return nil, err
	}
	if err := chart.ValidateSchema(tree, Schema, nil, nil); err != nil {
		return nil, err
	}
	chosen, err := chooseEnvironment(tree, o.Environment)
	if err != nil {
		return nil, err
	}
	vars := variables{lookup: o.Lookup, declared: map[string]string{"ENVIRONMENT": o.Environment}}
	vars.declare(tree["variables"])
	vars.declare(chosen["variables"])
	delete(tree, "variables")
	delete(tree, "environments") // of the stack: done with
	replaced, err := vars.replace("", tree)
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(replaced)
	if err != nil {
		return nil, err
	}
	var f file
	if err := json.Unmarshal(text, &f); err != nil {
		return nil, err
	}
	if namespace, ok := chosen["namespace"].(string); ok {
		f.Namespace = namespace
	}
	if f.Namespace == "" {
		f.Namespace = o.Namespace
	}
	return f.settle(o.Environment)
}

// chooseEnvironment finds an environment in the tree. One that no part of the file
// knows is a mistake.
func chooseEnvironment(tree map[string]any, name string) (map[string]any, error) {
	if name == "" {
		return nil, nil
	}
	known := map[string]bool{}
	all, _ := tree["environments"].(map[string]any)
	for k := range all {
		known[k] = true
	}
	releases, _ := tree["releases"].([]any)
	for _, r := range releases {
		m, _ := r.(map[string]any)
		variants, _ := m["environments"].(map[string]any)
		for k := range variants {
			known[k] = true
		}
	}
	if !known[name] {
		return nil, fmt.Errorf("there is no environment %q; the file has: %s", name, strings.Join(slices.Sorted(maps.Keys(known)), ", "))
	}
	chosen, _ := all[name].(map[string]any)
	return chosen, nil
}

// settle makes the stack of an environment.
func (f *file) settle(environment string) (*Stack, error) {
	s := &Stack{Name: f.Name, Repositories: f.Repositories}
	disabled := map[ID]bool{}
	needs := map[ID][]string{}
	for n, r := range f.Releases {
		out := Release{Name: r.Name, Namespace: r.Namespace, Chart: r.Chart, Version: r.Version, Atomic: r.Atomic,
			Values: []Values{{Files: r.ValuesFiles, Table: r.Values}}}
		if out.Namespace == "" {
			out.Namespace = f.Namespace
		}
		enabled := r.Enabled == nil || *r.Enabled
		if v, ok := r.Environments[environment]; ok && environment != "" {
			out.Values = append(out.Values, Values{Files: v.ValuesFiles, Table: v.Values})
			if v.Version != "" {
				out.Version = v.Version
			}
			if v.Enabled != nil {
				enabled = *v.Enabled
			}
		}
		if r.Timeout != "" {
			var err error
			if out.Timeout, err = time.ParseDuration(r.Timeout); err != nil {
				return nil, fmt.Errorf("releases[%d].timeout: %w", n, err)
			}
		}
		if _, twice := needs[out.ID()]; twice {
			return nil, fmt.Errorf("releases[%d]: the stack has %s twice", n, out.ID())
		}
		needs[out.ID()] = r.Needs
		disabled[out.ID()] = !enabled
		if enabled {
			s.Releases = append(s.Releases, out)
		}
	}
	for n := range s.Releases {
		r := &s.Releases[n]
		for _, text := range needs[r.ID()] {
			id := ID{r.Namespace, text}
			if namespace, name, ok := strings.Cut(text, "/"); ok {
				id = ID{namespace, name}
			}
			if _, ok := needs[id]; !ok {
				return nil, fmt.Errorf("release %s needs %s, which the stack does not have", r.ID(), id)
			}
			if disabled[id] {
				return nil, fmt.Errorf("release %s needs %s, which is not enabled", r.ID(), id)
			}
			r.Needs = append(r.Needs, id)
		}
	}
	if _, err := s.order(); err != nil {
		return nil, err
	}
	return s, nil
}

// order returns the releases such that each comes after what it needs.
func (s *Stack) order() ([]Release, error) {
	byID := map[ID]Release{}
	for _, r := range s.Releases {
		byID[r.ID()] = r
	}
	var out []Release
	var path []ID
	done := map[ID]bool{}
	var visit func(id ID) error
	visit = func(id ID) error {
		if at := slices.Index(path, id); at >= 0 {
			var names []string
			for _, x := range append(path[at:], id) {
				names = append(names, x.Name)
			}
			return fmt.Errorf("needs go in a circle: %s", strings.Join(names, " -> "))
		}
		if done[id] {
			return nil
		}
		done[id] = true
		path = append(path, id)
		for _, need := range byID[id].Needs {
			if err := visit(need); err != nil {
				return err
			}
		}
		path = path[:len(path)-1]
		out = append(out, byID[id])
		return nil
	}
	for _, r := range s.Releases {
		if err := visit(r.ID()); err != nil {
			return nil, err
		}
	}
	return out, nil
}
