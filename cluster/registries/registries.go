// Package registries says how a cluster reaches the registries of images:
// <home>/registries.yaml, in the form that k3s and RKE2 have for theirs.
//
//	mirrors:
//	  docker.io:                      # or "*", for all that are not named
//	    endpoint: [https://mirror.example.com/hub, http://10.0.0.2:5000]
//	    rewrite: {"^library/(.*)": "proxy/$1"}
//	configs:
//	  mirror.example.com:
//	    auth: {username: me, password: secret}
//	    tls: {ca_file: /etc/ssl/our-ca.pem}
//
// Mirrors are tried in order, then the registry itself. An endpoint with http://
// is spoken to without TLS, a registry that is its own endpoint, too. The file is
// read when images are pulled, so that changes need no restart.
package registries

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"
)

// File is the name of the file below a cluster's data folder.
const File = "registries.yaml"

// Config is the file. The zero value names no mirrors, and trusts what the
// machine trusts.
type Config struct {
	Mirrors map[string]Mirror `json:"mirrors,omitempty"` // by registry
	Configs map[string]Host   `json:"configs,omitempty"` // by registry or mirror
}

// Mirror is where a registry's images are, too.
type Mirror struct {
	Endpoints []string `json:"endpoint,omitempty"` // URLs: scheme, host and perhaps a path
	// Rewrite changes the names of repositories on endpoints: regular
	// expressions with what replaces them. Of several the first in the
	// alphabet that fits counts.
	Rewrite map[string]string `json:"rewrite,omitempty"`
}

// Host is how to speak to one registry.
type Host struct {
	Auth Auth `json:"auth,omitzero"`
	TLS  TLS  `json:"tls,omitzero"`
}

// Auth are credentials. Auth is base64 of "username:password".
type Auth struct {
	Username      string `json:"username,omitempty"`
	Password      string `json:"password,omitempty"`
	Auth          string `json:"auth,omitempty"`
	IdentityToken string `json:"identity_token,omitempty"`
}

// TLS names files in PEM.
type TLS struct {
	CAFile             string `json:"ca_file,omitempty"` // besides the machine's
	CertFile           string `json:"cert_file,omitempty"`
	KeyFile            string `json:"key_file,omitempty"`
	InsecureSkipVerify bool   `json:"insecure_skip_verify,omitempty"`
}

// dockerHub is the registry that images without one are of.
const dockerHub = "docker.io"

// canonical is a registry's name as the file's keys have it.
func canonical(host string) string {
	host = strings.TrimSuffix(strings.TrimPrefix(strings.TrimPrefix(host, "https://"), "http://"), "/")
	if host == "index.docker.io" || host == "registry-1.docker.io" {
		return dockerHub
	}
	return host
}

// Load reads the file at path; where there is none the zero value is returned.
// Errors name the file, and what in it is wrong.
func Load(path string) (*Config, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) || path == "" {
		return &Config{}, nil
	}
	if err != nil {
		return nil, err
	}
	c, err := parse(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

func parse(text []byte) (*Config, error) {
	var file Config
	if err := yaml.UnmarshalStrict(text, &file); err != nil {
		return nil, errors.New(strings.TrimPrefix(err.Error(), "error unmarshaling JSON: while decoding JSON: json: "))
	}
	c := &Config{Mirrors: map[string]Mirror{}, Configs: map[string]Host{}}
	for host, m := range file.Mirrors {
		for _, e := range m.Endpoints {
			if err := checkEndpoint(e); err != nil {
				return nil, fmt.Errorf("mirrors: %s: %w", host, err)
			}
		}
		for pattern := range m.Rewrite {
			if _, err := regexp.Compile(pattern); err != nil {
				return nil, fmt.Errorf("mirrors: %s: rewrite: %w", host, err)
			}
		}
		c.Mirrors[canonical(host)] = m
	}
	for host, h := range file.Configs {
		if h.Auth.Auth != "" {
			plain, err := base64.StdEncoding.DecodeString(h.Auth.Auth)
			name, password, ok := strings.Cut(string(plain), ":")
			if err != nil || !ok {
				return nil, fmt.Errorf("configs: %s: auth is not base64 of username:password", host)
			}
			h.Auth.Username, h.Auth.Password = name, password
		}
		if t := h.TLS; (t.CertFile == "") != (t.KeyFile == "") {
			return nil, fmt.Errorf("configs: %s: cert_file and key_file go together", host)
		}
		for _, file := range []string{h.TLS.CAFile, h.TLS.CertFile, h.TLS.KeyFile} {
			if file != "" && !filepath.IsAbs(file) {
				return nil, fmt.Errorf("configs: %s: %s is not an absolute path", host, file)
			}
		}
		c.Configs[canonical(host)] = h
	}
	return c, nil
}

func checkEndpoint(endpoint string) error {
	u, err := url.Parse(endpoint)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return fmt.Errorf("endpoint %q: want https://host[:port][/path], or http://", endpoint)
	}
	if u.User != nil {
		return fmt.Errorf("endpoint %s: credentials belong into configs", u.Redacted())
	}
	return nil
}

