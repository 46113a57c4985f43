// Package wire turns objects into the bytes that Kubernetes' clients exchange
// with an API server, and back: JSON, YAML and protobuf; single objects, lists
// and watch events; and the negotiation of all this by HTTP headers.
//
// Nothing here looks at what the objects mean. Objects are encoded with the
// TypeMeta they carry. Encoding never copies an object: a list is written item
// by item, straight from the stored objects.
package wire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"sigs.k8s.io/yaml"

	"github.com/seed38700745/pkg/cluster/object"
)

// Format is an encoding of objects.
type Format int

// The formats.
const (
	JSON Format = iota
	YAML
	Protobuf
)

// ContentType is the media type of the format.
func (f Format) ContentType() string {
	switch f {
	case YAML:
		return "application/yaml"
	case Protobuf:
		return "application/vnd.kubernetes.protobuf"
	}
	return "application/json"
}

// Supported lists the media types for error messages.
func Supported() []string {
	return []string{JSON.ContentType(), YAML.ContentType(), Protobuf.ContentType()}
}

// protoMagic begins every protobuf-encoded object (k8s.io/apimachinery,
// runtime/serializer/protobuf).
var protoMagic = []byte("k8s\x00")

// Encode writes one object. pretty indents JSON.
func Encode(w io.Writer, f Format, pretty bool, o runtime.Object) error {
	switch f {
	case Protobuf:
		return protobuf.NewSerializer(nil, nil).Encode(o, w)
	case YAML:
		data, err := json.Marshal(o)
		if err != nil {
			return err
		}
		if data, err = yaml.JSONToYAML(data); err != nil {
			return err
		}
		_, err = w.Write(data)
		return err
	}
	enc := json.NewEncoder(w)
	if pretty {
		enc.SetIndent("", "  ")
	}
	return enc.Encode(o)
}

// Marshal is Encode into bytes.
func Marshal(f Format, o runtime.Object) ([]byte, error) {
	var b bytes.Buffer
	if err := Encode(&b, f, false, o); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// ListHead is what a list says besides its items.
type ListHead struct {
	TypeMeta metav1.TypeMeta
	ListMeta metav1.ListMeta
}

// EncodeList writes a list of objects in one format.
func EncodeList(w io.Writer, f Format, pretty bool, head ListHead, items []object.Object) error {
	switch {
	case f == Protobuf:
		return encodeProtoList(w, head, items)
	case f == YAML || pretty:
		var b bytes.Buffer
		if err := encodeJSONList(&b, head, items); err != nil {
			return err
		}
		data := b.Bytes()
		if f == YAML {
			y, err := yaml.JSONToYAML(data)
			if err != nil {
				return err
			}
			_, err = w.Write(y)
			return err
		}
		var out bytes.Buffer
		if err := json.Indent(&out, data, "", "  "); err != nil {
			return err
		}
		_, err := out.WriteTo(w)
		return err
	}
	return encodeJSONList(w, head, items)
}

func encodeJSONList(w io.Writer, head ListHead, items []object.Object) error {
	meta, err := json.Marshal(head.ListMeta)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(w, `{"kind":%q,"apiVersion":%q,"metadata":%s,"items":[`,
		head.TypeMeta.Kind, head.TypeMeta.APIVersion, meta); err != nil {
		return err
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	for i, o := range items {
		if i > 0 {
			b.WriteByte(',')
		}
		if err := enc.Encode(o); err != nil {
			return err
		}
		b.Truncate(b.Len() - 1) // the encoder's newline
		if b.Len() > flushAt || i == len(items)-1 {
			if _, err := b.WriteTo(w); err != nil {
				return err
			}
		}
	}
	_, err = io.WriteString(w, "]}\n")
	return err
}

// flushAt is the size in bytes at which buffered list items are written.
const flushAt = 32 << 10
