package compare

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTexts(t *testing.T) {
	before := "1\n2\n3\n4\n5\n6\n7\nport: 80 # a\n9\n"
	after := "1\n2\n3\n4\n5\n6\n7\nport: 8080 # a\n9\nlast"
	want := Difference{Added: 2, Removed: 1, Blocks: []Block{
		{Folded: true, Lines: []Line{{Kind: Same, Old: 1, New: 1, Before: "1"}, {Kind: Same, Old: 2, New: 2, Before: "2"}, {Kind: Same, Old: 3, New: 3, Before: "3"}, {Kind: Same, Old: 4, New: 4, Before: "4"}}},
		{Lines: []Line{
			{Kind: Same, Old: 5, New: 5, Before: "5"}, {Kind: Same, Old: 6, New: 6, Before: "6"}, {Kind: Same, Old: 7, New: 7, Before: "7"},
			{Kind: Remove, Old: 8, Before: "port: 80", After: " # a"}, {Kind: Add, New: 8, Before: "port: 80", Changed: "80", After: " # a"},
			{Kind: Same, Old: 9, New: 9, Before: "9"}, {Kind: Add, New: 10, Before: "last"}}},
	}}
	if d := cmp.Diff(want, Texts(before, after)); d != "" {
		t.Error(d)
	}
	rows := want.Blocks[1].Rows()
	if len(rows) != 6 || rows[3].Left.Old != 8 || rows[3].Right.New != 8 || rows[5].Left != nil || rows[5].Right.New != 10 {
		t.Errorf("rows %+v", rows)
	}
	if d := Texts("a\r\n", "a"); len(d.Blocks) != 0 {
		t.Errorf("line ends differ: %+v", d)
	}
}

// Both texts can be put together again from a comparison, with the right numbers.
func FuzzTexts(f *testing.F) {
	f.Add("a\nb\nc\n", "a\nc\nd")
	f.Add("", "x\n")
	f.Add("x\n", "")
	f.Add("a\n\n\n\n\n\n\n\n\nb\n", "a\n\n\n\n\n\n\n\n\n\nb\nä\n")
	f.Add("ä: ö\n", "ä: ü\n")
	f.Fuzz(func(t *testing.T, before, after string) {
		d := Texts(before, after)
		if lineEnds(before) == lineEnds(after) {
			if len(d.Blocks) != 0 {
				t.Fatal("equal texts differ")
			}
			return
		}
		var old, now []string
		for _, b := range d.Blocks {
			for _, l := range b.Lines {
				text := l.Before + l.Changed + l.After
				if l.Kind != Add {
					if old = append(old, text); l.Old != len(old) {
						t.Fatalf("line %+v is the %d. of the old text", l, len(old))
					}
				}
				if l.Kind != Remove {
					if now = append(now, text); l.New != len(now) {
						t.Fatalf("line %+v is the %d. of the new text", l, len(now))
					}
				}
				if b.Folded && l.Kind != Same {
					t.Fatalf("a change is folded: %+v", l)
				}
			}
			left, right := 0, 0
			for _, r := range b.Rows() {
				if r.Left != nil {
					left++
				}
				if r.Right != nil {
					right++
				}
			}
			if left+right != 2*len(b.Lines)-count(b.Lines, Add)-count(b.Lines, Remove) {
				t.Fatal("rows lack lines")
			}
		}
		for _, c := range []struct {
			lines []string
			text  string
		}{{old, lineEnds(before)}, {now, lineEnds(after)}} {
			have := strings.Join(c.lines, "\n")
			if len(c.lines) > 0 {
				have += "\n"
			}
			if have != c.text {
				t.Fatalf("have %q, want %q", have, c.text)
			}
		}
		if d.Added != countAll(d, Add) || d.Removed != countAll(d, Remove) {
			t.Fatalf("%d added, %d removed", d.Added, d.Removed)
		}
	})
}

func count(lines []Line, k Kind) int {
	n := 0
	for _, l := range lines {
		if l.Kind == k {
			n++
		}
	}
	return n
}

func countAll(d Difference, k Kind) int {
	n := 0
	for _, b := range d.Blocks {
		n += count(b.Lines, k)
	}
	return n
}
