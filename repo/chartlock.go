package repo

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/seed38700745/pkg/chart"
)

// lockFile is Chart.lock. Each dependency has a key more than Helm's: the digest of
// what was fetched, which Helm skips when it reads the file, and which does not count
// for the lock's own digest.
type lockFile struct {
	Dependencies []pinned  `json:"dependencies"`
	Digest       string    `json:"digest"`
	Generated    time.Time `json:"generated"`
}

// pinned is a dependency with its digest, "sha256:" and hex: that of the manifest if it
// came from a registry, else that of the archive.
type pinned struct {
	*chart.Dependency
	Pin string `json:"digest,omitempty"`
}

// pin is the digest by which a lock pins the archive.
func (a *Archive) pin() string {
	if a.Manifest != "" {
		return a.Manifest
	}
	return "sha256:" + a.Digest()
}

// lockedChart is what a lock says of a dependency.
type lockedChart struct{ version, digest string }

// lockOf returns what Chart.lock says by requirement, or nil when it belongs to other
// requirements than Chart.yaml's.
func lockOf(c *chart.Chart) map[*chart.Dependency]lockedChart {
	if c.Lock == nil || len(c.Lock.Dependencies) != len(c.Metadata.Dependencies) {
		return nil
	}
	digest, err := LockDigest(c.Metadata.Dependencies, c.Lock.Dependencies)
	if err != nil || digest != c.Lock.Digest {
		return nil
	}
	pins := pinsOf(c)
	out := map[*chart.Dependency]lockedChart{}
	for i, d := range c.Lock.Dependencies {
		l := lockedChart{version: d.Version}
		if len(pins) == len(c.Lock.Dependencies) {
			l.digest = pins[i]
		}
		out[c.Metadata.Dependencies[i]] = l
	}
	return out
}

// pinsOf returns the digests in a chart's lock file, "" for those without one.
func pinsOf(c *chart.Chart) []string {
	var lock lockFile
	if err := yaml.Unmarshal(chart.RawFile(c, lockName(c)), &lock); err != nil {
		return nil
	}
	pins := make([]string, len(lock.Dependencies))
	for i, d := range lock.Dependencies {
		pins[i] = d.Pin
	}
	return pins
}

// LockDigest is Helm's digest of a lock: over what was asked for and what was found.
func LockDigest(requested, locked []*chart.Dependency) (string, error) {
	data, err := json.Marshal([2][]*chart.Dependency{requested, locked})
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:]), nil
}

// lockName and requirementsName are the files of a chart's dependencies, which
// depend on its API version.
func lockName(c *chart.Chart) string {
	if c.Metadata.APIVersion == "v1" {
		return "requirements.lock"
	}
	return chart.LockfileName
}

func requirementsName(c *chart.Chart) string {
	if c.Metadata.APIVersion == "v1" {
		return "requirements.yaml"
	}
	return chart.ChartfileName
}

// writeLock writes the lock file unless it says the same already.
func writeLock(dir string, c *chart.Chart, locked []*chart.Dependency, pins []string, now time.Time) error {
	digest, err := LockDigest(c.Metadata.Dependencies, locked)
	if err != nil {
		return err
	}
	pinning := slices.ContainsFunc(pins, func(pin string) bool { return pin != "" })
	if c.Lock != nil && c.Lock.Digest == digest && (!pinning || slices.Equal(pins, pinsOf(c))) {
		return nil
	}
	lock := lockFile{Generated: now, Digest: digest}
	for i, d := range locked {
		lock.Dependencies = append(lock.Dependencies, pinned{Dependency: d, Pin: pins[i]})
	}
	data, err := yaml.Marshal(lock)
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(dir, lockName(c)), bytes.TrimLeft(data, "\n"), 0o644)
}

// PinError says that what a lock pinned was replaced.
type PinError struct{ Ref, Want, Got string }

func (e *PinError) Error() string {
	return fmt.Sprintf("%s: the lock file pins %s, what is there now is %s: it was replaced after the lock was written", e.Ref, e.Want, e.Got)
}

// Hint returns the command that accepts it.
func (e *PinError) Hint() string { return "if that is meant: pkg dependency update" }
