package api

import (
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/seed38700745/pkg/cluster/object"
)

// table shows objects as rows of the kind's columns. version is that of
// meta.k8s.io; the query's includeObject says what goes with each row.
func (q *request) table(items []object.Object, meta metav1.ListMeta, version string) (*metav1.Table, error) {
	include := metav1.IncludeObjectPolicy(q.URL.Query().Get("includeObject"))
	k, now := q.served.Kind, q.server.Now()
	t := &metav1.Table{
		TypeMeta:          metav1.TypeMeta{APIVersion: metav1.GroupName + "/" + version, Kind: "Table"},
		ListMeta:          meta,
		ColumnDefinitions: k.Columns,
		Rows:              make([]metav1.TableRow, 0, len(items)),
	}
	plain := k.Row == nil || q.served.Alias != nil
	if plain {
		t.ColumnDefinitions = plainColumns()
	}
	for _, o := range items {
		var row metav1.TableRow
		if plain {
			row.Cells = []any{o.GetName(), age(o, q)}
		} else {
			row.Cells = k.Row(o, now)
		}
		switch include {
		case metav1.IncludeNone:
		case metav1.IncludeObject:
			row.Object = runtime.RawExtension{Object: o}
		case "", metav1.IncludeMetadata:
			p := partial(o, version)
			p.ManagedFields = nil // kubectl has no use for them in a table
			row.Object = runtime.RawExtension{Object: p}
		default:
			return nil, apierrors.NewBadRequest(fmt.Sprintf("unrecognized includeObject value: %q", include))
		}
		t.Rows = append(t.Rows, row)
	}
	return t, nil
}

// plainColumns are those of kinds without columns of their own.
func plainColumns() []metav1.TableColumnDefinition {
	docs := metav1.ObjectMeta{}.SwaggerDoc()
	return []metav1.TableColumnDefinition{
		{Name: "Name", Type: "string", Format: "name", Description: docs["name"]},
		{Name: "Age", Type: "string", Description: docs["creationTimestamp"]},
	}
}

func age(o object.Object, q *request) string {
	at := o.GetCreationTimestamp()
	if at.IsZero() {
		return "<unknown>"
	}
	return duration.HumanDuration(q.server.Now().Sub(at.Time))
}
