// Package charts holds the charts that come with pkg, embedded, and what images may
// stand in for theirs where no registry answers.
//
// The charts are plain Helm charts naming registry images; nothing in them depends
// on pkg. Their commands work in the registry's image and in its substitute alike.
package charts

import (
	"embed"
	"fmt"
	"io/fs"

	"sigs.k8s.io/yaml"
)

// FS has one folder for each chart, and substitutes.yaml.
//
//go:embed all:httpd all:memcached all:mysql all:nginx all:postgresql all:prometheus all:rabbitmq all:redis all:wordpress substitutes.yaml
var FS embed.FS

// Names lists the bundled charts, sorted.
func Names() ([]string, error) {
	entries, err := fs.ReadDir(FS, ".")
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// Open returns the folder of one chart; the error wraps fs.ErrNotExist when there
// is no such chart.
func Open(name string) (fs.FS, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	if info, err := fs.Stat(FS, name); err != nil || !info.IsDir() {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return fs.Sub(FS, name)
}

// Substitute is an image that stands in for exactly one registry reference, where
// no registry answers and the cluster allows it.
type Substitute struct {
	// Image is a deb.internal/... reference, built from Debian packages.
	Image string `json:"image"`
	// Reason is one sentence for events and container status.
	Reason string `json:"reason"`
	// Config replaces fields of the built image's configuration, so that it starts
	// as the registry's image does when a pod gives no command.
	Config SubstituteConfig `json:"config,omitempty"`
}

// SubstituteConfig has the fields of an OCI image configuration that may differ.
type SubstituteConfig struct {
	Entrypoint []string `json:"entrypoint,omitempty"`
	Cmd        []string `json:"cmd,omitempty"`
	Env        []string `json:"env,omitempty"` // KEY=value
	User       string   `json:"user,omitempty"`
	WorkingDir string   `json:"workingDir,omitempty"`
	StopSignal string   `json:"stopSignal,omitempty"`
}

// Substitutes returns the declared substitutes by full registry reference, such as
// "docker.io/library/mariadb:10.11".
func Substitutes() (map[string]Substitute, error) {
	data, err := FS.ReadFile("substitutes.yaml")
	if err != nil {
		return nil, err
	}
	out := map[string]Substitute{}
	if err := yaml.UnmarshalStrict(data, &out); err != nil {
		return nil, fmt.Errorf("substitutes.yaml: %w", err)
	}
	return out, nil
}
