package api

import (
	"bytes"
	"encoding/json"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	kjson "sigs.k8s.io/json"

	"github.com/seed38700745/pkg/cluster/kind"
	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/store"
)

// codec is the store's encoding: the bare protobuf message of built-in kinds,
// JSON of custom resources. A JSON object begins with '{' (0x7b), which is no
// beginning of the messages: their first field, metadata, has tag 0x0a.
type codec struct{ kinds *kind.Registry }

// NewCodec returns the codec for a store that holds the kinds of a registry.
// What is of a custom kind decodes without the registry knowing the kind, so
// that the store opens before CustomResourceDefinitions are read.
func NewCodec(kinds *kind.Registry) store.Codec { return codec{kinds} }

// Encode implements store.Codec.
func (c codec) Encode(_ object.Resource, o object.Object) ([]byte, error) {
	if u, ok := o.(*unstructured.Unstructured); ok {
		return json.Marshal(u.Object)
	}
	m, ok := o.(interface{ Marshal() ([]byte, error) })
	if !ok {
		return nil, fmt.Errorf("%T has no protobuf form", o)
	}
	return m.Marshal()
}

// Decode implements store.Codec.
func (c codec) Decode(r object.Resource, data []byte) (object.Object, error) {
	if bytes.HasPrefix(data, []byte("{")) {
		var content map[string]any
		if err := kjson.UnmarshalCaseSensitivePreserveInts(data, &content); err != nil {
			return nil, fmt.Errorf("decode %s: %w", r, err)
		}
		return &unstructured.Unstructured{Object: content}, nil
	}
	k, ok := c.kinds.ForResource(r)
	if !ok {
		return nil, fmt.Errorf("decode %s: no such kind", r)
	}
	o := k.New()
	m, ok := o.(interface{ Unmarshal([]byte) error })
	if !ok {
		return nil, fmt.Errorf("decode %s: %T has no protobuf form", r, o)
	}
	if err := m.Unmarshal(data); err != nil {
		return nil, fmt.Errorf("decode %s: %w", r, err)
	}
	o.GetObjectKind().SetGroupVersionKind(k.GVK)
	// As Kubernetes does on reading: for defaults that are newer than the object,
	// and for what the protobuf form leaves out, such as the kind of a
	// StatefulSet's claim templates, which would look like a change of them.
	if k.Default != nil {
		k.Default(o)
	}
	return o, nil
}
