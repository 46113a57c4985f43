package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestFormat(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 60, time.UTC)
	const stamp = "2026-01-02T03:04:05.00000006Z stdout "
	for _, test := range []struct {
		name, in, want, held string
	}{
		{"lines", "a\n\nb\n", stamp + "F a\n" + stamp + "F \n" + stamp + "F b\n", ""},
		{"a beginning", "a\nbc", stamp + "F a\n", "bc"},
		{"a long beginning", strings.Repeat("a", maxLogLine), stamp + "P " + strings.Repeat("a", maxLogLine) + "\n", ""},
		{"a full buffer with a line", "12345\n" + strings.Repeat("a", maxLogLine-6), stamp + "F 12345\n", strings.Repeat("a", maxLogLine-6)},
		{"nothing", "", "", ""},
	} {
		buf := make([]byte, maxLogLine)
		n := copy(buf, test.in)
		var out []byte
		_, held := format(nil, buf, n, "stdout", now, func(b []byte) { out = append(out, b...) })
		if string(out) != test.want || string(buf[:held]) != test.held {
			t.Errorf("%s: %q, held %q", test.name, out, buf[:held])
		}
	}
}

// FuzzFormat: no byte of output is lost, added or moved to another line,
// wherever reads cut it.
func FuzzFormat(f *testing.F) {
	f.Add([]byte("a\nbb\nccccccccccccccccccccc\n"), uint8(0))
	f.Add(bytes.Repeat([]byte("c"), 40000), uint8(200))
	f.Fuzz(func(t *testing.T, in []byte, step uint8) {
		buf := make([]byte, maxLogLine)
		var log, room []byte
		held := 0
		for rest := in; len(rest) > 0; {
			n := copy(buf[held:min(len(buf), held+1+int(step)*97)], rest)
			rest = rest[n:]
			room, held = format(room[:0], buf, held+n, "s", time.Unix(0, 0), func(b []byte) { log = append(log, b...) })
		}
		var got bytes.Buffer
		for line := range strings.Lines(string(log)) {
			_, text, _ := strings.Cut(line, " s ")
			if strings.HasPrefix(text, "P ") {
				text = strings.TrimSuffix(text, "\n")
			}
			got.WriteString(text[2:])
		}
		got.Write(buf[:held])
		if got.String() != string(in) {
			t.Errorf("%q became %q", in, got.String())
		}
	})
}

func TestOOMKills(t *testing.T) {
	dir := t.TempDir()
	for content, want := range map[string]int{
		"oom_kill_disable 0\nunder_oom 0\noom_kill 3\n": 3, // version 1
		"low 0\noom 2\noom_kill 1\noom_group_kill 0\n":  1, // version 2
		"": 0,
	} {
		path := filepath.Join(dir, "file")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := oomKills(path); got != want {
			t.Errorf("%q: %d", content, got)
		}
	}
	if got := oomKills(filepath.Join(dir, "none")); got != 0 {
		t.Errorf("no file: %d", got)
	}
}

// The shim must not grow: these packages would double it.
func TestNothingHeavyIsLinked(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		t.Skip("there is no go command here:", err)
	}
	for _, heavy := range []string{"net", "encoding/json", "os/exec", "log/slog"} {
		if slices.Contains(strings.Fields(string(out)), heavy) {
			t.Errorf("the shim links %s", heavy)
		}
	}
}
