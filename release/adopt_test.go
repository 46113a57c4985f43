package release

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func entry(manager string, op metav1.ManagedFieldsOperationType, sub, fields string) metav1.ManagedFieldsEntry {
	return metav1.ManagedFieldsEntry{
		Manager: manager, Operation: op, Subresource: sub, APIVersion: "v1", FieldsType: "FieldsV1",
		FieldsV1: &metav1.FieldsV1{Raw: []byte(fields)},
	}
}

func TestMergeManagers(t *testing.T) {
	update, apply := metav1.ManagedFieldsOperationUpdate, metav1.ManagedFieldsOperationApply
	out, changed, err := mergeManagers([]metav1.ManagedFieldsEntry{
		entry("helm", update, "", `{"f:data":{"f:a":{}}}`),
		entry("editor", update, "", `{"f:data":{"f:b":{}}}`),
		entry("helm", update, "status", `{"f:status":{}}`),
		entry("pkg", apply, "", `{"f:data":{"f:c":{}}}`),
		entry("helm4", apply, "", `{"f:data":{"f:d":{}}}`),
	})
	if err != nil || !changed || len(out) != 3 {
		t.Fatalf("%v, changed %t, %v", out, changed, err)
	}
	ours := out[2]
	if ours.Manager != "pkg" || ours.Operation != apply {
		t.Errorf("ours is %+v", ours)
	}
	for _, f := range []string{"f:a", "f:c", "f:d"} {
		if !strings.Contains(string(ours.FieldsV1.Raw), f) {
			t.Errorf("%s is lost: %s", f, ours.FieldsV1.Raw)
		}
	}
	if strings.Contains(string(ours.FieldsV1.Raw), "f:b") {
		t.Error("a stranger's field was taken")
	}
	same := []metav1.ManagedFieldsEntry{entry("pkg", apply, "", `{}`), entry("editor", update, "", `{}`)}
	if _, changed, err := mergeManagers(same); err != nil || changed {
		t.Errorf("changed %t, %v", changed, err)
	}
}
