// Package instance tells the clusters of one machine apart and shares out among
// them what the host has only once: API ports, pod and service ranges, node
// ports.
//
// A cluster is its data folder. What it has been given is kept for ever in
// <home>/instance.json, and repeated in /run/pkg/instances/<id>.json, where
// every other cluster of the machine sees it, also when the folder is gone.
// Claims are made under one lock, /run/pkg/instances/lock.
package instance

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// DefaultHome is the data folder when PKG_HOME is not set.
const DefaultHome = "/var/lib/pkg"

// runRoot holds what vanishes with a reboot: records of all clusters and each
// cluster's run folder.
const runRoot = "/run/pkg"

// Record is what one cluster has been given.
type Record struct {
	ID          string       `json:"id"`
	Home        string       `json:"home"`
	Number      int          `json:"number"` // 0, 1, ...: chooses ranges and node ports
	APIPort     int          `json:"apiPort"`
	PodCIDR     netip.Prefix `json:"podCIDR"`
	ServiceCIDR netip.Prefix `json:"serviceCIDR"`
	// NodePortBase and NodePortSize are the range of node ports.
	NodePortBase int `json:"nodePortBase"`
	NodePortSize int `json:"nodePortSize"`
	// PID, BootID and Started name the pkgd that runs or ran last.
	PID     int       `json:"pid,omitempty"`
	BootID  string    `json:"bootID,omitempty"`
	Started time.Time `json:"started,omitzero"`
}

// Home returns the data folder as an absolute path, given what PKG_HOME is set to.
func Home(value string) (string, error) {
	if value == "" {
		value = DefaultHome
	}
	abs, err := filepath.Abs(value)
	if err != nil {
		return "", fmt.Errorf("data folder %s: %w", value, err)
	}
	return abs, nil
}

// ID names the cluster of a data folder: 8 hex digits of the sha256 of its
// absolute path.
func ID(home string) string {
	sum := sha256.Sum256([]byte(home))
	return hex.EncodeToString(sum[:4])
}

// RunDir is the folder for what the cluster needs until the next boot.
func (r *Record) RunDir() string { return filepath.Join(runRoot, r.ID) }

// DNS is the address of the cluster's DNS service: the tenth of the service range.
func (r *Record) DNS() netip.Addr { return nth(r.ServiceCIDR, 10) }

// APIAddress is the first of the service range, that of the Service kubernetes.
func (r *Record) APIAddress() netip.Addr { return nth(r.ServiceCIDR, 1) }

// Server is the URL of the API on this machine.
func (r *Record) Server() string { return fmt.Sprintf("https://127.0.0.1:%d", r.APIPort) }

func nth(p netip.Prefix, n int) netip.Addr {
	a := p.Masked().Addr()
	for range n {
		a = a.Next()
	}
	return a
}

// recordPath is where other clusters see the record.
func recordPath(id string) string { return filepath.Join(runRoot, "instances", id+".json") }

// keptPath is where the cluster keeps it for ever.
func keptPath(home string) string { return filepath.Join(home, "instance.json") }

// Load returns the record of the cluster in home, from the folder or, if that is
// gone, from the machine's records. It returns fs.ErrNotExist if there is neither.
func Load(home string) (*Record, error) {
	kept, err := read(keptPath(home))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	run, runErr := read(recordPath(ID(home)))
	switch {
	case kept == nil && run == nil:
		if runErr != nil {
			return nil, runErr
		}
		return nil, err
	case kept == nil:
		return run, nil
	case run != nil:
		kept.PID, kept.BootID, kept.Started = run.PID, run.BootID, run.Started
	}
	return kept, nil
}

// All returns the records of all clusters that this machine knows of since it
// booted.
func All() ([]*Record, error) {
	paths, err := filepath.Glob(recordPath("*"))
	if err != nil {
		return nil, err
	}
	var all []*Record
	for _, p := range paths {
		r, err := read(p)
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, nil
}

func read(path string) (*Record, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var r Record
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &r, nil
}

// save writes the record to both places.
func (r *Record) save() error {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	for _, path := range []string{keptPath(r.Home), recordPath(r.ID)} {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := writeFile(path, append(data, '\n')); err != nil {
			return err
		}
	}
	return nil
}

// writeFile replaces a file so that readers see the old or the new content, and
// the new one survives a power cut.
func writeFile(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path))
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	if err := errors.Join(f.Chmod(0o644), write(f, data), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

func write(f *os.File, data []byte) error {
	_, err := f.Write(data)
	return err
}

// Forget removes the record from the machine's; the data folder is the caller's.
// It returns how many clusters are left.
func Forget(id string) (left int, err error) {
	unlock, err := lockAll()
	if err != nil {
		return 0, err
	}
	defer unlock()
	if err := os.Remove(recordPath(id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, err
	}
	if err := os.RemoveAll(filepath.Join(runRoot, id)); err != nil {
		return 0, err
	}
	all, err := All()
	return len(all), err
}

// Running returns the pid of the pkgd that has home open, or 0. The daemon holds
// a lock on <home>/lock for as long as it lives, so a reused pid cannot deceive.
func Running(home string) (int, error) {
	f, err := os.Open(filepath.Join(home, "lock"))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer f.Close()
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB)
	if err == nil {
		return 0, nil
	}
	if !errors.Is(err, syscall.EWOULDBLOCK) {
		return 0, fmt.Errorf("%s: %w", f.Name(), err)
	}
	data := make([]byte, 32)
	n, _ := f.Read(data)
	var pid int
	if _, err := fmt.Sscanf(string(data[:n]), "%d", &pid); err != nil {
		return 0, fmt.Errorf("%s is locked, but names no process", f.Name())
	}
	return pid, nil
}

// BootID identifies the running boot of this machine.
func BootID() string {
	data, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}
