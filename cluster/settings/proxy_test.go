package settings

import (
	"os"
	"strings"
	"testing"
)

func TestProxy(t *testing.T) {
	home := t.TempDir()
	if p, known, err := LoadProxy(home); p != (Proxy{}) || known || err != nil {
		t.Errorf("nothing chosen: %v, %v, %v", p, known, err)
	}
	want := Proxy{HTTP: "http://me:secret@proxy:3128", HTTPS: "proxy:3129", Not: "example.com"}
	if err := want.Save(home); err != nil {
		t.Fatal(err)
	}
	got, known, err := LoadProxy(home)
	if got != want || !known || err != nil {
		t.Errorf("loaded %v, %v, %v", got, known, err)
	}
	if info, err := os.Stat(ProxyFile(home)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file: %v, %v", info, err)
	}
	env := got.Environment("10.42.0.0/16", "localhost")
	for name, value := range map[string]string{
		"HTTP_PROXY": want.HTTP, "http_proxy": want.HTTP, "HTTPS_PROXY": want.HTTPS, "ALL_PROXY": "",
		"NO_PROXY": "example.com,10.42.0.0/16,localhost", "no_proxy": "example.com,10.42.0.0/16,localhost",
	} {
		if env[name] != value {
			t.Errorf("%s=%s, want %s", name, env[name], value)
		}
	}
	if (Proxy{}).Environment("localhost")["NO_PROXY"] != "" {
		t.Error("exceptions without a proxy")
	}
	for p, want := range map[Proxy]string{
		{}:   "none",
		want: "http://me:xxxxx@proxy:3128 for http, proxy:3129 for https, not for example.com",
		{HTTP: "http://p:1", HTTPS: "http://p:1"}: "http://p:1",
	} {
		if p.String() != want {
			t.Errorf("%+v is %q, want %q", p, p, want)
		}
	}
	for text, ok := range map[string]bool{"http://p:1": true, "p:1": true, "socks5://p:1": true, "ftp://p": false, "http://": false} {
		if err := (Proxy{HTTPS: text}).Check(); (err == nil) != ok || err != nil && !strings.Contains(err.Error(), "proxy") {
			t.Errorf("%q: %v", text, err)
		}
	}
}
