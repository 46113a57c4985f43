package access

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// passwords is an htpasswd file with bcrypt hashes (htpasswd -B).
type passwords struct {
	path string
	key  [32]byte // of proven

	mu     sync.Mutex
	read   time.Time         // when the file was last looked at; guarded by mu
	stamp  string            // its time and size; guarded by mu
	hashes map[string][]byte // guarded by mu
	// proven remembers passwords that fitted, as bcrypt takes 50 ms of CPU a time:
	// the MAC of user, hash and password. Guarded by mu.
	proven map[[32]byte]bool
}

const (
	// reread is how soon a change of the file counts.
	reread = time.Second
	// maxProven bounds the memory of passwords that fitted.
	maxProven = 10000
)

// nobody is a hash that is compared with the passwords of users who do not exist,
// so that the time of an answer does not tell.
const nobody = "$2a$10$7EqJtq98hPqEX7fNZaFWoOhi5BWX4Z1Zz5n0yq6Y5bY5b5eG3yV5e"

func openPasswords(path string) (*passwords, error) {
	p := &passwords{path: path, proven: map[[32]byte]bool{}}
	_, _ = rand.Read(p.key[:]) // never fails
	p.mu.Lock()
	defer p.mu.Unlock()
	return p, p.loadLocked()
}

func (p *passwords) loadLocked() error {
	p.read = time.Now()
	info, err := os.Stat(p.path)
	if err != nil {
		return err
	}
	stamp := fmt.Sprint(info.ModTime().UnixNano(), info.Size())
	if stamp == p.stamp {
		return nil
	}
	data, err := os.ReadFile(p.path)
	if err != nil {
		return err
	}
	hashes := map[string][]byte{}
	for i, line := range strings.Split(string(data), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, hash, ok := strings.Cut(line, ":")
		if _, err := bcrypt.Cost([]byte(hash)); !ok || name == "" || err != nil {
			return fmt.Errorf("%s: line %d is no user with a bcrypt hash (htpasswd -B makes them)", p.path, i+1)
		}
		hashes[name] = []byte(hash)
	}
	p.hashes, p.stamp = hashes, stamp
	clear(p.proven)
	return nil
}

func (p *passwords) check(name, password string) bool {
	p.mu.Lock()
	if time.Since(p.read) > reread {
		// A file that is broken for a moment leaves the users as they were.
		_ = p.loadLocked()
	}
	hash, known := p.hashes[name]
	mac := hmac.New(sha256.New, p.key[:])
	fmt.Fprintf(mac, "%q %q %q", name, hash, password)
	key := [32]byte(mac.Sum(nil))
	proven := p.proven[key]
	p.mu.Unlock()
	if proven {
		return true
	}
	if !known {
		hash = []byte(nobody)
	}
	if bcrypt.CompareHashAndPassword(hash, []byte(password)) != nil || !known {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.proven) >= maxProven {
		clear(p.proven)
	}
	p.proven[key] = true
	return true
}
