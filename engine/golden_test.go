package engine_test

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
	"sigs.k8s.io/yaml"

	"github.com/seed38700745/pkg/chart"
	"github.com/seed38700745/pkg/engine"
)

// TestGolden renders the charts of testdata. What is wanted was printed by
// `helm template rel CHART -n ns1 --include-crds --kube-version 1.37.0`.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			in, want := goldenInput(t, txtar.Parse(data))
			out, err := engine.Render(context.Background(), in)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, templateOutput(out)); diff != "" {
				t.Errorf("not as helm renders it (-helm +ours):\n%s", diff)
			}
		})
	}
}

func goldenInput(t *testing.T, ar *txtar.Archive) (engine.Input, string) {
	t.Helper()
	tree := fstest.MapFS{}
	in := engine.Input{Release: engine.Release{Name: "rel", Namespace: "ns1", Revision: 1, IsInstall: true}}
	want := ""
	for _, f := range ar.Files {
		switch f.Name {
		case "want":
			want = string(f.Data)
		case "values.yaml":
			if err := yaml.Unmarshal(f.Data, &in.Values); err != nil {
				t.Fatal(err)
			}
		default:
			tree[f.Name] = &fstest.MapFile{Data: f.Data}
		}
	}
	in.Chart = loadFS(t, tree, "chart")
	return in, want
}

func loadFS(t *testing.T, tree fstest.MapFS, dir string) *chart.Chart {
	t.Helper()
	sub, err := fs.Sub(tree, dir)
	if err != nil {
		t.Fatal(err)
	}
	c, err := chart.LoadFS(sub)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// templateOutput is what `pkg template --include-crds` prints.
func templateOutput(out *engine.Output) string {
	text := strings.TrimSpace(out.CRDManifest()+out.Manifest()) + "\n"
	for _, h := range out.Hooks {
		text += h.String()
	}
	return text
}
