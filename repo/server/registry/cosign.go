package registry

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/seed38700745/pkg/repo/server/depot"
)

// signatures are the manifests of a repository that have a cosign signature.
type signatures struct {
	stamp   time.Time // when the repository's folders changed last
	digests map[string]bool
}

// Cosigned tells whether there is a cosign signature of a chart's version: under
// cosign's tag for its manifest, or as a manifest that refers to it. Nothing is
// verified.
func (g *Registry) Cosigned(tenant string, e *depot.Entry) bool {
	name := strings.TrimPrefix(tenant+"/"+e.Name, "/")
	if !validName(name) {
		return false
	}
	signed, err := g.signed(name)
	if err != nil || len(signed) == 0 {
		return false
	}
	m, err := g.find(Request{Name: name, Tenant: tenant, Chart: e.Name, kind: "manifests", ref: tagOf(e.Version)})
	return err == nil && signed[m.digest]
}

// signed returns the digests of a repository's signed manifests. They are found once
// and again when the repository's folders have changed.
func (g *Registry) signed(name string) (map[string]bool, error) {
	var stamp time.Time
	for _, dir := range []string{"_tags", "_manifests"} {
		info, err := os.Stat(g.path(name, dir))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if info.ModTime().After(stamp) {
			stamp = info.ModTime()
		}
	}
	if stamp.IsZero() {
		return nil, nil // nothing was pushed there
	}
	g.mu.Lock()
	have, ok := g.signatures[name]
	g.mu.Unlock()
	if ok && have.stamp.Equal(stamp) {
		return have.digests, nil
	}
	digests, err := g.findSigned(name)
	// A folder may change once more within a tick of the clock that stamps it.
	const tick = time.Second
	if err == nil && time.Since(stamp) > tick {
		g.mu.Lock()
		g.signatures[name] = signatures{stamp, digests}
		g.mu.Unlock()
	}
	return digests, err
}

func (g *Registry) findSigned(name string) (map[string]bool, error) {
	digests := map[string]bool{}
	tags, err := g.storedTags(name)
	if err != nil {
		return nil, err
	}
	for _, tag := range tags {
		if digest, ok := strings.CutSuffix(tag, ".sig"); ok {
			digests[strings.Replace(digest, "-", ":", 1)] = true
		}
	}
	found, err := g.referrers(Request{Name: name}, "")
	for _, d := range found {
		if strings.Contains(d.ArtifactType, "cosign") || strings.Contains(d.ArtifactType, "sigstore") {
			digests[d.subject] = true
		}
	}
	return digests, err
}
