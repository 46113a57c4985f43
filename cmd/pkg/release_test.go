package main

import (
	"strings"
	"testing"
)

func wantIn(t testing.TB, what, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("%s lacks %q:\n%s", what, p, text)
		}
	}
}

// TestLife follows a release from its install to its end, as the demo does.
func TestLife(t *testing.T) {
	c := startTestCluster(t)
	out, talk := c.mustRun(t, 0, "install", "bundled/mysql")
	wantIn(t, "install", out, "NAME: mysql\n", "STATUS: deployed", "REVISION: 1", "NOTES:", "ADDRESSES:", "mysql.default.svc:3306", "pkg upgrade mysql")
	wantIn(t, "install's talk", talk, "cluster: context test of", "chosen by $KUBECONFIG"[10:], "created StatefulSet/mysql")
}
