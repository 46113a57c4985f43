//go:build !front

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/spf13/pflag"
	"sigs.k8s.io/yaml"
)

// outputFormat is the value of -o: table (the default), json or yaml.
type outputFormat string

func (o *outputFormat) String() string { return string(*o) }
func (o *outputFormat) Type() string   { return "format" }

// Set accepts the three formats.
func (o *outputFormat) Set(s string) error {
	switch s {
	case "table", "json", "yaml":
		*o = outputFormat(s)
		return nil
	}
	return fmt.Errorf("invalid format type %q: allowed values are table, json, yaml", s)
}

// add declares -o.
func (o *outputFormat) add(f *pflag.FlagSet) {
	*o = "table"
	f.VarP(o, "output", "o", "prints the output in the specified format. Allowed values: table, json, yaml")
}

// write prints v as JSON or YAML, or calls table.
func (o outputFormat) write(w io.Writer, v any, table func() error) error {
	switch o {
	case "json":
		data, err := json.Marshal(v)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(w, "%s\n", data)
		return err
	case "yaml":
		data, err := yaml.Marshal(v)
		if err != nil {
			return err
		}
		_, err = w.Write(data)
		return err
	}
	return table()
}

// table prints rows as Helm does: cells padded to their column's width and parted
// by tabs, so that both people and cut(1) can read them.
type table struct {
	// MaxWidth cuts longer cells, the last three characters becoming dots; 0 for no
	// limit.
	MaxWidth int
	rows     [][]string
}

func (t *table) add(cells ...string) {
	for i, cell := range cells {
		if t.MaxWidth > 0 && utf8.RuneCountInString(cell) > t.MaxWidth {
			cells[i] = string([]rune(cell)[:t.MaxWidth-3]) + "..."
		}
	}
	t.rows = append(t.rows, cells)
}

func (t *table) write(w io.Writer) error {
	var widths []int
	for _, row := range t.rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	for _, row := range t.rows {
		for i, cell := range row {
			if i > 0 {
				b.WriteByte('\t')
			}
			b.WriteString(cell)
			b.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)))
		}
		b.WriteByte('\n')
	}
	_, err := io.WriteString(w, b.String())
	return err
}
