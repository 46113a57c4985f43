package engine

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed38700745/pkg/chart"
)

// corpusCharts returns the charts of the default cases, whose output is not random, of the corpus that
// $PKG_CORPUS names (a folder with charts/ and cases/).
func corpusCharts(b *testing.B) []string {
	corpus := os.Getenv("PKG_CORPUS")
	if corpus == "" {
		b.Skip("PKG_CORPUS names no corpus of charts")
	}
	cases, err := filepath.Glob(filepath.Join(corpus, "cases", "*__default"))
	if err != nil {
		b.Fatal(err)
	}
	var charts []string
	for _, dir := range cases {
		if _, err := os.Stat(filepath.Join(dir, "expected.yaml")); err != nil {
			continue
		}
		if _, err := os.Stat(filepath.Join(dir, "mask.txt")); err == nil {
			continue
		}
		args, err := os.ReadFile(filepath.Join(dir, "cmd.txt"))
		if err != nil {
			b.Fatal(err)
		}
		charts = append(charts, filepath.Join(corpus, strings.Fields(string(args))[1]))
	}
	return charts
}

// BenchmarkCorpus is what `pkg template` does for every chart of the corpus, once.
func BenchmarkCorpus(b *testing.B) {
	charts := corpusCharts(b)
	b.Run("load", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			for _, dir := range charts {
				if _, err := chart.Load(dir); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
	b.Run("render", func(b *testing.B) {
		var loaded []*chart.Chart
		for _, dir := range charts {
			c, err := chart.Load(dir)
			if err != nil {
				b.Fatal(err)
			}
			loaded = append(loaded, c)
		}
		b.ReportAllocs()
		for b.Loop() {
			for _, c := range loaded {
				_, err := Render(b.Context(), Input{Chart: c, Release: Release{Name: "rel", Namespace: "ns1", Revision: 1, IsInstall: true}})
				if err != nil {
					b.Fatalf("%s: %v", c.Name(), err)
				}
			}
		}
	})
}
