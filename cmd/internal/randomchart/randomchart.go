// Package randomchart makes charts, values and command lines of `helm template` at
// random, to compare what two programs make of them. The same seed gives the same
// case for ever, so a seed is all that a failure has to name.
//
// Everything that decides a rendering is drawn: subcharts (folders and archives,
// declared or not, aliased, conditional, tagged, library charts), import-values,
// globals, nulls, the --set grammar, schemas, hooks, CRDs, .Files, .helmignore, and
// templates made of the whole language and most functions. Most cases render; some
// fail, since errors are compared, too. What Helm itself answers differently from run
// to run (random functions, time) is left out.
package randomchart

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Case is a folder and a command line in it.
type Case struct {
	Seed  uint64
	Files map[string]string // by path; the chart is in "top"
	Args  []string          // after "template"; $DIR stands for the folder's path
}

// New draws the case of a seed.
func New(seed uint64) *Case {
	g := &gen{Rand: rand.New(rand.NewPCG(seed, 1)), files: map[string]string{}}
	// How wild a case is: calm ones test how rules combine, wild ones mostly fail.
	g.wild = []float64{0, 0, 0.002, 0.02}[g.IntN(4)]
	top := g.tree("top", 0)
	g.write("top", top)
	args := g.arguments(top)
	return &Case{Seed: seed, Files: g.files, Args: args}
}

// Write puts the files into a folder and returns the arguments for it.
func (c *Case) Write(dir string) ([]string, error) {
	for name, text := range c.Files {
		file := filepath.Join(dir, name)
		err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(text), 0o644))
		if err != nil {
			return nil, err
		}
	}
	args := make([]string, len(c.Args))
	for i, arg := range c.Args {
		args[i] = strings.ReplaceAll(arg, "$DIR", dir)
	}
	return args, nil
}

// String shows the case as a txtar, the command line first. Archives are left out.
func (c *Case) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d: template %q\n", c.Seed, c.Args)
	for _, name := range slices.Sorted(maps.Keys(c.Files)) {
		text := c.Files[name]
		if strings.HasSuffix(name, ".tgz") {
			text = fmt.Sprintf("(%d bytes)", len(text))
		}
		fmt.Fprintf(&b, "-- %s --\n%s", name, text)
		if !strings.HasSuffix(text, "\n") {
			b.WriteByte('\n')
		}
	}
	return b.String()
}

// gen draws one case.
type gen struct {
	*rand.Rand
	files  map[string]string
	wild   float64 // probability of something that is likely an error
	depth  int     // of the expression that is drawn
	vars   []string
	blocks int // drawn so far, since two of one name in a file are an error
}

// oneIn is true once in n draws.
func (g *gen) oneIn(n int) bool { return g.IntN(n) == 0 }

// odd is true now and then in wild cases only.
func (g *gen) odd() bool { return g.Float64() < g.wild }

func pick[T any](g *gen, from ...T) T { return from[g.IntN(len(from))] }

// some draws between least and most times and joins the results.
func (g *gen) some(least, most int, sep string, draw func() string) string {
	var parts []string
	for range least + g.IntN(most-least+1) {
		parts = append(parts, draw())
	}
	return strings.Join(parts, sep)
}

// pack makes an archive of files below base.
func pack(base string, files map[string]string) string {
	var out bytes.Buffer
	zipped := gzip.NewWriter(&out)
	w := tar.NewWriter(zipped)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		head := &tar.Header{Name: base + "/" + name, Mode: 0o644, Size: int64(len(files[name])), Typeflag: tar.TypeReg}
		if w.WriteHeader(head) != nil { // writing to memory does not fail
			return ""
		}
		_, _ = w.Write([]byte(files[name]))
	}
	_, _ = w.Close(), zipped.Close()
	return out.String()
}
