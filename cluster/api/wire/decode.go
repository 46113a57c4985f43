package wire

import (
	"bytes"
	"errors"
	"fmt"
	"mime"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// FormatOf returns the format that a Content-Type names; no type means JSON.
func FormatOf(contentType string) (Format, bool) {
	if contentType == "" {
		return JSON, true
	}
	t, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		return 0, false
	}
	for _, f := range []Format{JSON, YAML, Protobuf} {
		if t == f.ContentType() {
			return f, true
		}
	}
	return 0, false
}

// Decode fills into from data. Strict problems (unknown and duplicate fields)
// are looked for only when strict is set, and returned apart from err.
func Decode(data []byte, f Format, strict bool, into runtime.Object) (problems []error, err error) {
	switch f {
	case Protobuf:
		return nil, decodeProto(data, into)
	case YAML:
		if data, problems, err = yamlToJSON(data, strict); err != nil {
			return nil, err
		}
	}
	if u, ok := into.(runtime.Unstructured); ok {
		content, more, err := decodeMap(data, strict)
		if err != nil {
			return nil, err
		}
		u.SetUnstructuredContent(content)
		return append(problems, more...), nil
	}
	if !strict {
		return nil, kjson.UnmarshalCaseSensitivePreserveInts(data, into)
	}
	more, err := kjson.UnmarshalStrict(data, into)
	return append(problems, more...), err
}

// DecodeMap decodes a JSON or YAML mapping (YAML includes JSON).
func DecodeMap(data []byte, strict bool) (map[string]any, []error, error) {
	data, problems, err := yamlToJSON(data, strict)
	if err != nil {
		return nil, nil, err
	}
	m, more, err := decodeMap(data, strict)
	return m, append(problems, more...), err
}

func decodeMap(data []byte, strict bool) (m map[string]any, problems []error, err error) {
	if strict {
		problems, err = kjson.UnmarshalStrict(data, &m)
	} else {
		err = kjson.UnmarshalCaseSensitivePreserveInts(data, &m)
	}
	if err == nil && m == nil {
		err = errors.New("expected an object, got null")
	}
	return m, problems, err
}

// yamlToJSON converts; JSON passes unchanged.
func yamlToJSON(data []byte, strict bool) ([]byte, []error, error) {
	if t := bytes.TrimLeft(data, " \t\r\n"); len(t) > 0 && t[0] == '{' {
		return data, nil, nil
	}
	var problems []error
	if strict {
		if _, err := yaml.YAMLToJSONStrict(data); err != nil {
			if plain, err := yaml.YAMLToJSON(data); err != nil || plain == nil {
				return nil, nil, err
			}
			problems = append(problems, duplicateKeys(err)...)
		}
	}
	out, err := yaml.YAMLToJSON(data)
	return out, problems, err
}

// duplicateKeys splits the YAML library's error into one a key.
func duplicateKeys(err error) []error {
	var out []error
	for _, line := range strings.Split(err.Error(), "\n") {
		if line = strings.TrimSpace(line); strings.Contains(line, "already set") {
			out = append(out, errors.New(line))
		}
	}
	if out == nil {
		out = []error{err}
	}
	return out
}

func decodeProto(data []byte, into runtime.Object) error {
	if !bytes.HasPrefix(data, protoMagic) {
		return fmt.Errorf("provided data does not appear to be a protobuf message, expected prefix %v", protoMagic)
	}
	var unk runtime.Unknown
	if err := unk.Unmarshal(data[len(protoMagic):]); err != nil {
		return err
	}
	m, ok := into.(interface{ Unmarshal([]byte) error })
	if !ok {
		return NotMarshalable(into)
	}
	if err := m.Unmarshal(unk.Raw); err != nil {
		return err
	}
	gvk := unk.GroupVersionKind()
	gvk.Kind, gvk.Group, gvk.Version = unk.Kind, "", ""
	if g, v, found := strings.Cut(unk.APIVersion, "/"); found {
		gvk.Group, gvk.Version = g, v
	} else {
		gvk.Version = unk.APIVersion
	}
	into.GetObjectKind().SetGroupVersionKind(gvk)
	return nil
}
