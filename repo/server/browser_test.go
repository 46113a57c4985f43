package server_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed38700745/pkg/chart"
	"github.com/seed38700745/pkg/charts"
	"github.com/seed38700745/pkg/repo/server"
	"github.com/seed38700745/pkg/repo/server/browser"
)

// axeScript is where `make tools` puts axe-core.
const axeScript = "../../bin/page/node_modules/axe-core/axe.min.js"

// lacks skips a test for want of something that `make test` installs.
func lacks(t *testing.T, reason string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(reason)
	}
	t.Skip(reason)
}

func startBrowser(t *testing.T) *browser.Browser {
	t.Helper()
	if _, err := exec.LookPath(browser.Program); err != nil {
		lacks(t, browser.Program+" is not installed")
	}
	b, err := browser.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

func newTab(t *testing.T, b *browser.Browser, l browser.Look) *browser.Tab {
	t.Helper()
	tab, err := b.NewTab(l)
	if err != nil {
		t.Fatal(err)
	}
	return tab
}

// looks are the two widths, in both colour schemes, and one without script.
var looks = []browser.Look{
	{Width: 1280, Height: 900}, {Width: 1280, Height: 900, Dark: true}, {Width: 390, Height: 844}, {Width: 390, Height: 844, Dark: true},
	{Width: 390, Height: 844, NoScript: true},
}

func lookName(l browser.Look) string {
	scheme := "light"
	if l.Dark {
		scheme = "dark"
	}
	if l.NoScript {
		scheme += "-noscript"
	}
	return fmt.Sprintf("%d-%s", l.Width, scheme)
}

// packBundled packs a bundled chart, under another version if that is not "".
func packBundled(t testing.TB, name, version string, edit func(f *chart.File)) []byte {
	t.Helper()
	files, err := charts.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	c, err := chart.LoadFS(files)
	if err != nil {
		t.Fatal(err)
	}
	if version != "" {
		c.Metadata.Version = version
	}
	if edit != nil {
		for _, f := range slices.Concat(c.Raw, c.Templates) {
			edit(f)
		}
	}
	var out bytes.Buffer
	if err := chart.Save(&out, c, time.Unix(1e9, 0)); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// exhibition is a server with charts for every kind of page.
func exhibition(t *testing.T) string {
	t.Helper()
	c := server.Config{Data: t.TempDir()}
	open(&c)
	if err := os.Mkdir(filepath.Join(c.Data, "empty"), 0o755); err != nil {
		t.Fatal(err)
	}
	base, _ := start(t, c)
	push(t, base, packBundled(t, "mysql", "", nil))
	push(t, base, packBundled(t, "mysql", "0.9.0", func(f *chart.File) {
		if f.Name != "values.yaml" && f.Name != "templates/service.yaml" {
			return
		}
		f.Data = bytes.ReplaceAll(f.Data, []byte("3306"), []byte("3307"))
		f.Data = bytes.ReplaceAll(f.Data, []byte("architecture: standalone"), []byte("architecture: replication"))
	}))
	push(t, base, packBundled(t, "wordpress", "", nil))
	for i := range 32 {
		push(t, base, pack(t, fmt.Sprintf("small-%02d", i), "1.0.0", nil))
	}
	push(t, base, pack(t, "old", "1.0.0-rc.1", map[string]string{
		"Chart.yaml": "apiVersion: v2\nname: old\nversion: 1.0.0-rc.1\ndeprecated: true\nkeywords: [one, two]\n",
	}))
	push(t, base, pack(t, "hostile", "1.0.0", map[string]string{"README.md": hostile("http://127.0.0.1:9")}))
	return base
}

// kinds are the pages of an exhibition, one of each kind at least.
var kinds = []struct {
	name, path string
	status     int // 0 is 200
}{
	{"start", "/", 0}, {"second", "/?page=2", 0}, {"search", "/?q=database", 0}, {"nothing", "/?q=nothing+fits", 0},
	{"chart", "/-/mysql", 0}, {"older", "/-/mysql/0.9.0", 0}, {"deprecated", "/-/old", 0}, {"hostile", "/-/hostile", 0},
	{"values", "/-/mysql/1.1.0/values", 0}, {"found", "/-/mysql/1.1.0/values?find=password", 0},
	{"values-file", "/-/mysql/1.1.0/values?view=file", 0}, {"schema", "/-/mysql/1.1.0/values?view=schema", 0},
	{"templates", "/-/mysql/1.1.0/templates", 0}, {"dependencies", "/-/wordpress/1.0.0/dependencies", 0},
	{"images", "/-/mysql/1.1.0/images", 0}, {"versions", "/-/mysql/1.1.0/versions", 0}, {"diff", "/-/mysql/1.1.0/diff", 0},
	{"diff-side", "/-/mysql/1.1.0/diff?view=side", 0}, {"missing", "/-/no-such-chart", 404},
	{"empty", "/empty/", 0}, {"no-readme", "/-/small-01", 0}, {"no-images", "/-/small-01/1.0.0/images", 0}, {"only-version", "/-/small-01/1.0.0/diff", 0},
}

// Every kind of page, at two widths and in both colour schemes: nothing sticks out,
// no script fails, nothing is asked of others, and axe-core finds nothing wrong.
// With PKG_SCREENSHOTS=DIR pictures are left there.
func TestBrowserPages(t *testing.T) {
	b := startBrowser(t)
	axe, err := os.ReadFile(axeScript)
	if err != nil {
		lacks(t, "axe-core is not there (make tools fetches it): "+err.Error())
	}
	base := exhibition(t)
	eventually(t, base+"/-/mysql/1.1.0/images", "docker.io")
	eventually(t, base+"/-/small-01/1.0.0/images", "No images")
	for i, l := range looks {
		t.Run(lookName(l), func(t *testing.T) {
			tab := newTab(t, b, l)
			for _, k := range kinds {
				if err := tab.Open(base + k.path); err != nil {
					t.Fatalf("%s: %v", k.name, err)
				}
				if dir := os.Getenv("PKG_SCREENSHOTS"); dir != "" {
					if err := tab.Screenshot(filepath.Join(dir, k.name+"-"+lookName(l)+".png"), false); err != nil {
						t.Error(err)
					}
				}
				var over int
				if err := tab.Run("document.documentElement.scrollWidth - innerWidth", &over); err != nil || over > 0 {
					t.Errorf("%s is %d pixels too wide (%v)", k.name, over, err)
				}
				seen := tab.Seen()
				for _, r := range seen.Requests {
					if !strings.HasPrefix(r, base+"/") {
						t.Errorf("%s asks for %s", k.name, r)
					}
				}
				if len(seen.Problems) > 0 && k.status == 0 {
					t.Errorf("%s: %v", k.name, seen.Problems)
				}
				if i%3 != 0 {
					continue // axe takes long: each width and each scheme once
				}
				for _, v := range violations(t, tab, axe) {
					t.Errorf("%s: %s", k.name, v)
				}
			}
			if err := tab.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// violations are what axe-core has against a page.
func violations(t *testing.T, tab *browser.Tab, axe []byte) []string {
	t.Helper()
	if err := tab.Run(string(axe)+"; 0", nil); err != nil {
		t.Fatal(err)
	}
	var out []string
	err := tab.Run(`axe.run({resultTypes: ["violations"]}).then(r => r.violations.flatMap(v => v.nodes.map(n => v.id + ": " + v.help + ": " + n.html.slice(0, 200) + " " + n.failureSummary)))`, &out)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// One walks through the pages as people do: search, open, compare, copy.
func TestBrowserWalk(t *testing.T) {
	b := startBrowser(t)
	base := exhibition(t)
	tab := newTab(t, b, browser.Look{Width: 1280, Height: 900})
	if err := tab.AllowClipboard(base); err != nil {
		t.Fatal(err)
	}
	want := func(script, text string) {
		t.Helper()
		var have string
		if err := tab.Run(script, &have); err != nil || have != text {
			t.Fatalf("%s is %q, want %q (%v)", script, have, text, err)
		}
	}
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	follow := func(selector string) {
		t.Helper()
		do(tab.Follow(func() error { return tab.Click(selector) }))
	}
	do(tab.Open(base + "/"))
	do(tab.Click("#q"))
	do(tab.Follow(func() error { return tab.Type("mysql\n") }))
	want("location.search", "?q=mysql")
	want("document.querySelector('.charts h2 a').textContent", "mysql")
	follow(".charts h2 a")
	want("document.querySelector('h1').textContent", "mysql 1.1.0")

	do(tab.Click(".install .copybutton"))
	command := "pkg install mysql mysql \\\n  --repo " + base + " \\\n  --version 1.1.0"
	do(tab.Run(`new Promise((done, fail) => { const end = Date.now() + 10000; const look = () =>
		document.querySelector(".install .copybutton").textContent == "Copied" ? done() :
		Date.now() > end ? fail(new Error("nothing was copied")) : setTimeout(look, 10); look(); })`, nil))
	want("navigator.clipboard.readText()", command)

	follow(".tabs a[href$='/diff']")
	want("document.querySelector('tr.remove .text b').textContent", "replication")
	want("document.querySelector('tr.add .text b').textContent", "standalone")
	want("String(document.querySelectorAll('details.fold').length > 0)", "true")
	do(tab.Click("details.fold > summary"))
	want("String(document.querySelector('details.fold').open)", "true")
	do(tab.Run("document.querySelector('#from').value = '1.1.0'; document.querySelector('#to').value = '0.9.0'", nil))
	follow(".find button")
	want("location.pathname", "/-/mysql/0.9.0/diff")
	want("document.querySelector('tr.add .text b').textContent", "replication")
	follow(".tabs a[href$='/values']")
	do(tab.Click("#find"))
	do(tab.Follow(func() error { return tab.Type("rootPassword\n") }))
	want("document.querySelector('.setting .name code').textContent", "auth.rootPassword")
	do(tab.Close())

	// Without script: the same pages, and the command can be selected.
	tab = newTab(t, b, browser.Look{Width: 1280, Height: 900, NoScript: true})
	do(tab.Open(base + "/-/mysql"))
	want("String(document.querySelectorAll('.copybutton').length)", "0")
	want("document.querySelector('.install code').textContent", command)
	want("getSelection().selectAllChildren(document.querySelector('.install code')) || getSelection().toString()", command)
	do(tab.Click("#q"))
	do(tab.Follow(func() error { return tab.Type("wordpress\n") }))
	follow(".charts h2 a")
	follow(".tabs a[href$='/dependencies']")
	follow("td[data-head='Hosted here'] a")
	want("document.querySelector('h1').textContent", "mysql 1.1.0")
	follow(".tabs a[href$='/diff']")
	do(tab.Click("details.fold > summary"))
	want("String(document.querySelector('details.fold').open)", "true")
	do(tab.Run("document.querySelector('#to').value = '0.9.0'", nil))
	follow(".find button")
	want("location.pathname", "/-/mysql/0.9.0/diff")
	do(tab.Close())
}

// hostile is a README that tries to do something. What succeeds calls an address
// below elsewhere, opens a dialog, or sets the title.
func hostile(elsewhere string) string {
	act := "fetch('" + elsewhere + "/script');alert(1);document.title='owned'"
	return "# Hostile\n" + strings.ReplaceAll(strings.ReplaceAll(`
<script>ACT</script><script src="URL/src.js"></script>
<img src=x onerror="ACT"><img src="URL/pixel.png"><img srcset="URL/set.png 1x"><body onload="ACT">
![tracker](URL/tracker.png) [click](javascript:ACT) <a href="javascript:ACT" id="js">js</a> <a href="JaVaScRiPt&colon;ACT">js</a>
<a href="data:text/html,<script>ACT</script>">data</a> <a href="vbscript:ACT">vb</a> <a onclick="ACT" href="#x">on</a>
<iframe src="URL/frame"></iframe><iframe srcdoc="<script>ACT</script>"></iframe><object data="URL/object"></object><embed src="URL/embed">
<svg onload="ACT"><script>ACT</script><animate onbegin="ACT" attributeName=x dur=1s></svg><math><mtext><img src=x onerror="ACT"></mtext></math>
<style>body{display:none;background:url(URL/css)}@import "URL/import.css";</style><link rel=stylesheet href="URL/link.css">
<div style="position:fixed;inset:0;background:url(URL/style.png)">over everything</div>
<meta http-equiv=refresh content="0;url=URL/refresh"><base href="URL/"><form action="URL/form"><input autofocus onfocus="ACT"><button formaction="URL/b">b</button></form>
<video src="URL/video" onerror="ACT" autoplay></video><audio src="URL/audio"></audio><picture><source srcset="URL/picture"></picture>
<details open ontoggle="ACT"><summary>more</summary>text</details><input type="image" src="URL/input.png"><table background="URL/table.png"><td>cell
<!-- <img src=x onerror="ACT"> --><!--><script>ACT</script>--> <noscript><p title="</noscript><img src=x onerror=ACT>"></noscript>
<textarea></textarea><script>ACT</script></textarea><title></title><img src=x onerror="ACT"><xmp><img src=x onerror="ACT"></xmp>
</div></div></article></main></body></html><h1>outside</h1><template><script>ACT</script></template>
<a name="location" id="q"></a><form id="defaultView"></form><img name="querySelector"><p id="main">clobber</p>
`+"```yaml\n</code></pre><script>ACT</script>: \"<img src=x onerror=ACT>\"\n```\n", "ACT", act), "URL", elsewhere) +
		"\n\n" + strings.Repeat("<div>", 5000) + strings.Repeat(">", 3000) + " deep\n\n" + strings.Repeat("* ", 3000) + "\n\n" + strings.Repeat("[", 5000) + "\n"
}

// A README of a stranger does nothing.
func TestBrowserHostileReadme(t *testing.T) {
	b := startBrowser(t)
	var asked atomic.Int64
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		t.Errorf("asked for %s", r.URL)
	}))
	defer elsewhere.Close()
	c := server.Config{}
	open(&c)
	base, _ := start(t, c)
	push(t, base, pack(t, "hostile", "1.0.0", map[string]string{"README.md": hostile(elsewhere.URL),
		"values.yaml": "# </script><script>alert(1)</script>\na: \"<img src=x onerror=alert(1)>\"\n", "templates/<img src=x onerror=alert(1)>.yaml": "{{/* </code><script>alert(1)</script> */}}\n",
		"pic.svg":    `<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"><script>alert(1)</script><image href="` + elsewhere.URL + `/svg"/></svg>`,
		"evil.html":  "<script>alert(1)</script>",
		"Chart.yaml": "apiVersion: v2\nname: hostile\nversion: 1.0.0\ndescription: <script>alert(1)</script>\nhome: javascript:alert(1)\nicon: " + elsewhere.URL + "/icon.png\nsources: [\"javascript:alert(1)\"]\nkeywords: [\"<b onclick=alert(1)>\"]\nmaintainers: [{name: <i>, url: \"javascript:alert(1)\"}]\n"}))
	for _, l := range []browser.Look{{Width: 1280, Height: 900}, {Width: 390, Height: 844, Dark: true}} {
		tab := newTab(t, b, l)
		for _, path := range []string{"/", "/-/hostile", "/-/hostile/1.0.0/values", "/-/hostile/1.0.0/values?view=file", "/-/hostile/1.0.0/templates",
			"/-/hostile/1.0.0/files/pic.svg", "/-/hostile/1.0.0/files/evil.html"} {
			if err := tab.Open(base + path); err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			// A chart's own file may try, as it is shown as it is: the policy refuses.
			file := strings.Contains(path, "/files/")
			if !file { // what the page would do late, it has done then
				if err := tab.Run(`new Promise(done => setTimeout(done, 100))`, nil); err != nil {
					t.Fatal(err)
				}
			}
			seen := tab.Seen()
			if len(seen.Dialogs) > 0 {
				t.Errorf("%s: dialogs %v", path, seen.Dialogs)
			}
			for _, r := range seen.Requests {
				if !file && r != base+path && !strings.HasPrefix(r, base+"/static/") && r != base+"/favicon.ico" {
					t.Errorf("%s: asked for %s", path, r)
				}
			}
			if len(seen.Problems) > 0 && !file { // a refusal by the policy would be one: nothing even tries
				t.Errorf("%s: %v", path, seen.Problems)
			}
			var state struct {
				Title string
				Acts  []string
				Main  bool
			}
			if err := tab.Run(`({Title: document.title, Acts: [...document.querySelectorAll("*")].flatMap(e => [...e.attributes].filter(a =>
				a.name.startsWith("on") || a.name == "style" || /^\s*(javascript|data|vbscript):/i.test(a.value)).map(a => e.outerHTML.slice(0, 80)))
				.concat([...document.querySelectorAll("main script, iframe, object, embed, main svg, style, base, main form:not(.find):not([role]), video, main link")].map(e => e.outerHTML.slice(0, 80))),
				Main: !document.querySelector("main") || document.querySelector("footer").parentElement == document.body})`, &state); err != nil {
				t.Fatal(err)
			}
			if strings.Contains(state.Title, "owned") || !state.Main {
				t.Errorf("%s: the page is %+v", path, state)
			}
			if len(state.Acts) > 0 && !file {
				acts, _ := json.Marshal(state.Acts) // strings
				t.Errorf("%s has %s", path, acts)
			}
		}
		if err := tab.Close(); err != nil {
			t.Error(err)
		}
	}
}
