package image

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/docker/cli/cli/config/configfile"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"

	"github.com/seed38700745/pkg/cluster/cri"
	"github.com/seed38700745/pkg/cluster/registries"
)

// authenticators are the credentials to try for a repository, in order: the
// pod's, those of files in Docker's format, that of the cluster's registries.
// Without any it is asked for anonymously.
func (s *Store) authenticators(repository name.Repository, reach *registries.Config, pod cri.Credentials) []authn.Authenticator {
	all := fitting(pod, repository)
	for _, file := range s.config.DockerConfigs {
		found, err := dockerCredentials(file, repository)
		if err != nil { // the image may be public
			s.log.Warn("credentials of registries are not read", "file", file, "error", err)
		}
		all = append(all, found...)
	}
	if a, ok := reach.AuthOf(repository.RegistryStr()); ok {
		all = append(all, cri.Credential{Username: a.Username, Password: a.Password, IdentityToken: a.IdentityToken})
	}
	if len(all) == 0 {
		return []authn.Authenticator{authn.Anonymous}
	}
	out := make([]authn.Authenticator, len(all))
	for i, c := range all {
		out[i] = authn.FromConfig(authn.AuthConfig{Username: c.Username, Password: c.Password, IdentityToken: c.IdentityToken})
	}
	return out
}

// dockerCredentials returns those of a file that fit, also of the helpers that it
// names.
func dockerCredentials(file string, repository name.Repository) (cri.Credentials, error) {
	content, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer content.Close()
	if info, err := content.Stat(); err == nil && info.Size() == 0 {
		return nil, nil
	}
	f := configfile.New(file)
	if err := f.LoadFromReader(content); err != nil {
		return nil, err
	}
	var all cri.Credentials
	for key, a := range f.AuthConfigs {
		if a.Username != "" || a.IdentityToken != "" {
			all = append(all, cri.Credential{Registry: key, Username: a.Username, Password: a.Password, IdentityToken: a.IdentityToken})
		}
	}
	all = fitting(all, repository)
	key := repository.RegistryStr()
	if key == dockerHubAPI {
		key = authn.DefaultAuthKey
	}
	if f.CredentialsStore == "" && f.CredentialHelpers[key] == "" {
		return all, nil
	}
	a, err := f.GetAuthConfig(key)
	if err != nil {
		return all, fmt.Errorf("helper for %s: %w", key, err)
	}
	if a.Username != "" || a.IdentityToken != "" {
		all = append(all, cri.Credential{Registry: key, Username: a.Username, Password: a.Password, IdentityToken: a.IdentityToken})
	}
	return all, nil
}

// fitting are the credentials for a repository, the most special first.
func fitting(all cri.Credentials, repository name.Repository) cri.Credentials {
	var out cri.Credentials
	for _, c := range all {
		if fits(c.Registry, repository) {
			out = append(out, c)
		}
	}
	slices.SortStableFunc(out, func(a, b cri.Credential) int {
		return cmp.Or(cmp.Compare(len(b.Registry), len(a.Registry)), strings.Compare(a.Registry, b.Registry))
	})
	return out
}

// fits tells whether a key of docker's config.json means a repository, as the
// kubelet understands it: each part of the host's name may be a pattern, ports
// are equal, and the key's path begins the repository's.
func fits(key string, repository name.Repository) bool {
	key = strings.TrimSuffix(strings.TrimPrefix(strings.TrimPrefix(key, "https://"), "http://"), "/")
	key = strings.TrimSuffix(strings.TrimSuffix(key, "/v1"), "/v2")
	host, folder, _ := strings.Cut(key, "/")
	if host == dockerHub || host == "registry-1.docker.io" {
		host = dockerHubAPI
	}
	wantName, wantPort := splitPort(host)
	gotName, gotPort := splitPort(repository.RegistryStr())
	want, got := strings.Split(wantName, "."), strings.Split(gotName, ".")
	if wantPort != gotPort || len(want) != len(got) {
		return false
	}
	for i := range want {
		if ok, err := path.Match(want[i], got[i]); err != nil || !ok {
			return false
		}
	}
	return folder == "" || strings.HasPrefix(repository.RepositoryStr()+"/", folder+"/")
}

func splitPort(host string) (name, port string) {
	if name, port, err := net.SplitHostPort(host); err == nil {
		return name, port
	}
	return host, ""
}
