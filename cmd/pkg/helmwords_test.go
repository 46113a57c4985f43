package main

import (
	"strings"
	"testing"
)

// TestHelmsWordsOnReleases compares what the release commands say, called as helm, with
// the real one: of releases that do not exist, and of names in use.
func TestHelmsWordsOnReleases(t *testing.T) {
	c := startTestCluster(t)
	c.mustRun(t, 0, "install", "there", appChart)
	for _, line := range [][]string{
		{"status", "nothing"}, {"history", "nothing"}, {"get", "all", "nothing"}, {"get", "values", "nothing"},
		{"uninstall", "nothing"}, {"rollback", "nothing", "1"}, {"test", "nothing"},
		{"upgrade", "nothing", appChart}, {"install", "there", appChart}, {"install", appChart}, {"status"},
		{"upgrade", "there"},
	} {
		_, _, ours := c.runAs(t, "helm", line...)
		_, theirs, err := c.tryHelm(t, 3, line...)
		if err == nil {
			t.Fatalf("helm %s does not fail", strings.Join(line, " "))
		}
		if got, want := lastError(ours), lastError(theirs); got != want {
			t.Errorf("helm %s:\n%s\nwant\n%s", strings.Join(line, " "), got, want)
		}
	}
}

// lastError is the first line of the error in what a command said.
func lastError(talk string) string {
	_, text, _ := strings.Cut(talk, "Error: ")
	text, _, _ = strings.Cut(text, "\n")
	return text
}
