package infer_test

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed38700745/pkg/chart"
	"github.com/seed38700745/pkg/chart/infer"
)

const values = `
# About the whole file, not replicas.

# How many pods.
replicas: 2
image:
  # -- (string) the tag
  tag:
  # One of Kubernetes' policies.
  # @schema {enum: [Always, IfNotPresent]}
  pullPolicy: Always
  digest: "" # of the manifest
ratio: 0.5
on: true
ports: [80, 443]
mixed: [80, a]
hosts:
- host: example.com
free: {}
nothing: null
`

func TestSchema(t *testing.T) {
	for _, closed := range []bool{false, true} {
		text, err := infer.Schema([]byte(values), infer.Options{Closed: closed})
		if err != nil {
			t.Fatal(err)
		}
		var got map[string]any
		if err := json.Unmarshal(text, &got); err != nil {
			t.Fatal(err)
		}
		properties := got["properties"].(map[string]any)
		for key, want := range map[string]string{
			"replicas": `{"type":"integer","default":2,"description":"How many pods."}`,
			"ratio":    `{"type":"number","default":0.5}`,
			"ports":    `{"type":"array","items":{"type":"integer"}}`,
			"mixed":    `{"type":"array"}`,
			"hosts":    `{"type":"array","items":{"type":"object"}}`,
			"free":     `{"type":"object"}`,
			"nothing":  `{}`,
		} {
			var w any
			if err := json.Unmarshal([]byte(want), &w); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(w, properties[key]); diff != "" {
				t.Errorf("%s: %s", key, diff)
			}
		}
		image := properties["image"].(map[string]any)
		want := map[string]any{
			"tag": map[string]any{"type": "string", "description": "the tag"},
			"pullPolicy": map[string]any{
				"type": "string", "default": "Always", "enum": []any{"Always", "IfNotPresent"}, "description": "One of Kubernetes' policies.",
			},
			"digest": map[string]any{"type": "string", "default": "", "description": "of the manifest"},
		}
		if diff := cmp.Diff(want, image["properties"]); diff != "" {
			t.Error(diff)
		}
		library := func(map[string]any, []byte, chart.Warn) error { t.Fatal("rare features"); return nil }
		more := map[string]any{"replicas": 1, "unknown": 1}
		if err := chart.ValidateSchema(more, text, library, nil); (err != nil) != closed {
			t.Errorf("closed %t: %v", closed, err)
		}
		if err := chart.ValidateSchema(map[string]any{"replicas": "x"}, text, library, nil); err == nil {
			t.Error("a wrong type passed")
		}
	}
	if _, err := infer.Schema([]byte("[]"), infer.Options{}); err == nil {
		t.Error("a list passed")
	}
}

func TestUnknown(t *testing.T) {
	more, less, err := infer.Unknown(map[string]any{"a": 1, "b": map[string]any{"c": 1}, "d": map[string]any{"x": 1}},
		[]byte(`{"properties":{"b":{"properties":{"e":{}}},"d":{},"global":{}}}`))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([][]string{{"a", "b.c"}, {"b.e"}}, [][]string{more, less}); diff != "" {
		t.Error(diff)
	}
}

// FuzzSchema: no values.yaml makes the inference panic.
func FuzzSchema(f *testing.F) {
	f.Add([]byte(values))
	f.Add([]byte("a: &x {b: 1}\nc: *x\nd: {<<: *x}"))
	f.Add([]byte("# @schema {\na: 1"))
	f.Fuzz(func(_ *testing.T, data []byte) {
		_, _ = infer.Schema(data, infer.Options{Closed: true})
	})
}
