package server_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/seed38700745/pkg/repo/server"
)

// browse asks for a page as a browser does.
func browse(t testing.TB, url string, headers ...string) (*http.Response, string) {
	t.Helper()
	return ask(t, "GET", url, nil, append(headers, "Accept", "text/html,*/*")...)
}

// eventually asks for a page until it has a text: what takes long is made meanwhile.
func eventually(t testing.TB, url, want string) string {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; {
		_, body := browse(t, url)
		if strings.Contains(body, want) {
			return body
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s never has %q:\n%s", url, want, body)
		}
	}
}

func TestPages(t *testing.T) {
	c := server.Config{}
	open(&c)
	base, _ := start(t, c)
	readme := "# Site\n\n## Some *part*\n\n[there](#some-part) [file](docs/a.txt) ![pic](a.png) ![far](https://example.org/b.png)\n\n| a | b |\n|---|---|\n| 1 | 2 |\n"
	deployment := "kind: Deployment\napiVersion: apps/v1\nmetadata: {name: web}\nspec: {template: {spec: {containers: [{name: a, image: \"{{ .Values.image.repository }}:{{ .Values.image.tag }}\"}]}}}\n"
	push(t, base, pack(t, "site", "1.0.0", map[string]string{"README.md": readme, "templates/web.yaml": deployment, "docs/a.txt": "some text", "a.png": "\x89PNG\r\n\x1a\n"}))
	push(t, base, pack(t, "site", "1.1.0", map[string]string{"README.md": readme, "values.yaml": "replicas: 2 # <b>\n", "templates/web.yaml": "{{ fail \"no\" }}",
		"Chart.yaml": "apiVersion: v2\nname: site\nversion: 1.1.0\ndescription: about site\ndependencies: [{name: data, version: 1.x, repository: \"file://../data\", condition: data.enabled}]\n"}))
	push(t, base, pack(t, "data", "1.2.3", map[string]string{"values.schema.json": `{"properties":{"replicas":{"description":"from the schema","minimum":1},"unset":{"type":"string"}}}`,
		"values.yaml": "replicas: 1\n"}))
	push(t, base, pack(t, "oldest", "1.0.0", map[string]string{"Chart.yaml": "apiVersion: v1\nname: oldest\nversion: 1.0.0\n", "requirements.yaml": "dependencies: [{name: first, version: \"1\", repository: \"https://e.org\"}]\n"}))
	pages := []struct {
		path   string
		status int
		want   []string
	}{
		{"/", 200, []string{"site", "about site", "1.1.0", "3 charts"}},
		{"/?q=SIT", 200, []string{"site", "1 chart"}},
		{"/?q=nothing<script>", 200, []string{"Nothing fits", "nothing&lt;script&gt;"}},
		{"/-/site", 200, []string{`<h3 id="readme-some-part">Some <em>part</em>`, `href="#readme-some-part"`, "oci://", "--version 1.1.0", "pkg install site site", "<table>"}},
		{"/-/site/1.0.0", 200, []string{"/-/site/1.0.0/files/docs/a.txt", `<img src="/-/site/1.0.0/files/a.png"`, `<a href="https://example.org/b.png"`, "There is a newer version"}},
		{"/-/site/1.0.0/files/docs/a.txt", 200, []string{"some text"}},
		{"/-/site/1.0.0/values", 200, []string{"how many", `<span class="quiet"></span><wbr>replicas`, `<span class="quiet">image.</span><wbr>repository`, "integer"}},
		{"/-/site/1.0.0/values?view=file", 200, []string{`<span class="c"># how many</span>`}},
		{"/-/site/1.0.0/values?find=repos", 200, []string{"1 setting", "repository"}},
		{"/-/data/1.2.3/values", 200, []string{"from the schema", "at least 1", "not set"}},
		{"/-/site/1.0.0/templates", 200, []string{"templates/some.yaml", "ConfigMap"}},
		{"/-/site/1.0.0/templates/templates/web.yaml", 200, []string{"templates/web.yaml", `<span class="t">{{ .Values.image.repository }}</span>`}},
		{"/-/site/1.1.0/dependencies", 200, []string{`href="/-/data/1.2.3"`, "data.enabled"}},
		{"/-/oldest/1.0.0/dependencies", 200, []string{"first"}},
		{"/-/site/1.0.0/dependencies", 200, []string{"No dependencies"}},
		{"/-/site/1.0.0/versions", 200, []string{"1.1.0", "?from=1.1.0", "Latest"}},
		{"/-/site/1.1.0/diff?from=1.0.0", 200, []string{"replicas: 2 # &lt;b&gt;", "values.yaml", "templates/web.yaml", `<td class="no">1</td>`}},
		{"/-/site/1.1.0/diff?from=1.0.0&view=side", 200, []string{"replicas: 2 # &lt;b&gt;", "diff side"}},
		{"/-/site/1.1.0/diff?from=1.0.0&file=values.yaml", 200, []string{"Only values.yaml"}},
		{"/-/site/1.0.0/diff", 200, []string{"oldest version"}},
		{"/-/data/1.2.3/diff", 200, []string{"only version"}},
		{"/-/site/1.0.0/diff?to=1.1.0&from=1.0.0", 200, []string{"1.0.0 <span aria-label=\"to\">→</span> 1.1.0"}},
		{"/-/site/1.0.0/nothing", 404, []string{"There is nothing here"}},
		{"/-/site/1.0.0/files/nothing", 404, []string{"There is nothing here"}},
		{"/-/site/1.0.0/templates/nothing", 404, []string{"There is nothing here"}},
		{"/-/site/1.1.0/diff?from=7.0.0", 404, []string{"There is nothing here"}},
		{"/-/site/9.0.0", 404, []string{"There is nothing here"}},
		{"/no/tenant/", 404, []string{"There is nothing here"}},
		{"/static/style.css", 200, []string{"prefers-color-scheme"}},
	}
	for _, p := range pages {
		w, body := browse(t, base+p.path)
		if w.StatusCode != p.status {
			t.Errorf("%s: %s", p.path, w.Status)
		}
		for _, want := range p.want {
			if !strings.Contains(body, want) {
				t.Errorf("%s lacks %q:\n%s", p.path, want, body)
			}
		}
		h := w.Header
		if csp := h.Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none'; ") || strings.Contains(csp, "http") || strings.Contains(csp, "*") {
			t.Errorf("%s: policy %q", p.path, csp)
		}
		if h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Referrer-Policy") != "no-referrer" || h.Get("X-Frame-Options") != "DENY" {
			t.Errorf("%s: headers %v", p.path, h)
		}
	}
	eventually(t, base+"/-/site/1.0.0/images", "<code>example.org/app:1</code>")
	eventually(t, base+"/-/site/1.0.0/images", "Deployment web")
	eventually(t, base+"/-/site/1.1.0/images", "does not render")
	w, body := ask(t, "GET", base+"/-/nothing", nil)
	wantStatus(t, w, body, http.StatusNotFound)
	if body != `{"error":"not found"}` {
		t.Errorf("a program gets %q", body)
	}
}

