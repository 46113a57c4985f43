package ignore_test

import (
	"fmt"
	"io"
	"io/fs"
	"log"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	helm "helm.sh/helm/v3/pkg/ignore"

	"github.com/seed38700745/pkg/chart/ignore"
)

// usual is what `helm create` writes, and what charts add to it.
const usual = `# Patterns to ignore when building packages.
.DS_Store
# Common VCS dirs
.git/
.gitignore
.bzr/
.bzrignore
.hg/
.hgignore
.svn/
# Common backup files
*.swp
*.bak
*.tmp
*.orig
*~
# Various IDEs
.project
.idea/
*.tmproj
.vscode/
/README.md.gotmpl
ci/*.yaml
`

// info is what Helm's matcher asks of a file.
type info struct {
	name   string
	folder bool
}

func (i info) Name() string       { return path.Base(i.name) }
func (i info) Size() int64        { return 0 }
func (i info) ModTime() time.Time { return time.Time{} }
func (i info) IsDir() bool        { return i.folder }
func (i info) Sys() any           { return nil }
func (i info) Mode() fs.FileMode {
	if i.folder {
		return fs.ModeDir
	}
	return 0
}

// compare asks our rules and Helm's the same questions, in the same order, and returns
// which of the names are left out.
func compare(t *testing.T, rules string, names []string) (gone []string) {
	t.Helper()
	ours, err := ignore.Parse([]byte(rules))
	theirs, theirErr := helm.Parse(strings.NewReader(rules))
	if fmt.Sprint(err) != fmt.Sprint(theirErr) {
		t.Fatalf("%q: error %v, Helm's is %v", rules, err, theirErr)
	}
	if err != nil {
		return nil
	}
	theirs.AddDefaults()
	for _, name := range names {
		for _, folder := range []bool{false, true} {
			got, want := ours.Ignore(name, folder), theirs.Ignore(name, info{name, folder})
			if got != want {
				t.Fatalf("rules %q, %q (folder: %v): %v, Helm's answer is %v", rules, name, folder, got, want)
			}
			if got && !slices.Contains(gone, name) {
				gone = append(gone, name)
			}
		}
	}
	return gone
}

// TestMain keeps what Helm's matcher says of bad patterns out of the tests' output.
func TestMain(m *testing.M) {
	log.SetOutput(io.Discard)
	os.Exit(m.Run())
}

func TestLikeHelm(t *testing.T) {
	names := []string{
		"a", "b", "Chart.yaml", ".helmignore", ".git", ".gitignore", "x.bak", "x~", "docs", "docs/a", "docs/a.txt", "docs/deep/a.txt",
		"templates", "templates/a.yaml", "templates/.hidden", "templates/.", "templates/..x/y", "é", "é.txt", "a*", `a\`, "[x]", "aXb", "docs/b/a.txt",
	}
	for _, tt := range []struct{ rules, gone string }{
		{"", "templates/.hidden"},
		{usual, ".git .gitignore x.bak x~ templates/.hidden"},
		{"\ufeff# byte order mark\n a \r\n\n\tb\t\n", "a b docs/a templates/.hidden"},
		{"\ufeffa\n\ufeffb", "a docs/a templates/.hidden"},
		{"docs/", "docs templates/.hidden"},
		{"/a", "a templates/.hidden"},
		{"docs/a", "docs/a templates/.hidden"},
		{"docs/*/a.txt", "docs/deep/a.txt templates/.hidden docs/b/a.txt"},
		{"/docs/*.txt", "docs/a.txt templates/.hidden"},
		{"*/a*", "docs/a docs/a.txt templates/a.yaml templates/.hidden"},
		{"a*b", "templates/.hidden aXb"},
		{"?.txt", "docs/a.txt docs/deep/a.txt templates/.hidden é.txt docs/b/a.txt"},
		{`a\*`, "templates/.hidden a*"},
		{`a\\`, `templates/.hidden a\`},
		{"[^a-z]*", "Chart.yaml .helmignore .git .gitignore templates/.hidden templates/. é é.txt [x]"},
		{"//a", "a templates/.hidden"},
		{"///a\n//docs", "docs templates/.hidden"},
		{"./a", "templates/.hidden"},
	} {
		if gone := strings.Join(compare(t, tt.rules, names), " "); gone != tt.gone {
			t.Errorf("%q leaves out %q, want %q", tt.rules, gone, tt.gone)
		}
	}
	for _, rules := range []string{"0*[", "!a", "!docs/", "!a\n!b", "*\n!a", "!", "/", "//", "!/", "!//a", "#", "!#", "**/a", "[", "a\n[a-]", `\`, `a\/`, `/a\/`, `!\/`, "[^", "*[", "***", strings.Repeat("x", 1<<16), strings.Repeat("x", 1<<16-1), "a\n" + strings.Repeat("x", 1<<16) + "\n[", "[\n" + strings.Repeat("x", 1<<16)} {
		compare(t, rules, names)
	}
}

// FuzzLikeHelm: the same errors, and the same answers for files and folders of any name.
func FuzzLikeHelm(f *testing.F) {
	f.Add(usual, "README.md\n.git\na.bak\ntemplates/.x\nci/a.yaml")
	f.Add("!a\n/b\nc/\n/d/*\n", "a\nb\nc\nd\nd/e")
	f.Add("//a\n*a*\n?b\n[c]*\n\\d", "a\naa\nab\nc\nd\nx/a")
	f.Add("a/?*\n*.*\n*/x\n!*y", "a/b\na.b\nb/x\nc/y\na/.")
	f.Fuzz(func(t *testing.T, rules, names string) {
		var paths []string
		for name := range strings.SplitSeq(names, "\n") {
			if fs.ValidPath(name) && name != "." {
				paths = append(paths, name)
			}
		}
		compare(t, rules, paths)
	})
}

// BenchmarkIgnore asks once for each of a chart's files, beside Helm's matcher.
func BenchmarkIgnore(b *testing.B) {
	var names []string
	for i := range 25 {
		names = append(names, fmt.Sprintf("templates/component-%d/deployment.yaml", i), fmt.Sprintf("charts/loki/templates/%d.yaml", i))
	}
	b.Run("ours", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			rules, err := ignore.Parse([]byte(usual))
			if err != nil {
				b.Fatal(err)
			}
			for _, name := range names {
				rules.Ignore(name, false)
			}
		}
	})
	b.Run("helm", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			rules, err := helm.Parse(strings.NewReader(usual))
			if err != nil {
				b.Fatal(err)
			}
			rules.AddDefaults()
			for _, name := range names {
				rules.Ignore(name, info{name, false})
			}
		}
	})
}
