package wire_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/seed38700745/pkg/cluster/api/wire"
	"github.com/seed38700745/pkg/cluster/object"
)

func configMap(name string, size int) *corev1.ConfigMap {
	return &corev1.ConfigMap{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "n"},
		Data:       map[string]string{"text": strings.Repeat("<x>", size)},
	}
}

// TestListsReadBack: what EncodeList writes item by item, Kubernetes' own
// decoders read as a list.
func TestListsReadBack(t *testing.T) {
	n := int64(7)
	head := wire.ListHead{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMapList"},
		ListMeta: metav1.ListMeta{ResourceVersion: "12", Continue: "more", RemainingItemCount: &n}}
	for _, count := range []int{0, 1, 100} {
		want := corev1.ConfigMapList{ListMeta: head.ListMeta}
		var items []object.Object
		for i := range count {
			items = append(items, configMap(fmt.Sprint("c", i), i*10))
			want.Items = append(want.Items, *configMap(fmt.Sprint("c", i), i*10))
		}
		for _, f := range []wire.Format{wire.JSON, wire.YAML, wire.Protobuf} {
			for _, pretty := range []bool{false, true} {
				var b bytes.Buffer
				if err := wire.EncodeList(&b, f, pretty, head, items); err != nil {
					t.Fatal(err)
				}
				got, _, err := scheme.Codecs.UniversalDeserializer().Decode(b.Bytes(), nil, nil)
				if err != nil {
					t.Fatalf("%s: %v", f.ContentType(), err)
				}
				l := got.(*corev1.ConfigMapList)
				l.TypeMeta = metav1.TypeMeta{}
				for i := range l.Items {
					l.Items[i].TypeMeta = want.Items[i].TypeMeta // protobuf carries none inside lists
				}
				if count == 0 {
					l.Items = nil
				}
				if diff := cmp.Diff(want, *l); diff != "" {
					t.Errorf("%s, %d items (-want +got):\n%s", f.ContentType(), count, diff)
				}
			}
		}
	}
}

func TestCustomResourcesHaveNoProtobuf(t *testing.T) {
	u := &unstructured.Unstructured{Object: map[string]any{"kind": "X"}}
	if wire.CanProtobuf(u) {
		t.Error("unstructured objects are said to have a protobuf form")
	}
	if err := wire.EncodeList(&bytes.Buffer{}, wire.Protobuf, false, wire.ListHead{}, []object.Object{u}); err == nil {
		t.Error("encoded")
	}
}

func TestDecode(t *testing.T) {
	proto, err := wire.Marshal(wire.Protobuf, configMap("c", 1))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		data     string
		format   wire.Format
		strict   bool
		problems string
		err      string
	}{
		"json":            {data: `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c"}}`},
		"json, unknown":   {data: `{"metadata":{"name":"c"},"x":1,"x":2}`, strict: true, problems: `unknown field "x"`},
		"json, duplicate": {data: `{"metadata":{"name":"c","name":"c"}}`, strict: true, problems: `duplicate field "metadata.name"`},
		"json, lenient":   {data: `{"metadata":{"name":"c"},"x":1}`},
		"json, case":      {data: `{"metadata":{"Name":"d","name":"c"}}`},
		"yaml":            {data: "metadata:\n  name: c\n", format: wire.YAML},
		"yaml, duplicate": {data: "metadata:\n  name: c\n  name: c\n", format: wire.YAML, strict: true, problems: `key "name" already set in map`},
		"protobuf":        {data: string(proto), format: wire.Protobuf},
		"no protobuf":     {data: "{}", format: wire.Protobuf, err: "does not appear to be a protobuf message"},
		"broken":          {data: `{"metadata":`, err: "unexpected"},
		"broken yaml":     {data: "a: b: c", format: wire.YAML, strict: true, err: "mapping values are not allowed"},
		"wrong type":      {data: `{"data":{"a":1}}`, err: "cannot unmarshal number"},
	} {
		var got corev1.ConfigMap
		problems, err := wire.Decode([]byte(c.data), c.format, c.strict, &got)
		var texts []string
		for _, p := range problems {
			texts = append(texts, p.Error())
		}
		switch text := strings.Join(texts, ", "); {
		case (err != nil) != (c.err != "") || err != nil && !strings.Contains(err.Error(), c.err):
			t.Errorf("%s: error %v, want %q", name, err, c.err)
		case !strings.Contains(text, c.problems) || c.problems == "" && text != "":
			t.Errorf("%s: problems %q, want %q", name, text, c.problems)
		case err == nil && got.Name != "c":
			t.Errorf("%s: name %q", name, got.Name)
		}
	}
}

func TestDecodeUnstructuredKeepsIntegers(t *testing.T) {
	u := &unstructured.Unstructured{}
	if _, err := wire.Decode([]byte(`{"a":12345678901234567,"b":1.5}`), wire.JSON, true, u); err != nil {
		t.Fatal(err)
	}
	if u.Object["a"] != int64(12345678901234567) || u.Object["b"] != 1.5 {
		t.Errorf("content %#v", u.Object)
	}
	if _, err := wire.Decode([]byte(`null`), wire.JSON, false, &unstructured.Unstructured{}); err == nil {
		t.Error("null is no object")
	}
}

