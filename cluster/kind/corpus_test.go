package kind

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"
)

// TestRealManifests defaults and validates what real charts render, where
// PKG_CORPUS names a folder of such cases (CASE/expected.yaml), and lists what
// is found invalid. Manifests are what people use, so an error is more likely
// one of ours than theirs: look at each that is new.
func TestRealManifests(t *testing.T) {
	dir := os.Getenv("PKG_CORPUS")
	if dir == "" {
		t.Skip("PKG_CORPUS is not set")
	}
	files, err := filepath.Glob(filepath.Join(dir, "*", "expected.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases in %s: %v", dir, err)
	}
	r := NewRegistry(All())
	objects, invalid := 0, 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, doc := range bytes.Split(text, []byte("\n---")) {
			var head struct{ APIVersion, Kind string }
			if yaml.Unmarshal(doc, &head) != nil {
				continue
			}
			s, ok := r.ForKind(schema.FromAPIVersionAndKind(head.APIVersion, head.Kind))
			if !ok || s.Alias != nil {
				continue
			}
			o := s.NewObject()
			if err := yaml.Unmarshal(doc, o); err != nil {
				continue // a wrong type is the decoder's to report
			}
			objects++
			prepared(s.Kind, o)
			s.Row(o, now)
			if s.Validate == nil {
				continue
			}
			if errs := s.Validate(o); len(errs) > 0 {
				invalid++
				t.Logf("%s: %s %s:\n  %s", filepath.Base(filepath.Dir(file)), head.Kind, o.GetName(),
					strings.ReplaceAll(lines(errs), "\n", "\n  "))
			}
		}
	}
	t.Logf("%d objects, %d invalid", objects, invalid)
	if objects == 0 || invalid*50 > objects {
		t.Errorf("%d of %d objects are invalid: more than one in 50", invalid, objects)
	}
}
