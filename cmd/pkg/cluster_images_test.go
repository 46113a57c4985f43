package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/seed38700745/pkg/cluster/settings"
)

// TestProxyIsKept: each start, one after the other, with what the environment and
// flags name.
func TestProxyIsKept(t *testing.T) {
	l := &localCluster{home: t.TempDir()}
	env := map[string]string{}
	a := &app{Err: &bytes.Buffer{}, Env: func(name string) string { return env[name] }}
	for _, start := range []struct {
		what    string
		env     map[string]string
		flags   startFlags
		given   []string
		want    settings.Proxy
		known   bool
		changed bool
	}{
		{"nothing is named", nil, startFlags{}, nil, settings.Proxy{}, false, false},
		{"the environment", map[string]string{"https_proxy": "http://p:1", "NO_PROXY": "a.example"}, startFlags{}, nil,
			settings.Proxy{HTTPS: "http://p:1", Not: "a.example"}, true, true},
		{"a shell without", nil, startFlags{}, nil, settings.Proxy{HTTPS: "http://p:1", Not: "a.example"}, true, false},
		{"one for all", map[string]string{"ALL_PROXY": "socks5://p:2"}, startFlags{}, nil,
			settings.Proxy{HTTP: "socks5://p:2", HTTPS: "socks5://p:2"}, true, true},
		{"a flag", nil, startFlags{httpsProxy: "http://p:3"}, []string{"https-proxy"},
			settings.Proxy{HTTP: "socks5://p:2", HTTPS: "http://p:3"}, true, true},
		{"ended", nil, startFlags{}, []string{"https-proxy", "http-proxy"}, settings.Proxy{}, true, true},
	} {
		env = start.env
		changed, err := l.keepProxy(a, &start.flags, func(name string) bool { return slices.Contains(start.given, name) })
		if err != nil || changed != start.changed {
			t.Errorf("%s: changed %v, %v", start.what, changed, err)
		}
		if got, known, err := settings.LoadProxy(l.home); got != start.want || known != start.known || err != nil {
			t.Errorf("%s: %v, known %v, %v; want %v", start.what, got, known, err, start.want)
		}
	}
	env = map[string]string{"HTTP_PROXY": "gopher://p"}
	if _, err := l.keepProxy(a, &startFlags{}, func(string) bool { return false }); err == nil || !strings.Contains(err.Error(), "gopher") {
		t.Errorf("no proxy: %v", err)
	}
}

func TestReadableRegistriesAreWarnedOf(t *testing.T) {
	l := &localCluster{home: t.TempDir()}
	var said bytes.Buffer
	a := &app{Err: &said}
	path := filepath.Join(l.home, "registries.yaml")
	for _, file := range []struct {
		text string
		mode os.FileMode
		want string
	}{
		{"configs: {a.example: {auth: {username: u, password: p}}}", 0o600, ""},
		{"mirrors: {docker.io: {endpoint: ['https://m.example']}}", 0o644, ""},
		{"configs: {a.example: {auth: {username: u, password: p}}}", 0o644, "chmod 600 " + path},
	} {
		if err := os.WriteFile(path, []byte(file.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, file.mode); err != nil {
			t.Fatal(err)
		}
		said.Reset()
		if err := l.checkRegistries(a); err != nil {
			t.Error(err)
		}
		if got := said.String(); (got == "") != (file.want == "") || !strings.Contains(got, file.want) {
			t.Errorf("%s, %v: %q", file.text, file.mode, got)
		}
	}
}
