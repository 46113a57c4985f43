package crd

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"
	"k8s.io/client-go/util/jsonpath"

	"github.com/seed38700745/pkg/cluster/object"
)

// table makes the columns of a version: the name and what the definition adds.
// Without additions both are nil, and the API shows name and age.
func table(extra []apiextensionsv1.CustomResourceColumnDefinition) ([]metav1.TableColumnDefinition, func(object.Object, time.Time) []any, error) {
	if len(extra) == 0 {
		return nil, nil, nil
	}
	columns := []metav1.TableColumnDefinition{{Name: "Name", Type: "string", Format: "name", Description: metav1.ObjectMeta{}.SwaggerDoc()["name"]}}
	paths := make([]*jsonpath.JSONPath, len(extra))
	for i, c := range extra {
		p, err := parsePath(c.Name, c.JSONPath)
		if err != nil {
			return nil, nil, fmt.Errorf("column %q: %w", c.Name, err)
		}
		paths[i] = p
		description := c.Description
		if description == "" {
			description = "Custom resource definition column (in JSONPath format): " + c.JSONPath
		}
		columns = append(columns, metav1.TableColumnDefinition{Name: c.Name, Type: c.Type, Format: c.Format, Description: description, Priority: c.Priority})
	}
	row := func(o object.Object, now time.Time) []any {
		cells := []any{o.GetName()}
		for i, p := range paths {
			cells = append(cells, cell(p, extra[i].Type, content(o), now))
		}
		return cells
	}
	return columns, row, nil
}

// parsePath compiles a simple JSONPath (".spec.replicas"). Such paths keep no
// state while they are evaluated, so they can be used concurrently.
func parsePath(name, path string) (*jsonpath.JSONPath, error) {
	p := jsonpath.New(name).AllowMissingKeys(true)
	if err := p.Parse("{" + path + "}"); err != nil {
		return nil, err
	}
	return p, nil
}

// cell evaluates one column; nil where there is nothing to show.
func cell(p *jsonpath.JSONPath, columnType string, data map[string]any, now time.Time) any {
	results, err := p.FindResults(data)
	if err != nil || len(results) == 0 || len(results[0]) == 0 {
		return nil
	}
	value := results[0][0].Interface()
	switch columnType {
	case "string":
		var text bytes.Buffer
		if err := p.PrintResults(&text, []reflect.Value{reflect.ValueOf(value)}); err != nil {
			return nil
		}
		return text.String()
	case "integer":
		switch n := value.(type) {
		case int64:
			return n
		case float64:
			return int64(n)
		case json.Number:
			if i, err := n.Int64(); err == nil {
				return i
			}
		}
	case "number":
		switch value.(type) {
		case int64, float64:
			return value
		}
	case "boolean":
		if b, ok := value.(bool); ok {
			return b
		}
	case "date":
		text, ok := value.(string)
		if !ok {
			return nil
		}
		at, err := time.Parse(time.RFC3339, text)
		if err != nil {
			return "<invalid>"
		}
		return duration.HumanDuration(now.Sub(at))
	}
	return nil
}
