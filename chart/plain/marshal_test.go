package plain

import (
	"math/rand/v2"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

func checkMarshal(t *testing.T, v any) bool {
	t.Helper()
	got, ok := Marshal(v)
	if !ok {
		return false
	}
	want, err := yaml.Marshal(v)
	if err != nil {
		t.Fatalf("%#v: %v", v, err)
	}
	if text := strings.TrimSuffix(string(want), "\n"); got != text {
		t.Fatalf("%#v:\nplain %q\nyaml  %q", v, got, text)
	}
	return true
}

// words are the texts on which the rules of quoting turn.
var words = []string{
	"", "a", "text", "yes", "y", "N", "null", "~", "true", "1", "1.5", "-1", "+x", "0x1F", "017", "1e3", "1:30", "10m", "1_0", ".5", ".inf", ".", "..", "...", "---", "--- x",
	"-", "- a", "-a", "?", "? a", "?a", ":", ":a", ": a", "a:", "a: b", "a:b", "a #b", "a#b", "#a", "*a", "&a", "!a", "%a", "@a", "`a", "|a", ">a", "'a", "a'b", "\"a", "a\"b",
	"{a", "[a", "]a", "}a", ",a", "a,b", "a{b}", "=", "<<", "<", " a", "a ", "a  b", "a\nb", "a\nb\n", "a\n\nb\n\n", "\na", " a\nb", "a \nb", "a\n b", "a\n#b", "a\tb", "ä", "\\", "a\\nb",
	"2001-12-14", "2001-13-14", "2001-02-30", "http://x:80/y?z#f", "{{ .x }}", "$(A)", "/bin/sh", strings.Repeat("long words ", 20) + "end", strings.Repeat("two  spaces it's ", 15) + ": end", "{{ " + strings.Repeat("a b ", 50) + "'}}", strings.Repeat("x", 100) + " # y z", strings.Repeat("y", 76) + " b c d e", "12345678901234567890", "0b1", "0o7", "0.0.0.0:80", "127.0.0.1:9115", "-190:20:30.15", "+1:2", "1:2.", "1:2._3", "1:60", "1:5x", "1:", "1::2", "1_0:5_9", "1_:59:", "10:59:60", "10:99", "1:059", "-:1", "1:2:", "0:0:", "1.", "1.2.3", "a\n",
}

func randomValue(r *rand.Rand, depth int) any {
	switch n := r.IntN(10); {
	case n < 3 && depth > 0:
		m := map[string]any{}
		for range r.IntN(7) {
			key := []string{"a", "b", "aB", "a-b", "a.b", "a/b", "a1", "a10", "a2", "y", "1", "x_y", "B", "Ab", "ab", "true", "a100", "a01", "a001", "a20", "a-1", "a0"}[r.IntN(22)]
			m[key] = randomValue(r, depth-1)
		}
		return m
	case n < 5 && depth > 0:
		list := []any{}
		for range r.IntN(4) {
			list = append(list, randomValue(r, depth-1))
		}
		return list
	case n == 5:
		return []any{nil, true, false, 1, int64(-5), float64(7), 1.5, float64(1e14), 1e15, 0.0}[r.IntN(10)]
	}
	return words[r.IntN(len(words))]
}

func TestMarshal(t *testing.T) {
	for _, word := range words {
		checkMarshal(t, word)
		checkMarshal(t, map[string]any{"key": word})
		checkMarshal(t, []any{word, []any{word}, map[string]any{"k": word, "l": []any{word}}})
	}
	for _, files := range []map[string]string{nil, {}, {"a": "b", "c": "1:30"}, {"text": "a\nb\n", "zip": "UEsDBA=="}} {
		checkMarshal(t, files)
	}
	if !checkMarshal(t, nil) || !checkMarshal(t, map[string]any(nil)) || !checkMarshal(t, []any{"0.0.0.0:80"}) || !checkMarshal(t, map[string]string{"a": "b"}) {
		t.Error("refused")
	}
	r := rand.New(rand.NewPCG(3, 4))
	accepted := 0
	for range 60000 {
		if checkMarshal(t, randomValue(r, 4)) {
			accepted++
		}
	}
	if accepted < 5000 {
		t.Errorf("only %d of 60000 random values were written", accepted)
	}
}

func FuzzMarshal(f *testing.F) {
	f.Add("key", "a\nb")
	f.Fuzz(func(t *testing.T, key, value string) {
		checkMarshal(t, value)
		checkMarshal(t, map[string]any{key: value, "list": []any{value}})
	})
}
