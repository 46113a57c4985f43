// Package settings is what the user chose for one cluster: <home>/settings.json.
// `pkg cluster start` writes it when it is given a flag that lasts, and pkgd
// reads it when it starts, whoever starts it.
package settings

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/robfig/cron/v3"
)

// Settings are the user's choices. The zero value stands for the defaults.
type Settings struct {
	// NoImageSubstitution: never build an image from Debian packages.
	NoImageSubstitution bool `json:"noImageSubstitution,omitempty"`
	// NoBoot: the user was asked and does not want the cluster to start when
	// the machine does.
	NoBoot bool `json:"noBoot,omitempty"`
	// Group may use the cluster as root may; "": see instance.Share.
	Group    string   `json:"group,omitempty"`
	Backup   Backup   `json:"backup,omitzero"`
	Eviction Eviction `json:"eviction,omitzero"`
	// Credentials for registries are those of who started the cluster last.
	Credentials Credentials `json:"credentials,omitzero"`
}

// Credentials are files in Docker's format, which need not exist.
type Credentials struct {
	Login  string `json:"login,omitempty"`  // of `pkg registry login`
	Docker string `json:"docker,omitempty"` // of `docker login`
}

// Eviction says when the node is short of memory or disk space; pkgd reads it
// when it starts.
type Eviction struct {
	// Hard changes the kubelet's thresholds: "memory.available<100Mi,nodefs.available<10%".
	Hard string `json:"hard,omitempty"`
	// PressureTransition is how long a pressure condition stays at least: "5m".
	PressureTransition string `json:"pressureTransition,omitempty"`
}

// Backup says when pkgd makes backups by itself.
type Backup struct {
	// Schedule is Off, or when: five fields of cron, or "@daily" and the like,
	// in the machine's time zone. Empty means DefaultSchedule.
	Schedule string `json:"schedule,omitempty"`
	// Keep is how many of them are kept; 0 means DefaultKeep.
	Keep int `json:"keep,omitempty"`
	// Volumes: with the data of volumes.
	Volumes bool `json:"volumes,omitempty"`
}

// The defaults, and the schedule of no backups.
const (
	DefaultSchedule = "@daily"
	DefaultKeep     = 7
	Off             = "off"
)

// When returns the schedule, or nil when there is none.
func (b Backup) When() (cron.Schedule, error) {
	text := b.Schedule
	switch text {
	case Off:
		return nil, nil
	case "":
		text = DefaultSchedule
	}
	s, err := cron.ParseStandard(text)
	if err != nil {
		return nil, fmt.Errorf("schedule %q: %w (examples: @daily, \"30 4 * * *\", %s)", text, err, Off)
	}
	return s, nil
}

// Kept is how many backups are kept.
func (b Backup) Kept() int {
	if b.Keep <= 0 {
		return DefaultKeep
	}
	return b.Keep
}

func path(home string) string { return filepath.Join(home, "settings.json") }

// Load reads the settings of the cluster in home; without a file it returns the
// defaults. What it does not know is an error: it would be lost by Save.
func Load(home string) (Settings, error) {
	var s Settings
	text, err := os.ReadFile(path(home))
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return s, err
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		return s, fmt.Errorf("%s: %w", path(home), err)
	}
	return s, nil
}

// Save replaces the settings at once and durably. The folder must exist.
func (s Settings) Save(home string) error { return write(home, path(home), s, 0o644) }

// write replaces a file of JSON in home.
func write(home, path string, v any, mode os.FileMode) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(home, ".settings")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // fails once it is renamed
	_, err = f.Write(append(text, '\n'))
	if err := errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
