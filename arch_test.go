package pkg_test

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/seed38700745/pkg/"

// allowed says which of our packages each part may import, test files aside.
// A part is the folder of a rule and all below it that has no rule of its own.
// ARCHITECTURE.md explains the table.
var allowed = map[string][]string{
	"chart":                   {},
	"charts":                  {},
	"engine":                  {"chart"},
	"bundle":                  {"chart"},
	"repo":                    {"chart", "charts"},
	"repo/server":             {"chart", "repo", "engine"},
	"release":                 {"chart", "engine", "cluster/object"},
	"cluster/object":          {},
	"cluster/object/builtin":  {"cluster/object"},
	"cluster/object/podfield": {},
	"cluster/cri":             {},
	"cluster/host":            {},
	"cluster/instance":        {},
	"cluster/isolate":         {},
	"cluster/pki":             {},
	"cluster/event":           {"cluster/object", "cluster/object/builtin"},
	"cluster/kind":            {"cluster/object"},
	"cluster/kind/manifest":   {"cluster/object", "cluster/kind"},
	"cluster/store":           {"cluster/object"},
	"cluster/store/powercut":  {},
	"cluster/store/storetest": {"cluster/object", "cluster/store"},
	"cluster/api":             {"cluster/object", "cluster/object/builtin", "cluster/kind", "cluster/store", "cluster/pki"},
	"cluster/client":          {"cluster/object"},
	"cluster/controller":      {"cluster/object", "cluster/object/builtin", "cluster/event"},
	"cluster/scheduler":       {"cluster/object", "cluster/object/builtin", "cluster/event"},
	"cluster/dns":             {"cluster/object", "cluster/object/builtin"},
	"cluster/node":            {"cluster/object", "cluster/object/builtin", "cluster/object/podfield", "cluster/event", "cluster/cri"},
	"cluster/network":         {"cluster/object", "cluster/object/builtin", "cluster/event", "cluster/cri"},
	"cluster/volume":          {"cluster/object", "cluster/object/builtin", "cluster/object/podfield", "cluster/event", "cluster/cri"},
	"cluster/image":           {"cluster/cri", "cluster/registries"},
	"cluster/registries":      {},
	"cluster/container":       {"cluster/cri", "cluster/container/wire"},
	"cluster/container/wire":  {},
	"cluster/meter":           {"cluster/api", "cluster/kind", "cluster/store"},
	"cluster/backup":          {"cluster/object", "cluster/object/builtin", "cluster/backup/archive"},
	"cluster/backup/archive":  {},
	"cluster/boot":            {},
	"cluster/settings":        {},
	"cluster":                 nil, // everybody but cmd
	"cmd/internal":            {"cluster/kind/manifest", "cluster/cri"},
	"cmd/pkg": {"chart", "charts", "bundle", "engine", "repo", "release", "cluster/object", "cluster/client",
		"cluster/cri", "cluster/host", "cluster/instance", "cluster/registries", "cluster/settings", "cluster/boot", "cluster/backup/archive", "cmd/internal"},
	"cmd/pkg-kubectl": {"cmd/internal"},
	"cmd/pkg-repo":    {"repo/server", "cmd/internal"},
	"cmd/pkgd":        nil, // everybody
	"cmd/helper":      {},
	"cmd/shim":        {"cluster/container/wire"},
}

// testOnly names what only tests import: it must not reach a program.
var testOnly = []string{"cluster/isolate", "cluster/store/powercut", "cluster/store/storetest", "repo/server/browser"}

// onlyIn pins libraries to the parts that may link them, directly or not.
var onlyIn = map[string][]string{
	"github.com/opencontainers/runc/libcontainer": {"cmd/helper"},
	"go.etcd.io/bbolt":                            {"cluster/store", "cluster/store/storetest", "cluster/api", "cluster/meter", "cluster", "cmd/pkgd"},
}

// listed is what `go list` says of a package.
type listed struct {
	ImportPath string
	Doc        string
	GoFiles    []string
	Imports    []string
	Deps       []string
}

func list(t *testing.T) []listed {
	t.Helper()
	// Reading the folders tells `go test` what its cached result depends on.
	if err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && path != "." && (strings.HasPrefix(d.Name(), ".") || path == "bin") {
			return filepath.SkipDir
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "list", "-json=ImportPath,Doc,GoFiles,Imports,Deps", "./...")
	var talk strings.Builder
	cmd.Stderr = &talk
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, talk.String())
	}
	var all []listed
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

// part returns the longest rule that covers a path below the module.
func part(path string) string {
	for {
		if _, ok := allowed[path]; ok {
			return path
		}
		i := strings.LastIndex(path, "/")
		if i < 0 {
			return ""
		}
		path = path[:i]
	}
}

func TestImports(t *testing.T) {
	for _, p := range list(t) {
		path, ours := strings.CutPrefix(p.ImportPath, module)
		if !ours {
			continue // the module's root holds this test only
		}
		from := part(path)
		if from == "" {
			t.Errorf("%s is covered by no rule", path)
			continue
		}
		for _, i := range p.Imports {
			to, ours := strings.CutPrefix(i, module)
			if !ours {
				continue
			}
			if strings.HasPrefix(to, "cmd/") && !strings.HasPrefix(path, "cmd/") {
				t.Errorf("%s imports %s: nothing imports cmd", path, to)
			}
			if slices.Contains(testOnly, to) && !slices.Contains(testOnly, path) {
				t.Errorf("%s imports %s, which is for tests", path, to)
			}
			if may := allowed[from]; may != nil && part(to) != from && !slices.Contains(may, part(to)) {
				t.Errorf("%s imports %s; %s may import %v only", path, to, from, may)
			}
		}
		for lib, parts := range onlyIn {
			if slices.Contains(p.Deps, lib) && !slices.Contains(parts, from) {
				t.Errorf("%s links %s, which only %v may", path, lib, parts)
			}
		}
	}
}

func TestEveryPackageHasADoc(t *testing.T) {
	for _, p := range list(t) {
		if p.Doc == "" && len(p.GoFiles) > 0 {
			t.Errorf("%s has no package comment", p.ImportPath)
		}
	}
}