// Source is where an image may be fetched.
type Source struct {
	Reference string // "mirror.example.com/hub/library/nginx:1.22"
	Plain     bool   // TLS is not needed
}

// Sources are where to look for an image, whose full reference it is, in order;
// the last is its own registry.
func (c *Config) Sources(reference string) []Source {
	host, rest, _ := strings.Cut(reference, "/")
	host = canonical(host)
	own := Source{Reference: host + "/" + rest}
	m, ok := c.Mirrors[host]
	if !ok {
		m = c.Mirrors["*"]
	}
	var out []Source
	for _, e := range m.Endpoints {
		u, err := url.Parse(e)
		if err != nil {
			continue // was checked
		}
		// k3s' endpoints may end in the API's version.
		folder := strings.Trim(strings.TrimSuffix(strings.TrimSuffix(u.Path, "/"), "/v2"), "/")
		if canonical(u.Host) == host && folder == "" && len(m.Rewrite) == 0 {
			own.Plain = u.Scheme == "http"
			continue
		}
		name := u.Host + "/" + m.rewrite(rest)
		if folder != "" {
			name = u.Host + "/" + folder + "/" + m.rewrite(rest)
		}
		out = append(out, Source{name, u.Scheme == "http"})
	}
	return append(out, own)
}

// rewrite changes a repository with tag or digest as the mirror wants it.
func (m Mirror) rewrite(rest string) string {
	repository, suffix := rest, ""
	if i := strings.IndexAny(rest, ":@"); i >= 0 {
		repository, suffix = rest[:i], rest[i:]
	}
	for _, pattern := range slices.Sorted(maps.Keys(m.Rewrite)) {
		if r, err := regexp.Compile(pattern); err == nil && r.MatchString(repository) {
			return r.ReplaceAllString(repository, m.Rewrite[pattern]) + suffix
		}
	}
	return rest
}

// AuthOf returns the credentials for a registry or mirror.
func (c *Config) AuthOf(host string) (Auth, bool) {
	a := c.Configs[canonical(host)].Auth
	return a, a != (Auth{})
}

// TLSOf returns how the certificates of a host are checked, nil for the usual
// way.
func (c *Config) TLSOf(host string) (*tls.Config, error) {
	t := c.Configs[canonical(host)].TLS
	if t == (TLS{}) {
		return nil, nil
	}
	out := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: t.InsecureSkipVerify}
	if t.CAFile != "" {
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		pem, err := os.ReadFile(t.CAFile)
		if err == nil && !pool.AppendCertsFromPEM(pem) {
			err = fmt.Errorf("%s holds no certificate in PEM", t.CAFile)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %s: ca_file: %w", File, host, err)
		}
		out.RootCAs = pool
	}
	if t.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("%s: %s: cert_file: %w", File, host, err)
		}
		out.Certificates = []tls.Certificate{pair}
	}
	return out, nil
}

// Passwords tells whether the file holds any.
func (c *Config) Passwords() bool {
	for _, h := range c.Configs {
		if h.Auth != (Auth{}) {
			return true
		}
	}
	return false
}

// String says in a few words what the file chooses.
func (c *Config) String() string {
	var parts, auth, secured []string
	if len(c.Mirrors) > 0 {
		parts = append(parts, "mirrors of "+strings.Join(slices.Sorted(maps.Keys(c.Mirrors)), ", "))
	}
	for _, name := range slices.Sorted(maps.Keys(c.Configs)) {
		if c.Configs[name].Auth != (Auth{}) {
			auth = append(auth, name)
		}
		if c.Configs[name].TLS != (TLS{}) {
			secured = append(secured, name)
		}
	}
	if len(auth) > 0 {
		parts = append(parts, "credentials for "+strings.Join(auth, ", "))
	}
	if len(secured) > 0 {
		parts = append(parts, "certificates of "+strings.Join(secured, ", "))
	}
	if len(parts) == 0 {
		return "nothing"
	}
	return strings.Join(parts, "; ")
}
