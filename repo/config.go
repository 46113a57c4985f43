package repo

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"time"

	"sigs.k8s.io/yaml"
)

// Config is Helm's repositories.yaml.
type Config struct {
	APIVersion   string        `json:"apiVersion"`
	Generated    time.Time     `json:"generated"`
	Repositories []*Repository `json:"repositories"`
}

// Repository is one configured repository.
type Repository struct {
	Name                  string `json:"name"`
	URL                   string `json:"url"`
	Username              string `json:"username"`
	Password              string `json:"password"`
	CertFile              string `json:"certFile"`
	KeyFile               string `json:"keyFile"`
	CAFile                string `json:"caFile"`
	InsecureSkipTLSVerify bool   `json:"insecure_skip_tls_verify"`
	PassCredentialsAll    bool   `json:"pass_credentials_all"`
	// System: an administrator set it up for everybody.
	System bool `json:"-"`
}

// Access returns how the repository is reached.
func (r *Repository) Access() Access {
	return Access{
		Username: r.Username, Password: r.Password,
		CertFile: r.CertFile, KeyFile: r.KeyFile, CAFile: r.CAFile,
		InsecureSkipTLSVerify: r.InsecureSkipTLSVerify,
		PassCredentialsAll:    r.PassCredentialsAll,
	}
}

func readConfig(name string) (*Config, error) {
	data, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return &Config{}, nil
	}
	if err != nil {
		return nil, err
	}
	var c Config
	if err := yaml.Unmarshal(data, &c); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return &c, nil
}

// Repositories lists the user's repositories, then those of the system that the
// user has not replaced.
func (r *Resolver) Repositories() ([]*Repository, error) {
	user, err := readConfig(r.ConfigFile)
	if err != nil {
		return nil, err
	}
	list := user.Repositories
	if r.SystemConfig == "" || r.SystemConfig == r.ConfigFile {
		return list, nil
	}
	system, err := readConfig(r.SystemConfig)
	if err != nil {
		return nil, err
	}
	for _, e := range system.Repositories {
		if find(list, e.Name) == nil {
			e.System = true
			list = append(list, e)
		}
	}
	return list, nil
}

func find(list []*Repository, name string) *Repository {
	for _, e := range list {
		if e.Name == name {
			return e
		}
	}
	return nil
}

func (r *Resolver) entry(name string) (*Repository, error) {
	list, err := r.Repositories()
	if err != nil {
		return nil, err
	}
	if e := find(list, name); e != nil {
		return e, nil
	}
	return nil, fmt.Errorf("repository %s: %w", name, ErrNotFound)
}

// isBuiltIn reports whether a repository name means the built-in one.
func (r *Resolver) isBuiltIn(name string) (bool, error) {
	if r.Bundled == nil {
		return false, nil
	}
	if name == BundledName {
		return true, nil
	}
	if name != StableName {
		return false, nil
	}
	list, err := r.Repositories()
	if err != nil {
		return false, err
	}
	return find(list, name) == nil, nil
}

var repositoryName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`) })

// CheckRepository reports what is wrong with a repository's name or URL.
func CheckRepository(e *Repository) error {
	if !repositoryName().MatchString(e.Name) {
		return fmt.Errorf("repository name %q: use letters, digits, '.', '_' and '-'", e.Name)
	}
	if e.Name == BundledName {
		return fmt.Errorf("repository name %q is taken by the charts that come with pkg", e.Name)
	}
	u, err := url.Parse(e.URL)
	if err != nil {
		return fmt.Errorf("repository %s: %w", e.Name, err)
	}
	if u.Scheme != "http" && u.Scheme != "https" {
		return fmt.Errorf("repository %s: %q is not an http or https URL", e.Name, e.URL)
	}
	return nil
}

// ChangeConfig changes the user's repositories under the file's lock; when change
// returns an error nothing is written.
func (r *Resolver) ChangeConfig(now time.Time, change func(*Config) error) error {
	return withLock(r.ConfigFile, func() error {
		c, err := readConfig(r.ConfigFile)
		if err != nil {
			return err
		}
		if err := change(c); err != nil {
			return err
		}
		c.Generated = now
		data, err := yaml.Marshal(c)
		if err != nil {
			return err
		}
		return writeFile(r.ConfigFile, data, 0o600) // it may hold passwords
	})
}

// writeFile replaces a file in one step, so that readers see the old or the new.
func writeFile(name string, data []byte, mode os.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // gone already when everything went well
	_, err = f.Write(data)
	if err == nil {
		err = f.Chmod(mode)
	}
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}
