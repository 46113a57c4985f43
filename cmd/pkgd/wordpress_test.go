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

// useWordPress: an author posts a text and a file over HTTP; visitors see them, the
// text out of the database, also from another pod later.
func useWordPress(r *stableRelease) {
	site := "http://" + r.address
	if page := visit(r.t, site+"/"); !strings.Contains(page, "<title>Notes of a test</title>") {
		r.t.Errorf("the first page:\n%.2000s", page)
	}
	password := r.secret("wordpress-password")
	call := func(method, content string) string {
		return post(r.t, site+"/xmlrpc.php", fmt.Sprintf(`<methodCall><methodName>%s</methodName><params><param><value><int>1</int></value></param>
<param><value>ann</value></param><param><value>%s</value></param><param><value><struct>%s</struct></value></param></params></methodCall>`, method, password, content))
	}
	call("wp.newPost", member("post_title", "A day in the mountains")+member("post_content", "We saw an ibex.")+member("post_status", "publish"))
	answer := call("wp.uploadFile", member("name", "ibex.txt")+member("type", "text/plain")+
		"<member><name>bits</name><value><base64>"+base64.StdEncoding.EncodeToString([]byte("a drawing of an ibex"))+"</base64></value></member>")
	_, file, _ := strings.Cut(answer, "<name>url</name><value><string>"+site)
	file, _, _ = strings.Cut(file, "<")

	seen := func() {
		r.t.Helper()
		if page := visit(r.t, site+"/?s=mountains"); !strings.Contains(page, "A day in the mountains") || !strings.Contains(page, "We saw an ibex.") {
			r.t.Errorf("the post is not on its page:\n%.4000s", page)
		}
		if got := visit(r.t, site+file); got != "a drawing of an ibex" {
			r.t.Errorf("the file %q: %q", file, got)
		}
	}
	seen()
	var posts int
	if err := r.podDatabase("wordpress-mysql-0").QueryRow("SELECT COUNT(*) FROM wordpress.wp_posts WHERE post_title = 'A day in the mountains' AND post_status = 'publish'").Scan(&posts); err != nil || posts != 1 {
		r.t.Errorf("the database has %d posts, %v, want 1", posts, err)
	}

	database := r.kubectl("get", "secret", "wordpress-mysql", "-o", "jsonpath={.data}")
	password = "of-our-own"
	r.pkg("upgrade", r.name, "stable/wordpress", "--reuse-values", "--set", "wordpressPassword="+password)
	if r.kubectl("get", "secret", "wordpress-mysql", "-o", "jsonpath={.data}") != database {
		r.t.Error("the upgrade has made other passwords for the database")
	}
	seen()
	call("wp.newPost", member("post_title", "Another day"))
	if log := r.kubectl("logs", "deployment/wordpress", "-c", "install"); strings.Contains(log, "copying") || !strings.Contains(log, "the site is installed") {
		r.t.Errorf("the site was installed anew:\n%s", log)
	}
}

// member is a text field of an XML-RPC struct.
func member(name, text string) string {
	return "<member><name>" + name + "</name><value>" + text + "</value></member>"
}

var visitor = &http.Client{Timeout: time.Minute}

// visit returns a page.
func visit(t testing.TB, url string) string {
	t.Helper()
	res, err := visitor.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	return page(t, res)
}

// post sends an XML-RPC call, which must not fail, and returns the answer.
func post(t testing.TB, url, body string) string {
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

func page(t testing.TB, res *http.Response) string {
	t.Helper()
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v\n%.2000s", res.Request.URL, res.Status, err, body)
	}
	return string(body)
}
