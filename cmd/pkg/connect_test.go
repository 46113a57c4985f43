package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestWhichCluster goes through what chooses a cluster, strongest first.
func TestWhichCluster(t *testing.T) {
	dir := t.TempDir()
	config := filepath.Join(dir, "config")
	text := `{apiVersion: v1, kind: Config, current-context: one, clusters: [{name: c, cluster: {server: "https://c"}}],
users: [{name: u, user: {}}], contexts: [{name: one, context: {cluster: c, user: u}}, {name: two, context: {cluster: c, user: u}}]}`
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"KUBECONFIG": config, "PKG_HOME": filepath.Join(dir, "home")}
	var out, talk bytes.Buffer
	a := &app{Out: &out, Err: &talk, Env: func(k string) string { return env[k] }, ConfigDir: filepath.Join(dir, "pkg")}
	use := func(args ...string) string {
		t.Helper()
		out.Reset()
		talk.Reset()
		a.global = globalFlags{}
		if code := a.main(t.Context(), append([]string{"use"}, args...)); code != 0 {
			return talk.String()
		}
		return strings.TrimSpace(out.String())
	}
	for _, x := range []struct{ args, want string }{
		{"", "kubeconfig " + config + " ($KUBECONFIG)"},
		{"two", ""},
		{"", "context two of " + config + " (pkg use)"},
		{"--kube-context one", "context one of " + config + " (--kube-context)"},
		{"--kubeconfig /other", "kubeconfig /other (--kubeconfig)"},
		{"--kube-apiserver https://x", "https://x (--kube-apiserver)"},
		{"three", "Error: kubeconfig " + config + ` has no context "three"`},
		{"--local", ""},
	} {
		if got := use(strings.Fields(x.args)...); !strings.HasPrefix(got, x.want) || x.want == "" && got != "" {
			t.Errorf("pkg use %s: %q, want %q", x.args, got, x.want)
		}
	}
	delete(env, "KUBECONFIG")
	if got, want := use(), "this machine's cluster in "+env["PKG_HOME"]; !strings.HasPrefix(got, want) {
		t.Errorf("with nothing chosen: %q", got)
	}
	if code := a.main(t.Context(), []string{"list"}); code != 1 || !strings.Contains(talk.String(), "pkg cluster start") {
		t.Errorf("list without a cluster: code %d, %s", code, talk.String())
	}
}

func TestKubectlArguments(t *testing.T) {
	for _, x := range []struct {
		args    string
		chooses bool
	}{
		{"get pods", false}, {"get pods --context=a", true}, {"--kubeconfig f get pods", true},
		{"exec p -- env -s", false}, {"-s https://x get pods", true},
	} {
		if got := choosesCluster(strings.Fields(x.args)); got != x.chooses {
			t.Errorf("kubectl %s: %t", x.args, got)
		}
	}
}
