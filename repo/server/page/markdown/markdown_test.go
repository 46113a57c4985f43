package markdown

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/html"
)

func files(name string) string {
	if strings.HasPrefix(name, "docs/") {
		return "/files/" + name
	}
	return ""
}

func TestRender(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"heading", "# Größe & `code` 1.0!\n", `<h2 id="readme-größe--code-10">Größe &amp; <code>code</code> 1.0!</h2>`},
		{"headings leave nothing out", "# a\n#### b\n# a\n", `<h2 id="readme-a">a</h2> <h3 id="readme-b">b</h3> <h2 id="readme-a-1">a</h2>`},
		{"links", "[a](#x) [b](docs/b.md) [c](other.md) [d](https://e.org/?a=1&b=2) [e](/root) [f](//g.org/x) [g](mailto:a@b.c)",
			`<p><a href="#readme-x">a</a> <a href="/files/docs/b.md">b</a> <span>c</span> <a href="https://e.org/?a=1&amp;b=2" rel="nofollow noopener noreferrer">d</a> <span>e</span> <a href="https://g.org/x" rel="nofollow noopener noreferrer">f</a> <a href="mailto:a@b.c" rel="nofollow noopener noreferrer">g</a></p>`},
		{"pictures", "![a](docs/a.png) ![b](https://e.org/b.svg) [![c](https://e.org/c.svg)](https://e.org) ![](https://e.org/dir/some.png)",
			`<p><img src="/files/docs/a.png" alt="a" loading="lazy"> <a href="https://e.org/b.svg" rel="nofollow noopener noreferrer" class="picture">b</a> <a href="https://e.org" rel="nofollow noopener noreferrer"><span class="picture">c</span></a> <a href="https://e.org/dir/some.png" rel="nofollow noopener noreferrer" class="picture">some</a></p>`},
		{"table", "| a |  |\n|---|:-:|\n| 1 | 2 |\n",
			`<div class="wide" tabindex="0" role="group" aria-label="Table"><table> <thead> <tr> <th>a</th> <td align="center"></td> </tr> </thead> <tbody> <tr> <td>1</td> <td align="center">2</td> </tr> </tbody> </table></div>`},
		{"tasks", "- [x] a\n- [ ] b\n", `<ul> <li><span role="img" aria-label="done">☑</span> a</li> <li><span role="img" aria-label="to do">☐</span> b</li> </ul>`},
		{"code", "```yaml\na: <b>\n```\n", `<pre tabindex="0"><code><span class="k">a</span>: &lt;b&gt; </code></pre>`},
		{"strikethrough and autolinks", "~~no~~ https://e.org", `<p><del>no</del> <a href="https://e.org" rel="nofollow noopener noreferrer">https://e.org</a></p>`},
		{"html that stays", "<p align=\"center\"><b>x</b><br><kbd>k</kbd></p>\n\n<details><summary>s</summary>\n\ntext\n\n</details>",
			`<p align="center"><b>x</b><br><kbd>k</kbd></p> <details><summary>s</summary> <p>text</p> </details>`},
		{"closing what is not open", "</div></article></main><b>x\n\ny", `<b>x <p>y</p> </b>`},
		{"cells keep what is in them", "<table><tr><td></b></div>x</td></tr></table></td>",
			`<div class="wide" tabindex="0" role="group" aria-label="Table"><table><tr><td>x</td></tr></table></div>`},
		{"out of place", "<li>a</li><td>b</td><summary>c</summary>", `abc`},
		{"scripts", "<script>x</script><img src=x onerror=y><a href=\"javascript:x\">z</a><a href=\"data:text/html,x\">d</a><iframe src=x></iframe><svg><path d=x /></svg><div style=\"x\">s</div><!-- c -->",
			`<span class="picture">x</span><span>z</span><span>d</span><div>s</div>`},
		{"ids", "<a name=\"x\"></a><p id=\"x\">a</p>", `<p><span id="readme-x"></span><p>a</p></p>`},
	} {
		t.Run(c.name, func(t *testing.T) {
			have := strings.Join(strings.Fields(string(New().Render([]byte(c.text), files).HTML)), " ")
			if d := cmp.Diff(c.want, have); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestHeadings(t *testing.T) {
	d := New().Render([]byte("# A\n## B *c*\n<h2 id=\"own\">D</h2>\n\n## B c\n"), files)
	want := []Heading{{2, "readme-a", "A"}, {3, "readme-b-c", "B c"}, {3, "readme-own", "D"}, {3, "readme-b-c-1", "B c"}}
	if diff := cmp.Diff(want, d.Headings); diff != "" {
		t.Error(diff)
	}
}

func TestCut(t *testing.T) {
	d := New().Render([]byte(strings.Repeat("some words\n\n", maxText/10)), files)
	if !d.Cut || len(d.HTML) < maxText || len(d.HTML) > 3*maxText {
		t.Errorf("cut %t, %d bytes", d.Cut, len(d.HTML))
	}
}

// monsters are texts that make parsers slow.
var monsters = map[string]string{
	"quotes":        strings.Repeat(">", 200000),
	"quoted lines":  strings.Repeat(strings.Repeat("> ", 300)+"a\n", 800),
	"lists":         strings.Repeat("* ", 100000),
	"deeper lists":  deeper(700),
	"brackets":      strings.Repeat("[", 200000),
	"links":         strings.Repeat("[a](", 50000),
	"pictures":      strings.Repeat("![", 100000),
	"emphasis":      strings.Repeat("*a ", 100000),
	"emphasis both": strings.Repeat("*a _b ", 60000),
	"backticks":     ticks(600),
	"angles":        strings.Repeat("<", 200000),
	"elements":      strings.Repeat("<div>", 60000),
	"anchors":       strings.Repeat("<a href=x>", 40000),
	"ends":          strings.Repeat("</b>", 60000),
	"comments":      strings.Repeat("<!--", 60000),
	"tables":        strings.Repeat("|", 40000) + "\n" + strings.Repeat("|-", 40000) + "\n",
	"rows":          "|a|\n|-|\n" + strings.Repeat("|a\n", 30000),
	"headings":      strings.Repeat("# a\n", 20000),
	"references":    strings.Repeat("[a]: x\n", 50000),
	"entities":      strings.Repeat("&#1;", 80000),
	"wide line":     strings.Repeat("a", maxText),
	"links to self": strings.Repeat("www.a.b ", 20000),
	"at signs":      strings.Repeat("a@", 100000),
	"tildes":        strings.Repeat("~~a ", 80000),
	"nul":           strings.Repeat("\x00\xff", 100000),
}

func deeper(n int) string {
	var out strings.Builder
	for i := range n {
		out.WriteString(strings.Repeat("  ", i) + "- a\n")
	}
	return out.String()
}

func ticks(n int) string {
	var out strings.Builder
	for i := range n {
		out.WriteString(strings.Repeat("`", i) + "a")
	}
	return out.String()
}

func TestMonsters(t *testing.T) {
	const longest = 20 * time.Second // many times what it takes, for busy machines
	r := New()
	for name, text := range monsters {
		start := time.Now()
		d := r.Render([]byte(text), files)
		if took := time.Since(start); took > longest {
			t.Errorf("%s took %s", name, took)
		} else {
			t.Logf("%s: %s, %d bytes", name, took, len(d.HTML))
		}
		check(t, string(d.HTML))
	}
}

// check is what holds for every text.
func check(t *testing.T, text string) {
	t.Helper()
	depth := []string{}
	for z := html.NewTokenizer(strings.NewReader(text)); ; {
		switch z.Next() {
		case html.ErrorToken:
			if len(depth) > 0 {
				t.Errorf("left open: %v", depth)
			}
			return
		case html.CommentToken, html.DoctypeToken:
			t.Errorf("%s", z.Raw())
		case html.EndTagToken:
			name, _ := z.TagName()
			if len(depth) == 0 || depth[len(depth)-1] != string(name) {
				t.Fatalf("</%s> closes %v", name, depth)
			}
			depth = depth[:len(depth)-1]
		case html.StartTagToken, html.SelfClosingTagToken:
			token := z.Token()
			if !void(token.Data) {
				depth = append(depth, token.Data)
			}
			if len(depth) > 4*maxNested {
				t.Fatal("nested too deeply")
			}
			harmless(t, token)
		}
	}
}

func harmless(t *testing.T, token html.Token) {
	t.Helper()
	allowed := strings.Fields("a b blockquote br caption code dd del details div dl dt em h2 h3 h4 h5 h6 hr i img ins kbd li mark ol p pre s samp small span strong sub summary sup table tbody td tfoot th thead tr u ul var")
	if !slices.Contains(allowed, token.Data) {
		t.Errorf("element %s", token)
	}
	for _, a := range token.Attr {
		fine := slices.Contains(strings.Fields("id class title align colspan rowspan start open href src alt width height rel loading tabindex role aria-label"), a.Key)
		switch a.Key {
		case "id":
			fine = strings.HasPrefix(a.Val, IDPrefix)
		case "src":
			fine = strings.HasPrefix(a.Val, "/files/docs/")
		case "href":
			fine = slices.ContainsFunc([]string{"http://", "https://", "mailto:", "#" + IDPrefix, "/files/docs/"}, func(p string) bool { return strings.HasPrefix(strings.ToLower(a.Val), p) })
		case "class":
			fine = slices.Contains(strings.Fields("wide picture c k s t n"), a.Val)
		}
		if !fine {
			t.Errorf("attribute %s=%q of %s", a.Key, a.Val, token)
		}
	}
}

func FuzzRender(f *testing.F) {
	for _, text := range monsters {
		f.Add(text[:min(200, len(text))])
	}
	f.Add("<a href=\"JAVASCRIPT:x\" name=y><img src='docs/../../x.png'><table><td></table></td><th>")
	f.Add("[a](<docs/x y> 'title') <p title='\"><script>'>")
	r := New()
	f.Fuzz(func(t *testing.T, text string) { check(t, string(r.Render([]byte(text), files).HTML)) })
}

func BenchmarkRender(b *testing.B) {
	var text strings.Builder
	for i := range 300 {
		fmt.Fprintf(&text, "## Part %d\n\n| name | default | about |\n|---|---|---|\n", i)
		for j := range 5 {
			fmt.Fprintf(&text, "| `some.value%d.name` | `\"\"` | What **it** is, see [there](#part-%d) |\n", j, i)
		}
	}
	r := New()
	b.SetBytes(int64(text.Len()))
	for b.Loop() {
		r.Render([]byte(text.String()), files)
	}
}
