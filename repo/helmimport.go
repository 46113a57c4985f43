//go:build !front

package repo

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/docker/cli/cli/config/configfile"
	dockertypes "github.com/docker/cli/cli/config/types"
)

// Imported tells what became of one repository or login of helm's.
type Imported struct {
	Kind  string // "repository" or "login"
	Name  string
	State ImportState
	Err   error // why it was refused
}

// ImportState is what became of something that was to be imported.
type ImportState string

// What becomes of an entry.
const (
	ImportAdded    ImportState = "added"
	ImportReplaced ImportState = "replaced"
	ImportSame     ImportState = "already there"
	ImportKept     ImportState = "kept as it is here (--force-update replaces it)"
	ImportRefused  ImportState = "refused"
)

// ImportHelm adds the repositories of helm's file, and the registry logins in
// registry/config.json beside it. Nothing that is there is replaced unless force.
func (r *Resolver) ImportHelm(file string, now time.Time, force bool) ([]Imported, error) {
	if _, err := os.Stat(file); err != nil {
		return nil, err
	}
	if sameFile(file, r.ConfigFile) {
		return nil, fmt.Errorf("%s: pkg uses this file already", file)
	}
	helm, err := readConfig(file)
	if err != nil {
		return nil, err
	}
	var out []Imported
	err = r.ChangeConfig(now, func(c *Config) error {
		for _, e := range helm.Repositories {
			if e == nil {
				continue
			}
			e.absolute(filepath.Dir(file))
			out = append(out, c.take(e, force))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	logins, err := r.importLogins(filepath.Join(filepath.Dir(file), "registry", "config.json"), force)
	return append(out, logins...), err
}

func sameFile(a, b string) bool {
	infoA, errA := os.Stat(a)
	infoB, errB := os.Stat(b)
	return errA == nil && errB == nil && os.SameFile(infoA, infoB)
}

// absolute makes the paths of an entry independent of the current folder.
func (r *Repository) absolute(dir string) {
	for _, path := range []*string{&r.CertFile, &r.KeyFile, &r.CAFile} {
		if *path != "" && !filepath.IsAbs(*path) {
			*path = filepath.Join(dir, *path)
		}
	}
}

// take adds one entry to the configuration.
func (c *Config) take(e *Repository, force bool) Imported {
	out := Imported{Kind: "repository", Name: e.Name, State: ImportAdded}
	if err := CheckRepository(e); err != nil {
		out.State, out.Err = ImportRefused, err
		return out
	}
	at := slices.IndexFunc(c.Repositories, func(old *Repository) bool { return old.Name == e.Name })
	switch {
	case at < 0:
		c.Repositories = append(c.Repositories, e)
	case *c.Repositories[at] == *e:
		out.State = ImportSame
	case force:
		c.Repositories[at] = e
		out.State = ImportReplaced
	default:
		out.State = ImportKept
	}
	return out
}

// importLogins copies the logins of a file in Docker's format, if there is one. Those
// that a credential helper keeps stay with it.
func (r *Resolver) importLogins(file string, force bool) ([]Imported, error) {
	if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) || r.RegistryConfig == "" || sameFile(file, r.RegistryConfig) {
		return nil, nil
	}
	helm, err := readCredentials(file)
	if err != nil {
		return nil, err
	}
	var out []Imported
	err = withLock(r.RegistryConfig, func() error {
		own, err := readCredentials(r.RegistryConfig)
		if err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Dir(r.RegistryConfig), 0o700); err != nil {
			return err
		}
		hosts := map[string]string{} // to the helper, "" for the file itself
		for host := range helm.AuthConfigs {
			hosts[host] = helm.CredentialsStore
		}
		for host, helper := range helm.CredentialHelpers {
			hosts[host] = helper
		}
		for host, helper := range hosts {
			out = append(out, takeLogin(own, host, helper, helm.AuthConfigs[host], force))
		}
		return own.Save()
	})
	slices.SortFunc(out, func(a, b Imported) int { return strings.Compare(a.Name, b.Name) })
	return out, err
}

// takeLogin adds one login to the file.
func takeLogin(own *configfile.ConfigFile, host, helper string, login dockertypes.AuthConfig, force bool) Imported {
	out := Imported{Kind: "login", Name: host, State: ImportAdded}
	old, has := own.AuthConfigs[host]
	oldHelper := own.CredentialHelpers[host]
	old.ServerAddress, login.ServerAddress = "", ""
	switch {
	case oldHelper != "" && oldHelper == helper, has && helper == "" && oldHelper == "" && old == login:
		out.State = ImportSame
		return out
	case (has || oldHelper != "") && !force:
		out.State = ImportKept
		return out
	case has || oldHelper != "":
		out.State = ImportReplaced
	}
	delete(own.AuthConfigs, host)
	delete(own.CredentialHelpers, host)
	if helper == "" {
		own.AuthConfigs[host] = login
		return out
	}
	if own.CredentialHelpers == nil {
		own.CredentialHelpers = map[string]string{}
	}
	own.CredentialHelpers[host] = helper
	return out
}
