package settings

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

// Proxy is how the daemon reaches registries and package archives:
// <home>/proxy.json. It is a file of its own, which only root reads, since
// proxies may have passwords. The zero value means none.
type Proxy struct {
	HTTP  string `json:"httpProxy,omitempty"`  // "http://proxy:3128"
	HTTPS string `json:"httpsProxy,omitempty"` // the proxy of https:// addresses
	// Not is what is reached directly: hosts, domains and ranges, as in $NO_PROXY.
	Not string `json:"noProxy,omitempty"`
}

// ProxyFile is the path of the file.
func ProxyFile(home string) string { return filepath.Join(home, "proxy.json") }

// LoadProxy reads the proxy of the cluster in home. known is false when nobody
// has chosen one: then the daemon's environment counts.
func LoadProxy(home string) (p Proxy, known bool, err error) {
	text, err := os.ReadFile(ProxyFile(home))
	if errors.Is(err, fs.ErrNotExist) {
		return p, false, nil
	}
	if err != nil {
		return p, false, err
	}
	if err := json.Unmarshal(text, &p); err != nil {
		return p, false, fmt.Errorf("%s: %w", ProxyFile(home), err)
	}
	return p, true, nil
}

// Save replaces the proxy at once and durably. The folder must exist.
func (p Proxy) Save(home string) error { return write(home, ProxyFile(home), p, 0o600) }

// Check says what is wrong with the addresses.
func (p Proxy) Check() error {
	for _, text := range []string{p.HTTP, p.HTTPS} {
		if text == "" {
			continue
		}
		u, err := url.Parse(text)
		if !strings.Contains(text, "://") { // "proxy:3128" is common, and understood
			u, err = url.Parse("http://" + text)
		}
		if err != nil || u.Host == "" {
			return fmt.Errorf("proxy %q: want http://[user:password@]host:port", text)
		}
		switch u.Scheme {
		case "http", "https", "socks5", "socks5h":
		default:
			return fmt.Errorf("proxy %s: %s is not supported: http, https or socks5", u.Redacted(), u.Scheme)
		}
	}
	return nil
}

// Environment is what programs understand, those in C and in Go; variables that
// are empty must not be set. direct are hosts and ranges that never go through a
// proxy.
func (p Proxy) Environment(direct ...string) map[string]string {
	not := strings.Trim(strings.Join(append([]string{p.Not}, direct...), ","), ",")
	if p.HTTP == "" && p.HTTPS == "" {
		not = ""
	}
	out := map[string]string{"ALL_PROXY": "", "all_proxy": ""}
	for name, value := range map[string]string{"http_proxy": p.HTTP, "https_proxy": p.HTTPS, "no_proxy": not} {
		out[name], out[strings.ToUpper(name)] = value, value
	}
	return out
}

// String is one line for people, without passwords.
func (p Proxy) String() string {
	redacted := func(text string) string {
		if u, err := url.Parse(text); err == nil && u.User != nil {
			return u.Redacted()
		}
		return text
	}
	var parts []string
	if p.HTTP == p.HTTPS && p.HTTP != "" {
		parts = append(parts, redacted(p.HTTP))
	} else {
		for _, one := range []struct{ scheme, proxy string }{{"http", p.HTTP}, {"https", p.HTTPS}} {
			if one.proxy != "" {
				parts = append(parts, redacted(one.proxy)+" for "+one.scheme)
			}
		}
	}
	switch {
	case len(parts) == 0:
		return "none"
	case p.Not != "":
		parts = append(parts, "not for "+p.Not)
	}
	return strings.Join(parts, ", ")
}