// A reader sees the repositories that the rules let him pull from, and no traces of others.
func TestPagesOfOthers(t *testing.T) {
	dir := t.TempDir()
	hash, err := bcrypt.GenerateFromPassword([]byte("secret"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	c := server.Config{}
	c.Access.Htpasswd = write("users", fmt.Sprintf("ann:%s\nbob:%[1]s\n", hash))
	c.Access.Rules = write("rules", "- {who: ann, repository: \"**\", can: [pull, push]}\n- {who: bob, repository: red, can: [pull]}\n- {who: anonymous, repository: open, can: [pull]}\n")
	base, _ := start(t, c)
	as := func(user string) string {
		r, err := http.NewRequest("GET", base, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.SetBasicAuth(user, "secret")
		return r.Header.Get("Authorization")
	}
	for _, tenant := range []string{"red", "blue", "open"} {
		meta := fmt.Sprintf("apiVersion: v2\nname: in-%s\nversion: 1.0.0\ndependencies: [{name: in-blue, version: 1.x, repository: %q}]\n", tenant, base+"/blue")
		w, body := ask(t, "POST", base+"/api/"+tenant+"/charts", pack(t, "in-"+tenant, "1.0.0", map[string]string{"Chart.yaml": meta}), "Authorization", as("ann"))
		wantStatus(t, w, body, http.StatusCreated)
	}
	for _, see := range []struct {
		user, path string
		status     int
		has, lacks string
	}{
		{"", "/", 200, "in-open", "in-red"},
		{"", "/?q=blue", 200, "Nothing fits", "in-blue"},
		{"", "/red/", 401, "Sign in", "in-red"},
		{"", "/?sign-in=1", 401, "Sign in", "in-open"},
		{"", "/open/-/in-open/1.0.0/dependencies", 200, "in-blue", "/blue/-/in-blue"},
		{"bob", "/", 200, "in-red", "in-blue"},
		{"bob", "/red/-/in-red", 200, "bob", "Sign in"},
		{"bob", "/red/-/in-red/1.0.0/dependencies", 200, "in-blue", "/blue/-/in-blue"},
		{"bob", "/blue/-/in-blue", 403, "You may not see this", "1.0.0"},
		{"bob", "/blue/-/in-nothing", 403, "You may not see this", "1.0.0"},
		{"ann", "/red/-/in-red/1.0.0/dependencies", 200, `href="/blue/-/in-blue/1.0.0"`, "Sign in"},
		{"wrong", "/", 401, "Sign in", "in-open"},
	} {
		var headers []string
		if see.user != "" {
			headers = []string{"Authorization", as(see.user)}
		}
		w, body := browse(t, base+see.path, headers...)
		if w.StatusCode != see.status || !strings.Contains(body, see.has) || strings.Contains(body, see.lacks) {
			t.Errorf("%q at %s: %s, want %d with %q and without %q:\n%s", see.user, see.path, w.Status, see.status, see.has, see.lacks, body)
		}
		if challenge := w.Header.Get("WWW-Authenticate"); (see.status == 401) != strings.HasPrefix(challenge, "Basic ") {
			t.Errorf("%q at %s: challenge %q", see.user, see.path, challenge)
		}
	}
}
