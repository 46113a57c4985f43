package main

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed38700745/pkg/engine"
	"github.com/seed38700745/pkg/engine/lint"
)

// builtProgram finds what `make build` made.
func builtProgram(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("..", "..", "bin", name))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("no %s: run make build", name)
		}
		t.Skipf("no %s: run make build", name)
	}
	return path
}

func TestObjectsAreCheckedByPkgd(t *testing.T) {
	documents := []engine.Manifest{
		{Content: "# only a comment"},
		{Content: "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {a: 1}\n"},
	}
	got, err := lintObjects(context.Background(), builtProgram(t, "pkgd"), "default", documents, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []lint.ObjectFinding{{
		Document: 1, Field: "data.a", Severity: lint.Error,
		Message: "wrong type: the number 1 where a string is expected",
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if _, err := lintObjects(context.Background(), "/bin/false", "default", documents, nil); err == nil {
		t.Error("a program that fails is not an error")
	}
}

func TestLintReports(t *testing.T) {
	results := []lintResult{
		{Chart: "web", Failed: true, Findings: []lint.Finding{
			{Severity: lint.Info, Path: "Chart.yaml", Message: "icon is recommended"},
			{Severity: lint.Error, Path: "templates/a.yaml", Line: 7, Rule: lint.RuleObject, Field: "spec.replicas", Message: "wrong <type>"},
		}},
		{Chart: "nope", Failed: true, Error: "no chart"},
		{Chart: "good"},
	}
	var out bytes.Buffer
	if err := writeJUnit(&out, results); err != nil {
		t.Fatal(err)
	}
	var junit struct {
		Suites []struct {
			Name     string `xml:"name,attr"`
			Failures int    `xml:"failures,attr"`
			Tests    int    `xml:"tests,attr"`
		} `xml:"testsuite"`
	}
	if err := xml.Unmarshal(out.Bytes(), &junit); err != nil {
		t.Fatal(err)
	}
	if len(junit.Suites) != 3 || junit.Suites[0].Failures != 1 || junit.Suites[0].Tests != 2 || junit.Suites[1].Failures != 1 || junit.Suites[2].Tests != 1 {
		t.Errorf("%+v", junit)
	}

	out.Reset()
	if err := writeSARIF(&out, results); err != nil {
		t.Fatal(err)
	}
	var sarif struct {
		Runs []struct {
			Results []struct {
				RuleID, Level string
				Message       struct{ Text string }
				Locations     []struct {
					PhysicalLocation struct {
						ArtifactLocation struct{ URI string }
						Region           struct{ StartLine int }
					}
				}
			}
		}
	}
	if err := json.Unmarshal(out.Bytes(), &sarif); err != nil {
		t.Fatal(err)
	}
	r := sarif.Runs[0].Results[1]
	place := r.Locations[0].PhysicalLocation
	if r.RuleID != "object" || r.Level != "error" || r.Message.Text != "spec.replicas: wrong <type>" ||
		place.ArtifactLocation.URI != "web/templates/a.yaml" || place.Region.StartLine != 7 {
		t.Errorf("%+v", r)
	}
}
