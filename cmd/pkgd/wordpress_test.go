package main

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// A site and its database, by a chart that depends on another: its author posts a
// text and a file over HTTP, its visitors see them, also from another pod later.
func TestInstallWordPress(t *testing.T) {
	m := newMachine(t)
	r := m.try("pkg", "install", "blog", "stable/wordpress", "--set", "wordpressBlogName=Notes of a test,wordpressUsername=ann")
	if r.code != 0 {
		t.Fatalf("install: exit code %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	t.Logf("installed in %s", r.took.Round(time.Millisecond))
	m.pkg("test", "blog")
	site := "http://" + m.kubectl("get", "service", "blog-wordpress", "-o", "jsonpath={.spec.clusterIP}")
	if page := visit(t, site+"/"); !strings.Contains(page, "<title>Notes of a test</title>") {
		t.Errorf("the first page:\n%.2000s", page)
	}

	password, err := base64.StdEncoding.DecodeString(m.kubectl("get", "secret", "blog-wordpress", "-o", "jsonpath={.data.wordpress-password}"))
	if err != nil {
		t.Fatal(err)
	}
	call := func(method, content string) string {
		return post(t, site+"/xmlrpc.php", fmt.Sprintf(`<methodCall><methodName>%s</methodName><params><param><value><int>1</int></value></param>
<param><value>ann</value></param><param><value>%s</value></param><param><value><struct>%s</struct></value></param></params></methodCall>`, method, password, content))
	}
	call("wp.newPost", member("post_title", "A day in the mountains")+member("post_content", "We saw an ibex.")+member("post_status", "publish"))
	answer := call("wp.uploadFile", member("name", "ibex.txt")+member("type", "text/plain")+
		"<member><name>bits</name><value><base64>"+base64.StdEncoding.EncodeToString([]byte("a drawing of an ibex"))+"</base64></value></member>")
	_, file, _ := strings.Cut(answer, "<name>url</name><value><string>"+site)
	file, _, _ = strings.Cut(file, "<")

	seen := func() {
		t.Helper()
		if page := visit(t, site+"/?s=mountains"); !strings.Contains(page, "A day in the mountains") || !strings.Contains(page, "We saw an ibex.") {
			t.Errorf("the post is not on its page:\n%.4000s", page)
		}
		if got := visit(t, site+file); got != "a drawing of an ibex" {
			t.Errorf("the file %q: %q", file, got)
		}
	}
	seen()
	var posts int
	if err := m.podDatabase("blog-mysql-0").QueryRow("SELECT COUNT(*) FROM wordpress.wp_posts WHERE post_title = 'A day in the mountains' AND post_status = 'publish'").Scan(&posts); err != nil || posts != 1 {
		t.Errorf("the database has %d posts, %v, want 1", posts, err)
	}

	secret := m.kubectl("get", "secret", "blog-wordpress", "-o", "jsonpath={.data}")
	m.pkg("upgrade", "blog", "--reuse-values", "--set", "php.memoryLimit=200M")
	if m.kubectl("get", "secret", "blog-wordpress", "-o", "jsonpath={.data}") != secret {
		t.Error("the upgrade has made other secrets")
	}
	seen()
	if log := m.kubectl("logs", "deployment/blog-wordpress", "-c", "install"); strings.Contains(log, "copying") || !strings.Contains(log, "the site is installed") {
		t.Errorf("the site was installed anew:\n%s", log)
	}
}

// member is a text field of an XML-RPC struct.
func member(name, text string) string {
	return "<member><name>" + name + "</name><value>" + text + "</value></member>"
}

var visitor = &http.Client{Timeout: time.Minute}

// visit returns a page.
func visit(t *testing.T, url string) string {
	t.Helper()
	res, err := visitor.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	return page(t, res)
}

// post sends an XML-RPC call, which must not fail, and returns the answer.
func post(t *testing.T, url, body string) string {
	t.Helper()
	res, err := visitor.Post(url, "text/xml", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	answer := page(t, res)
	if strings.Contains(answer, "<fault>") {
		t.Fatalf("the call failed:\n%s", answer)
	}
	return answer
}

func page(t *testing.T, res *http.Response) string {
	t.Helper()
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v\n%.2000s", res.Request.URL, res.Status, err, body)
	}
	return string(body)
}
