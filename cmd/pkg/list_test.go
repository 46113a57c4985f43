package main

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/object/builtin"
)

// fillReleases stores copies of the record of release "app": releases of that many
// revisions each, the last one deployed.
func (c *testCluster) fillReleases(t testing.TB, releases, revisions int) {
	t.Helper()
	model, err := builtin.Secrets.Get(t.Context(), c.verbs, "default", "sh.helm.release.v1.app.v1")
	if err != nil {
		t.Fatal(err)
	}
	g, ctx := errgroup.WithContext(t.Context())
	g.SetLimit(64)
	for n := range releases {
		for revision := 1; revision <= revisions; revision++ {
			g.Go(func() error {
				s := model.DeepCopy()
				s.ResourceVersion, s.UID = "", ""
				name := fmt.Sprintf("app-%04d", n)
				s.Name = fmt.Sprintf("sh.helm.release.v1.%s.v%d", name, revision)
				s.Labels["name"], s.Labels["version"], s.Labels["status"] = name, strconv.Itoa(revision), "superseded"
				if revision == revisions {
					s.Labels["status"] = "deployed"
				}
				_, err := builtin.Secrets.Create(ctx, c.verbs, s, object.WriteOptions{FieldManager: "pkg"})
				return err
			})
		}
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
}

func TestListMany(t *testing.T) {
	c := startTestCluster(t)
	c.mustRun(t, 0, "install", appChart)
	c.fillReleases(t, 30, 3)
	out, _ := c.mustRun(t, 0, "list", "--max", "0")
	wantIn(t, "list", out, "app-0029\tdefault  \t3       \t", "\tdeployed\tapp-")
	if n := strings.Count(out, "\n"); n != 32 {
		t.Errorf("%d lines:\n%s", n, out)
	}
	out, _ = c.mustRun(t, 0, "list", "--superseded", "-q", "--max", "0")
	if n := strings.Count(out, "\n"); n != 60 {
		t.Errorf("%d superseded revisions:\n%s", n, out)
	}
}

// BenchmarkList lists 1,000 releases of 10 revisions each, over HTTPS.
func BenchmarkList(b *testing.B) {
	c := startTestCluster(b)
	if code, _, talk := c.run(b, "install", appChart); code != 0 {
		b.Fatal(talk)
	}
	c.fillReleases(b, 1000, 10)
	for b.Loop() {
		if code, out, talk := c.run(b, "list", "--max", "0", "-q"); code != 0 || strings.Count(out, "\n") != 1001 {
			b.Fatalf("%d lines, %s", strings.Count(out, "\n"), talk)
		}
	}
}
