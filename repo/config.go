package repo

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
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
	// Token is a bearer token, which Helm does not know of, and PlainHTTP a registry
	// without TLS.
	Token     string `json:"token,omitempty"`
	PlainHTTP bool   `json:"plain_http,omitempty"`
	// System: an administrator set it up for everybody.
	System bool `json:"-"`
}

// Access returns how the repository is reached.
func (r *Repository) Access() Access {
	return Access{
		Username: r.Username, Password: r.Password, Token: r.Token,
		CertFile: r.CertFile, KeyFile: r.KeyFile, CAFile: r.CAFile,
		InsecureSkipTLSVerify: r.InsecureSkipTLSVerify,
		PassCredentialsAll:    r.PassCredentialsAll,
		PlainHTTP:             r.PlainHTTP,
	}
}

func (r *Repository) setAccess(a Access) {
	r.Username, r.Password, r.Token = a.Username, a.Password, a.Token
	r.CertFile, r.KeyFile, r.CAFile = a.CertFile, a.KeyFile, a.CAFile
	r.InsecureSkipTLSVerify, r.PassCredentialsAll, r.PlainHTTP = a.InsecureSkipTLSVerify, a.PassCredentialsAll, a.PlainHTTP
}

func readConfig(name string) (*Config, error) {
	data, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return &Config{}, nil
	}
	if err != nil {
		return nil, err
	}
	if c, ok := plainConfig(string(data)); ok {
		return c, nil
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
	switch u.Scheme {
	case "http", "https":
	case "oci":
		if u.Host == "" {
			return fmt.Errorf("repository %s: registries are named oci://HOST/PATH", e.Name)
		}
	default:
		return fmt.Errorf("repository %s: %q is not an http, https or oci URL", e.Name, e.URL)
	}
	if e.Token != "" && (e.Username != "" || e.Password != "") {
		return fmt.Errorf("repository %s: a token and a password exclude each other", e.Name)
	}
	if (e.CertFile == "") != (e.KeyFile == "") {
		return fmt.Errorf("repository %s: a client certificate needs both --cert-file and --key-file", e.Name)
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
