//go:build !front

package repo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/docker/cli/cli/config/configfile"
	dockertypes "github.com/docker/cli/cli/config/types"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// keychain finds credentials for a registry: those given, then those of a file in
// Docker's format (`pkg registry login` writes it), then those of Docker itself.
type keychain struct {
	file   string
	access Access
}

// Resolve implements authn.Keychain.
func (k keychain) Resolve(target authn.Resource) (authn.Authenticator, error) {
	if k.access.Token != "" {
		return &authn.Bearer{Token: k.access.Token}, nil
	}
	if k.access.Username != "" {
		return &authn.Basic{Username: k.access.Username, Password: k.access.Password}, nil
	}
	f, err := readCredentials(k.file)
	if err != nil {
		return nil, err
	}
	found, err := f.GetAuthConfig(credentialKey(target.RegistryStr()))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", k.file, err)
	}
	found.ServerAddress = ""
	if found == (dockertypes.AuthConfig{}) {
		return authn.DefaultKeychain.Resolve(target)
	}
	return authn.FromConfig(authn.AuthConfig{
		Username: found.Username, Password: found.Password,
		IdentityToken: found.IdentityToken, RegistryToken: found.RegistryToken,
	}), nil
}

// credentialKey is the name under which Docker keeps a registry's credentials.
func credentialKey(registry string) string {
	if registry == name.DefaultRegistry {
		return authn.DefaultAuthKey
	}
	return registry
}

func readCredentials(file string) (*configfile.ConfigFile, error) {
	f := configfile.New(file)
	data, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) || file == "" {
		return f, nil
	}
	if err != nil {
		return nil, err
	}
	defer data.Close()
	if info, err := data.Stat(); err == nil && info.Size() == 0 {
		return f, nil
	}
	if err := f.LoadFromReader(data); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return f, nil
}

// registryHost strips what users write around a registry's name.
func registryHost(host string) string {
	for _, scheme := range []string{OCIScheme, "https://", "http://"} {
		host = strings.TrimPrefix(host, scheme)
	}
	host, _, _ = strings.Cut(host, "/")
	return host
}

// Login checks credentials with a registry and keeps them.
func (r *Resolver) Login(ctx context.Context, host string, access Access) error {
	host = registryHost(host)
	registry, err := name.NewRegistry(host, nameOptions(access)...)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	if err := r.ping(ctx, registry, access); err != nil {
		return fmt.Errorf("authenticating to %q: %w", host, plainHTTPError(err))
	}
	return r.changeCredentials(registry, func(s credentialStore, key string) error {
		return s.Store(dockertypes.AuthConfig{ServerAddress: key, Username: access.Username, Password: access.Password})
	})
}

// ping asks a registry for its root with the credentials.
func (r *Resolver) ping(ctx context.Context, registry name.Registry, access Access) error {
	client, err := r.client(access)
	if err != nil {
		return err
	}
	t, err := transport.NewWithContext(ctx, registry, &authn.Basic{Username: access.Username, Password: access.Password}, client.Transport, nil)
	if err != nil {
		return err
	}
	schemes := []string{"https"}
	if registry.Scheme() == "http" { // local, or the user asked for it
		schemes = append(schemes, "http")
	}
	for _, scheme := range schemes {
		err = ask(ctx, t, scheme+"://"+registry.RegistryStr()+"/v2/")
		var answer *transport.Error
		if err == nil || errors.As(err, &answer) {
			return err
		}
	}
	return err
}

func ask(ctx context.Context, t http.RoundTripper, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := t.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return transport.CheckError(resp, http.StatusOK)
}

// Logout forgets the credentials of a registry.
func (r *Resolver) Logout(host string) error {
	registry, err := name.NewRegistry(registryHost(host))
	if err != nil {
		return err
	}
	return r.changeCredentials(registry, func(s credentialStore, key string) error { return s.Erase(key) })
}

// credentialStore is the part of Docker's stores that changes something.
type credentialStore interface {
	Store(dockertypes.AuthConfig) error
	Erase(key string) error
}

// changeCredentials changes the file, or the store that it names, under its lock.
func (r *Resolver) changeCredentials(registry name.Registry, change func(credentialStore, string) error) error {
	if r.RegistryConfig == "" {
		return errors.New("no file for registry credentials is configured")
	}
	return withLock(r.RegistryConfig, func() error {
		f, err := readCredentials(r.RegistryConfig)
		if err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Dir(r.RegistryConfig), 0o700); err != nil {
			return err
		}
		key := credentialKey(registry.RegistryStr())
		return change(f.GetCredentialsStore(key), key)
	})
}
