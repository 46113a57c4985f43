package engine

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestImages(t *testing.T) {
	out := Output{
		Manifests: []Manifest{
			{Content: `
kind: CronJob
spec: {jobTemplate: {spec: {template: {spec: {initContainers: [{image: init}], containers: [{image: job}, {name: none}], ephemeralContainers: [{image: debug}]}}}}}`},
			{Content: `
kind: List
items: [{kind: Pod, spec: {containers: [{image: in-a-list}], volumes: [{image: {reference: volume}}, {emptyDir: {}}]}}]`},
			{Content: `
kind: Custom
spec: {image: not-a-containers, podTemplate: {containers: [{image: custom}]}}`},
			{Content: "kind: ConfigMap\ndata: {text: 'containers: [{image: text}]'}"},
			{Content: "{{ no: yaml"},
		},
		Hooks: []Hook{{Manifest: "spec: {containers: [{image: hook}, {image: job}]}"}},
	}
	want := []string{"custom", "debug", "hook", "in-a-list", "init", "job", "volume"}
	if diff := cmp.Diff(want, out.Images()); diff != "" {
		t.Error(diff)
	}
}
