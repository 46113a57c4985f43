package repo

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
)

// What was fetched is kept in two folders of the cache:
//
//	content/HEX   a file under its SHA-256; checked whenever it is read
//	refs/HEX      under the SHA-256 of a reference (a URL, a tag): what it led to last,
//	              as "HEX REFERENCE"; used where the network is not

var sha256Hex = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[0-9a-f]{64}$`) })

func hexSum(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

func (r *Resolver) contentFile(sum string) string { return filepath.Join(r.CacheDir, "content", sum) }

func (r *Resolver) refFile(ref string) string {
	return filepath.Join(r.CacheDir, "refs", hexSum([]byte(ref)))
}

// removeLeft removes what killed processes left in the cache. What cannot be removed
// does not matter: writing says so.
func (r *Resolver) removeLeft() {
	for _, dir := range []string{r.CacheDir, filepath.Join(r.CacheDir, "content"), filepath.Join(r.CacheDir, "refs")} {
		_ = removePending(dir)
	}
}

// kept returns the content with a SHA-256; false when it is not there or damaged.
func (r *Resolver) kept(sum string) ([]byte, bool) {
	if !sha256Hex().MatchString(sum) {
		return nil, false
	}
	data, err := os.ReadFile(r.contentFile(sum))
	if err != nil || hexSum(data) != sum {
		return nil, false
	}
	return data, true
}

// keep stores content, and that ref led to it unless ref is "".
func (r *Resolver) keep(ref string, data []byte) (sum string, err error) {
	sum = hexSum(data)
	if r.Passing {
		return sum, nil
	}
	// What is kept is checked when it is read: it need not be on disk already.
	if err := replaceFile(r.contentFile(sum), data, 0o644, false); err != nil {
		return "", err
	}
	if ref == "" {
		return sum, nil
	}
	return sum, r.remember(ref, sum)
}

func (r *Resolver) remember(ref, sum string) error {
	return replaceFile(r.refFile(ref), []byte(sum+" "+ref+"\n"), 0o600, false) // URLs may hold secrets
}

// recall returns the SHA-256 that a reference led to last, "" if none is known.
func (r *Resolver) recall(ref string) (string, error) {
	data, err := os.ReadFile(r.refFile(ref))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	sum, of, _ := strings.Cut(strings.TrimSuffix(string(data), "\n"), " ")
	if of != ref {
		return "", nil
	}
	return sum, nil
}

// recalled returns what a reference led to last; false when that is not kept.
func (r *Resolver) recalled(ref string) ([]byte, bool, error) {
	sum, err := r.recall(ref)
	if err != nil {
		return nil, false, err
	}
	data, ok := r.kept(sum)
	return data, ok, nil
}
