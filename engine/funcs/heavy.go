//go:build !front

package funcs

import (
	"bytes"
	"strings"
	"sync"

	"github.com/BurntSushi/toml"
	"github.com/Masterminds/sprig/v3"
	goyaml "sigs.k8s.io/yaml/goyaml.v3"

	"github.com/seed38700745/pkg/engine/internal/endless"
)

// sprigs are all of sprig's functions, of which only the heavy ones are used.
var sprigs = sync.OnceValue(sprig.GenericFuncMap)

// heavy are the functions that need libraries which cost the start of a program.
func heavy(name string) any {
	switch name {
	case "toToml":
		return toTOML
	case "fromToml":
		return fromTOML
	case "toYamlPretty":
		return toYAMLPretty
	}
	if isHeavy(name) {
		return sprigs()[name]
	}
	return nil
}

// toYAMLPretty indents lists, too.
func toYAMLPretty(v any) string {
	if endless.Check(v) != nil {
		return ""
	}
	var out bytes.Buffer
	enc := goyaml.NewEncoder(&out)
	enc.SetIndent(2)
	if err := enc.Encode(v); err != nil {
		return ""
	}
	return strings.TrimSuffix(out.String(), "\n")
}

func toTOML(v any) string {
	if err := endless.Check(v); err != nil {
		return err.Error()
	}
	var out bytes.Buffer
	if err := toml.NewEncoder(&out).Encode(v); err != nil {
		return err.Error()
	}
	return out.String()
}

func fromTOML(s string) map[string]any {
	m := map[string]any{}
	if err := toml.Unmarshal([]byte(s), &m); err != nil {
		m["Error"] = err.Error()
	}
	return m
}
