package wire

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
)

// Frame encodes one watch event as it stands in the stream: a line of JSON, or
// a protobuf WatchEvent after its length as 4 big-endian bytes.
func Frame(f Format, t watch.EventType, o runtime.Object) ([]byte, error) {
	if f != Protobuf {
		var b bytes.Buffer
		b.WriteString(`{"type":"` + string(t) + `","object":`)
		if err := json.NewEncoder(&b).Encode(o); err != nil {
			return nil, err
		}
		b.Truncate(b.Len() - 1)
		b.WriteString("}\n")
		return b.Bytes(), nil
	}
	raw, err := Marshal(Protobuf, o)
	if err != nil {
		return nil, err
	}
	e := metav1.WatchEvent{Type: string(t), Object: runtime.RawExtension{Raw: raw}}
	buf := make([]byte, 4+e.Size())
	if _, err := e.MarshalToSizedBuffer(buf[4:]); err != nil {
		return nil, err
	}
	binary.BigEndian.PutUint32(buf, uint32(len(buf)-4))
	return buf, nil
}

// FrameCache holds so many frames, none larger than maxCached bytes: watchers
// are seldom further apart, and it stays below 8 MiB.
const (
	cacheSlots = 256
	maxCached  = 32 << 10
)

// FrameCache remembers the last frames, so that an event is encoded once for
// all who watch it. The zero value is ready.
type FrameCache struct {
	mu    sync.Mutex
	slots [cacheSlots]*frame
	index map[frameKey]*frame
	next  int
}

type frameKey struct {
	object runtime.Object // by identity: stored objects are immutable
	format Format
	event  watch.EventType
}

type frame struct {
	key  frameKey
	once sync.Once
	data []byte
	err  error
}

// Frame is the function Frame through the cache. o must be immutable.
func (c *FrameCache) Frame(f Format, t watch.EventType, o runtime.Object) ([]byte, error) {
	k := frameKey{o, f, t}
	c.mu.Lock()
	e := c.index[k]
	if e == nil {
		if c.index == nil {
			c.index = make(map[frameKey]*frame, cacheSlots)
		}
		if old := c.slots[c.next]; old != nil {
			delete(c.index, old.key)
		}
		e = &frame{key: k}
		c.slots[c.next], c.index[k] = e, e
		c.next = (c.next + 1) % cacheSlots
	}
	c.mu.Unlock()
	e.once.Do(func() { e.data, e.err = Frame(f, t, o) })
	if len(e.data) > maxCached { // those who wait for it have it; nobody else shall
		c.mu.Lock()
		if c.index[k] == e {
			delete(c.index, k)
			for i := range c.slots {
				if c.slots[i] == e {
					c.slots[i] = nil
				}
			}
		}
		c.mu.Unlock()
	}
	return e.data, e.err
}
