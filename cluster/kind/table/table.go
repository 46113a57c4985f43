// Package table has the columns and cells of the built-in kinds in the tables
// that kubectl get shows, as Kubernetes 1.36 prints them
// (k8s.io/kubernetes/pkg/printers/internalversion is the source of the rules).
// For each kind there is a function XColumns, and a function XRow that returns
// one cell a column. Cells are string, int64 or bool, as JSON has them. Columns
// with priority 1 are shown by -o wide.
package table

import (
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"
)

// Columns are the definitions of a table's columns.
type Columns = []metav1.TableColumnDefinition

type column = metav1.TableColumnDefinition

const (
	none    = "<none>"
	unset   = "<unset>"
	unknown = "<unknown>"
)

func text(name, description string) column {
	return column{Name: name, Type: "string", Description: description}
}

func integer(name, description string) column {
	return column{Name: name, Type: "integer", Description: description}
}

func boolean(name, description string) column {
	return column{Name: name, Type: "boolean", Description: description}
}

// wide makes c one of the columns of -o wide.
func wide(c column) column {
	c.Priority = 1
	return c
}

func nameColumn() column {
	return column{Name: "Name", Type: "string", Format: "name", Description: metav1.ObjectMeta{}.SwaggerDoc()["name"]}
}

func ageColumn() column { return text("Age", metav1.ObjectMeta{}.SwaggerDoc()["creationTimestamp"]) }

// podColumns are the wide columns about a pod template.
func podColumns() Columns {
	return Columns{
		wide(text("Containers", "Names of each container in the template.")),
		wide(text("Images", "Images referenced by each container in the template.")),
	}
}

func selectorColumn(description string) column { return wide(text("Selector", description)) }

// age is the time since t in a short form such as "5m".
func age(t metav1.Time, now time.Time) string {
	if t.IsZero() {
		return unknown
	}
	return duration.HumanDuration(now.Sub(t.Time))
}

// containerCells are the cells for podColumns.
func containerCells(containers []corev1.Container) (names, images string) {
	var n, i []string
	for _, c := range containers {
		n, i = append(n, c.Name), append(i, c.Image)
	}
	return strings.Join(n, ","), strings.Join(i, ",")
}

// shown is how many items of a list a cell has room for.
const shown = 3

// short lists the first few items and counts the others.
func short(items []string) string {
	if len(items) > shown {
		return fmt.Sprintf("%s + %d more...", strings.Join(items[:shown], ","), len(items)-shown)
	}
	return strings.Join(items, ",")
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

func orUnset[T ~string](p *T) string {
	if p == nil {
		return unset
	}
	return string(*p)
}

// isTrue shows an optional flag that is false if left out.
func isTrue(p *bool) bool { return p != nil && *p }

// CreatedColumns are those of kinds without columns of their own.
func CreatedColumns() Columns {
	return Columns{nameColumn(), {Name: "Created At", Type: "date", Description: metav1.ObjectMeta{}.SwaggerDoc()["creationTimestamp"]}}
}

// CreatedRow is a row for CreatedColumns.
func CreatedRow(o metav1.Object, _ time.Time) []any {
	return []any{o.GetName(), o.GetCreationTimestamp().UTC().Format(time.RFC3339)}
}

// AgeColumns are those of kinds that show nothing but their age.
func AgeColumns() Columns { return Columns{nameColumn(), ageColumn()} }

// AgeRow is a row for AgeColumns.
func AgeRow(o metav1.Object, now time.Time) []any {
	return []any{o.GetName(), age(o.GetCreationTimestamp(), now)}
}
