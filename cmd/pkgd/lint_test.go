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
	if err := lintObjects(strings.NewReader("no"), &out); err == nil {
		t.Error("a request that is not JSON passed")
	}
}
