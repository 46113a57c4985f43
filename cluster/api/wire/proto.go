package wire

import (
	"encoding/binary"
	"fmt"
	"io"

	"k8s.io/apimachinery/pkg/runtime"

	"github.com/seed38700745/pkg/cluster/object"
)

// message is what generated protobuf types can do.
type message interface {
	Size() int
	MarshalToSizedBuffer([]byte) (int, error)
}

// Field tags of the messages written by hand. All lists of Kubernetes have
// ListMeta as field 1 and items as field 2; runtime.Unknown has typeMeta as
// field 1 and raw as field 2; all of wire type 2 (length-delimited).
const (
	tagField1 = 1<<3 | 2
	tagField2 = 2<<3 | 2
)

// encodeProtoList writes runtime.Unknown{typeMeta, raw: list} without building
// the list: sizes first, then item after item.
func encodeProtoList(w io.Writer, head ListHead, items []object.Object) error {
	meta, err := head.ListMeta.Marshal()
	if err != nil {
		return err
	}
	sizes := make([]int, len(items))
	raw := 1 + uvarintLen(len(meta)) + len(meta)
	for i, o := range items {
		m, ok := o.(message)
		if !ok {
			return NotMarshalable(o)
		}
		sizes[i] = m.Size()
		raw += 1 + uvarintLen(sizes[i]) + sizes[i]
	}
	typeMeta := runtime.TypeMeta{APIVersion: head.TypeMeta.APIVersion, Kind: head.TypeMeta.Kind}
	tm, err := typeMeta.Marshal()
	if err != nil {
		return err
	}

	buf := append([]byte(nil), protoMagic...)
	buf = append(append(binary.AppendUvarint(append(buf, tagField1), uint64(len(tm))), tm...), tagField2)
	buf = binary.AppendUvarint(buf, uint64(raw))
	buf = append(binary.AppendUvarint(append(buf, tagField1), uint64(len(meta))), meta...)
	for i, o := range items {
		buf = binary.AppendUvarint(append(buf, tagField2), uint64(sizes[i]))
		at := len(buf)
		buf = append(buf, make([]byte, sizes[i])...)
		n, err := o.(message).MarshalToSizedBuffer(buf[at:])
		if err != nil {
			return err
		}
		if n != sizes[i] {
			return fmt.Errorf("%T changed while it was encoded", o)
		}
		if len(buf) > flushAt {
			if _, err := w.Write(buf); err != nil {
				return err
			}
			buf = buf[:0]
		}
	}
	// contentEncoding and contentType, fields 3 and 4, are empty and left out.
	_, err = w.Write(buf)
	return err
}

func uvarintLen(n int) int {
	l := 1
	for v := uint64(n); v >= 0x80; v >>= 7 {
		l++
	}
	return l
}

// CanProtobuf tells whether o has a protobuf form (custom resources have not).
func CanProtobuf(o any) bool {
	_, ok := o.(message)
	return ok
}

// NotMarshalable is the error for an object without a protobuf form.
func NotMarshalable(o any) error {
	return fmt.Errorf("object %T does not implement the protobuf marshalling interface and cannot be encoded to a protobuf message", o)
}
