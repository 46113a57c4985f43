package engine

import (
	"encoding/base64"
	"path"
	"strings"

	"github.com/gobwas/glob"

	"github.com/seed38700745/pkg/chart"
	"github.com/seed38700745/pkg/engine/funcs"
)

// files is what templates see as .Files: the chart's files that are neither
// templates nor its own metadata, by path.
type files map[string][]byte

func newFiles(from []*chart.File) files {
	f := make(files, len(from))
	for _, file := range from {
		f[file.Name] = file.Data
	}
	return f
}

// GetBytes returns a file's bytes, empty when there is no such file.
func (f files) GetBytes(name string) []byte {
	if data, ok := f[name]; ok {
		return data
	}
	return []byte{}
}

// Get returns a file as text, empty when there is no such file.
func (f files) Get(name string) string { return string(f.GetBytes(name)) }

// Glob returns the files whose path matches; a pattern that is none matches all.
func (f files) Glob(pattern string) files {
	g, err := glob.Compile(pattern, '/')
	if err != nil {
		g = glob.MustCompile("**")
	}
	out := files{}
	for name, data := range f {
		if g.Match(name) {
			out[name] = data
		}
	}
	return out
}

// AsConfig gives the files as the data of a ConfigMap.
func (f files) AsConfig() string {
	return f.asData(func(data []byte) string { return string(data) })
}

// AsSecrets gives the files as the data of a Secret.
func (f files) AsSecrets() string {
	return f.asData(base64.StdEncoding.EncodeToString)
}

func (f files) asData(encode func([]byte) string) string {
	if f == nil {
		return ""
	}
	m := make(map[string]string, len(f))
	for name, data := range f {
		m[path.Base(name)] = encode(data)
	}
	return funcs.ToYAML(m)
}

// Lines returns a file's lines without a last empty one.
func (f files) Lines(name string) []string {
	if len(f[name]) == 0 {
		return []string{}
	}
	return strings.Split(strings.TrimSuffix(string(f[name]), "\n"), "\n")
}
