package kind

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/yaml"

	"github.com/seed38700745/pkg/cluster/object"
)

var update = flag.Bool("update", false, "rewrite the expected output of golden files")

// now is the time at which tables are made.
var now = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// golden runs compute on every case of the archives in testdata/dir. A case is
// a number of files CASE/NAME; compute gets those that are in inputs, in that
// order, and its result is compared with CASE/output.
func golden(t *testing.T, dir string, inputs []string, output string, compute func(t *testing.T, in []string) string) {
	files, err := filepath.Glob(filepath.Join("testdata", dir, "*.txtar"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files in testdata/%s: %v", dir, err)
	}
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		content, cases := map[string]string{}, []string{}
		for _, f := range archive.Files {
			content[f.Name] = string(f.Data)
			name, _, _ := strings.Cut(f.Name, "/")
			if !slices.Contains(cases, name) {
				cases = append(cases, name)
			}
		}
		fresh := &txtar.Archive{Comment: archive.Comment}
		for _, name := range cases {
			t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar")+"/"+name, func(t *testing.T) {
				var in []string
				for _, i := range inputs {
					text, ok := content[name+"/"+i]
					if !ok {
						t.Fatalf("%s lacks %s/%s", file, name, i)
					}
					in = append(in, text)
					fresh.Files = append(fresh.Files, txtar.File{Name: name + "/" + i, Data: []byte(text)})
				}
				got := compute(t, in)
				fresh.Files = append(fresh.Files, txtar.File{Name: name + "/" + output, Data: []byte(got)})
				if want := content[name+"/"+output]; !*update && got != want {
					t.Errorf("(-want +got)\n%s", cmp.Diff(want, got))
				}
			})
		}
		if *update {
			if err := os.WriteFile(file, txtar.Format(fresh), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// parse decodes a manifest, strictly, as the kind that it says.
func parse(t *testing.T, r *Registry, text string) (*Kind, object.Object) {
	t.Helper()
	var head struct{ APIVersion, Kind string }
	if err := yaml.Unmarshal([]byte(text), &head); err != nil {
		t.Fatal(err)
	}
	s, ok := r.ForKind(schema.FromAPIVersionAndKind(head.APIVersion, head.Kind))
	if !ok {
		t.Fatalf("no kind %s %s", head.APIVersion, head.Kind)
	}
	o := s.NewObject()
	if err := yaml.UnmarshalStrict([]byte(text), o); err != nil {
		t.Fatal(err)
	}
	if s.Alias != nil {
		var err error
		if o, err = s.Alias.From(o); err != nil {
			t.Fatal(err)
		}
		o.GetObjectKind().SetGroupVersionKind(s.GVK)
	}
	return s.Kind, o
}

func prepared(k *Kind, o object.Object) object.Object {
	if k.Default != nil {
		k.Default(o)
	}
	if k.PrepareCreate != nil {
		k.PrepareCreate(o)
	}
	return o
}

// TestDefault: what a new object looks like after defaulting and preparation.
func TestDefault(t *testing.T) {
	r := NewRegistry(All())
	golden(t, "default", []string{"in.yaml"}, "out.yaml", func(t *testing.T, in []string) string {
		k, o := parse(t, r, in[0])
		prepared(k, o)
		out, err := yaml.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	})
}

// TestTable: one "column: cell" a line, wide columns with a star.
func TestTable(t *testing.T) {
	r := NewRegistry(All())
	golden(t, "table", []string{"in.yaml"}, "row", func(t *testing.T, in []string) string {
		k, o := parse(t, r, in[0])
		var b strings.Builder
		for i, cell := range k.Row(o, now) {
			star := ""
			if k.Columns[i].Priority > 0 {
				star = "*"
			}
			fmt.Fprintf(&b, "%s%s: %v\n", k.Columns[i].Name, star, cell)
		}
		return strings.ReplaceAll(b.String(), ": \n", ":\n")
	})
}

// TestInvalid: the errors about a new object.
func TestInvalid(t *testing.T) {
	r := NewRegistry(All())
	golden(t, "invalid", []string{"in.yaml"}, "errors", func(t *testing.T, in []string) string {
		k, o := parse(t, r, in[0])
		return lines(k.Validate(prepared(k, o)))
	})
}

// TestUpdate: the errors about a change.
func TestUpdate(t *testing.T) {
	r := NewRegistry(All())
	golden(t, "update", []string{"old.yaml", "new.yaml"}, "errors", func(t *testing.T, in []string) string {
		k, old := parse(t, r, in[0])
		_, o := parse(t, r, in[1])
		status := old.DeepCopyObject().(object.Object)
		prepared(k, old)
		if k.Default != nil {
			k.Default(o)
		}
		if k.HasStatus {
			k.CopyStatus(old, status)
			k.CopyStatus(o, old)
		}
		if k.PrepareUpdate != nil {
			k.PrepareUpdate(o, old)
		}
		return lines(append(k.Validate(o), k.ValidateUpdate(o, old)...))
	})
}

// lines has one error a line, in sorted order: the rules walk over maps.
func lines(errs field.ErrorList) string {
	var out []string
	for _, e := range errs {
		// The difference of two specs is for people; its first line is the rule.
		first, _, _ := strings.Cut(e.Error(), "\n")
		out = append(out, first+"\n")
	}
	slices.Sort(out)
	return strings.Join(out, "")
}
