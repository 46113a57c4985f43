package schema

import (
	"bytes"
	"encoding/json"
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// FuzzReadJSON compares what is read with what encoding/json reads.
func FuzzReadJSON(f *testing.F) {
	for _, text := range []string{
		`{"a": [1, -0.5e+3, "b\n\u00e9\/", true, false, null, {}, []], "a": 2}`, ` "\ud83d\ude00" `, `[1,]`, `{"a":1,}`, `[01]`, `[-]`, `[1.]`, `[1e]`,
		`"\x"`, `"`, `"\`, `"\u12`, `{"a" 1}`, `{1:2}`, `nul`, `[1 2]`, "\"\x01\"", "\"\xff\"", `{} {}`, ``, `[`, `{`, `{"a":`, `[[[[]]]]`, `"\u0000"`, `1`, `"a\"b\\"`, `"\u+123"`,
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, ok := readJSON(text)
		if !ok {
			return
		}
		dec := json.NewDecoder(bytes.NewReader([]byte(text)))
		dec.UseNumber()
		var want any
		if err := dec.Decode(&want); err != nil {
			t.Fatalf("%q: read as %v; encoding/json: %v", text, got, err)
		}
		if _, err := dec.Token(); err != io.EOF {
			t.Fatalf("%q: data behind the document: %v", text, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", text, diff)
		}
	})
}

// TestReadJSONReadsSchemas makes sure that usual documents are read.
func TestReadJSONReadsSchemas(t *testing.T) {
	for _, text := range []string{`{"$schema": "x", "properties": {"a": {"type": ["string", "null"], "pattern": "^\\d+$", "minimum": -1.5e3}}}`, "[\n\t1,\r\n 2 ]", `{}`, `[]`, `"é\u00e9\n"`} {
		if _, ok := readJSON(text); !ok {
			t.Errorf("%s is not read", text)
		}
	}
}
