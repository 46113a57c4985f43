package chart

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"helm.sh/helm/v3/pkg/strvals"
)

// Values are what a user gives to a chart on a command line, by kind of source.
// Within a kind the later entry wins; between kinds the order is Helm's and does
// not depend on the order of flags: files, JSON, Set, SetString, SetFile, SetLiteral.
type Values struct {
	Files      []string // -f: paths, URLs or "-"
	JSON       []string // --set-json
	Set        []string // --set
	SetString  []string // --set-string
	SetFile    []string // --set-file
	SetLiteral []string // --set-literal

	// ReadFile fetches what Files and SetFile name: a path, a URL, or "-" for
	// standard input. Required when either is not empty.
	ReadFile func(name string) ([]byte, error)
}

// Merge combines the sources. Maps merge, everything else replaces; null stays
// null, since only coalescing with the chart's defaults gives it a meaning.
func (v Values) Merge() (map[string]any, error) {
	out := map[string]any{}
	for _, name := range v.Files {
		data, err := v.read(name)
		if err != nil {
			return nil, err
		}
		file, err := readValues(string(data))
		if err != nil {
			return nil, fmt.Errorf("failed to parse %s: %w", name, err)
		}
		out = Overlay(out, file)
	}
	for _, expr := range v.JSON {
		if strings.HasPrefix(strings.TrimSpace(expr), "{") { // a whole table, as Helm 4 takes it
			table := map[string]any{}
			if err := json.Unmarshal([]byte(expr), &table); err != nil {
				return nil, fmt.Errorf("failed parsing --set-json data JSON: %s", expr)
			}
			out = Overlay(out, table)
			continue
		}
		if err := strvals.ParseJSON(expr, out); err != nil {
			return nil, fmt.Errorf("failed parsing --set-json data %s", expr)
		}
	}
	for _, expr := range v.Set {
		if err := strvals.ParseInto(expr, out); err != nil {
			return nil, fmt.Errorf("failed parsing --set data: %w", err)
		}
	}
	for _, expr := range v.SetString {
		if err := strvals.ParseIntoString(expr, out); err != nil {
			return nil, fmt.Errorf("failed parsing --set-string data: %w", err)
		}
	}
	for _, expr := range v.SetFile {
		read := func(name []rune) (any, error) {
			data, err := v.read(string(name))
			return string(data), err
		}
		if err := strvals.ParseIntoFile(expr, out, read); err != nil {
			return nil, fmt.Errorf("failed parsing --set-file data: %w", err)
		}
	}
	for _, expr := range v.SetLiteral {
		if err := strvals.ParseLiteralInto(expr, out); err != nil {
			return nil, fmt.Errorf("failed parsing --set-literal data: %w", err)
		}
	}
	return out, nil
}

func (v Values) read(name string) ([]byte, error) {
	if v.ReadFile == nil {
		return nil, errors.New("values file " + name + ": no reader for files")
	}
	return v.ReadFile(name)
}

// Overlay returns base with over's keys on top; neither is changed.
func Overlay(base, over map[string]any) map[string]any {
	out := make(map[string]any, len(base)+len(over))
	for k, v := range base {
		out[k] = v
	}
	for k, v := range over {
		if table, ok := v.(map[string]any); ok {
			if below, ok := out[k].(map[string]any); ok {
				out[k] = Overlay(below, table)
				continue
			}
		}
		out[k] = v
	}
	return out
}