func TestNegotiate(t *testing.T) {
	plain := func(a wire.Accepted) bool { return a.Plain() }
	tables := func(a wire.Accepted) bool { return a.Plain() || a.As == "Table" && a.Format == wire.JSON }
	none := func(wire.Accepted) bool { return false }
	for _, c := range []struct {
		header string
		can    func(wire.Accepted) bool
		want   wire.Accepted
		ok     bool
	}{
		{"", plain, wire.Accepted{}, true},
		{"*/*", plain, wire.Accepted{}, true},
		{"text/html, application/*;q=0.5", plain, wire.Accepted{}, true},
		{"application/vnd.kubernetes.protobuf,application/json", plain, wire.Accepted{Format: wire.Protobuf}, true},
		{"application/json;q=0.5, application/yaml", plain, wire.Accepted{Format: wire.YAML}, true},
		{"application/json;as=Table;v=v1;g=meta.k8s.io,application/json", plain, wire.Accepted{}, true},
		{"application/json;as=Table;v=v1;g=meta.k8s.io,application/json", tables, wire.Accepted{As: "Table", Group: "meta.k8s.io", Version: "v1"}, true},
		{"application/json;stream=watch", plain, wire.Accepted{}, true},
		{"application/cbor", plain, wire.Accepted{}, false},
		{"application/json;q=0", plain, wire.Accepted{}, false},
		{"application/json", none, wire.Accepted{}, false},
	} {
		if got, ok := wire.Negotiate(c.header, c.can); ok != c.ok || got != c.want {
			t.Errorf("%q: %+v %v, want %+v %v", c.header, got, ok, c.want, c.ok)
		}
	}
}

func TestFrames(t *testing.T) {
	o := configMap("c", 1)
	line, err := wire.Frame(wire.JSON, watch.Added, o)
	if err != nil || bytes.Count(line, []byte("\n")) != 1 {
		t.Fatalf("%q, %v", line, err)
	}
	var e struct {
		Type   string
		Object corev1.ConfigMap
	}
	if err := json.Unmarshal(line, &e); err != nil || e.Type != "ADDED" || e.Object.Name != "c" {
		t.Errorf("%s, %v", line, err)
	}
	frame, err := wire.Frame(wire.Protobuf, watch.Deleted, o)
	if err != nil || int(binary.BigEndian.Uint32(frame)) != len(frame)-4 {
		t.Fatalf("%q, %v", frame, err)
	}
	var we metav1.WatchEvent
	if err := we.Unmarshal(frame[4:]); err != nil || we.Type != "DELETED" {
		t.Fatalf("%+v, %v", we, err)
	}
	got, _, err := protobuf.NewSerializer(scheme.Scheme, scheme.Scheme).Decode(we.Object.Raw, nil, nil)
	if err != nil || got.(*corev1.ConfigMap).Name != "c" {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestFrameCacheShares(t *testing.T) {
	var c wire.FrameCache
	o := configMap("c", 1)
	frames := make([][]byte, 20)
	var wg sync.WaitGroup
	for i := range frames {
		wg.Go(func() { frames[i], _ = c.Frame(wire.JSON, watch.Added, o) })
	}
	wg.Wait()
	for _, f := range frames {
		if &f[0] != &frames[0][0] {
			t.Fatal("an event was encoded twice")
		}
	}
	modified, err := c.Frame(wire.JSON, watch.Modified, o)
	if err != nil || !bytes.HasPrefix(modified, []byte(`{"type":"MODIFIED"`)) {
		t.Errorf("%s, %v", modified, err)
	}
	big := configMap("big", 20000)
	first, _ := c.Frame(wire.JSON, watch.Added, big)
	if second, _ := c.Frame(wire.JSON, watch.Added, big); &first[0] == &second[0] {
		t.Error("a large frame is kept")
	}
	for i := range 1000 {
		if _, err := c.Frame(wire.JSON, watch.Added, configMap(fmt.Sprint(i), 1)); err != nil {
			t.Fatal(err)
		}
	}
	if again, _ := c.Frame(wire.JSON, watch.Added, o); &again[0] == &frames[0][0] {
		t.Error("the cache forgets nothing")
	}
}

// FuzzDecode: whatever bytes come, there is an error or an object.
func FuzzDecode(f *testing.F) {
	good, err := wire.Marshal(wire.Protobuf, configMap("c", 1))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good, byte(wire.Protobuf))
	f.Add([]byte(`{"spec":{"replicas":1}}`), byte(wire.JSON))
	f.Add([]byte("a: &a [*a]"), byte(wire.YAML))
	f.Fuzz(func(t *testing.T, data []byte, format byte) {
		for _, into := range []runtime.Object{&appsv1.Deployment{}, &unstructured.Unstructured{}} {
			if _, custom := into.(*unstructured.Unstructured); custom && wire.Format(format) == wire.Protobuf {
				continue
			}
			_, _ = wire.Decode(data, wire.Format(format%3), true, into)
		}
	})
}
