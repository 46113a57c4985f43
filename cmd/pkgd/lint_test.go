package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestLintObjects(t *testing.T) {
	var out bytes.Buffer
	err := lintObjects(strings.NewReader(`{"namespace":"n","documents":[
		{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":{"a":1}},
		{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"b"}}]}`), &out)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"findings":[{"document":0,"field":"data.a","severity":"ERROR","message":"wrong type: the number 1 where a string is expected"}]}` + "\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
	out.Reset()
	err = lintObjects(strings.NewReader(`{"namespace":"n","definitions":[{"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition",
		"spec":{"group":"x.example","names":{"kind":"Widget","plural":"widgets"},"scope":"Namespaced","versions":[{"name":"v1","served":true,"storage":true,
		"schema":{"openAPIV3Schema":{"type":"object","properties":{"spec":{"type":"object","required":["size"],"properties":{"size":{"type":"integer"}}}}}}}]}}],"documents":[
		{"apiVersion":"x.example/v1","kind":"Widget","metadata":{"name":"a"},"spec":{"size":"big","sise":1}},
		{"apiVersion":"x.example/v1","kind":"Widget","metadata":{"name":"b"},"spec":{"size":1}},
		{"apiVersion":"x.example/v2","kind":"Widget","metadata":{"name":"c"}},
		{"apiVersion":"y.example/v2","kind":"Widget","metadata":{"name":"d"}}]}`), &out)
	if err != nil {
		t.Fatal(err)
	}
	want = `{"findings":[{"document":0,"field":"spec.sise","severity":"ERROR","message":"unknown field: the definition of Widget has none of this name"},` +
		`{"document":0,"field":"spec.size","severity":"ERROR","message":"Invalid value: \"string\": spec.size in body must be of type integer: \"string\""},` +
		`{"document":2,"field":"apiVersion","severity":"ERROR","message":"the definition of Widget.x.example serves v1"}]}` + "\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
	if err := lintObjects(strings.NewReader("no"), &out); err == nil {
		t.Error("a request that is not JSON passed")
	}
}
