//go:build !front

package main

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/seed38700745/pkg/cluster/registries"
	"github.com/seed38700745/pkg/cluster/settings"
)

// This file is how the cluster comes to images: what `pkg cluster start` keeps of
// it, since a daemon loses its shell's environment, and what status shows.

// keepProxy keeps the proxies that flags name, or those of the environment. Where
// neither names one, those of the last start stay.
func (l *localCluster) keepProxy(a *app, f *startFlags, given func(string) bool) (changed bool, err error) {
	byFlag := given("http-proxy") || given("https-proxy") || given("no-proxy")
	old, known, err := settings.LoadProxy(l.home)
	if errors.Is(err, fs.ErrPermission) && !byFlag { // somebody of the group, while it runs
		return false, nil
	}
	if err != nil {
		return false, err
	}
	p := old
	env := func(name, lower string) string { return cmp.Or(a.Env(name), a.Env(lower)) }
	all := env("ALL_PROXY", "all_proxy")
	http, https := cmp.Or(env("HTTP_PROXY", "http_proxy"), all), cmp.Or(env("HTTPS_PROXY", "https_proxy"), all)
	if http != "" || https != "" {
		p = settings.Proxy{HTTP: http, HTTPS: https, Not: env("NO_PROXY", "no_proxy")}
	}
	if given("http-proxy") {
		p.HTTP = f.httpProxy
	}
	if given("https-proxy") {
		p.HTTPS = f.httpsProxy
	}
	if given("no-proxy") {
		p.Not = f.noProxy
	}
	if p == old && (known || !byFlag) {
		return false, nil
	}
	if err := p.Check(); err != nil {
		return false, usagef("%w", err)
	}
	if err := os.MkdirAll(l.home, 0o755); err != nil {
		return false, err
	}
	return p != old, p.Save(l.home)
}

// dockerConfigs are the files with this user's credentials for registries, those
// of `pkg registry login` and Docker's own.
func (a *app) dockerConfigs() settings.Credentials {
	dir := a.Env("DOCKER_CONFIG")
	if home := a.Env("HOME"); dir == "" && home != "" {
		dir = filepath.Join(home, ".docker")
	}
	c := settings.Credentials{Login: a.registryConfig()}
	if dir != "" {
		c.Docker = filepath.Join(dir, "config.json")
	}
	return c
}

// checkRegistries says what is wrong with the cluster's registries.yaml.
func (l *localCluster) checkRegistries(a *app) error {
	c, err := registries.Load(l.registriesFile())
	if errors.Is(err, fs.ErrPermission) { // somebody of the group, while it runs
		return nil
	}
	if err != nil {
		return err
	}
	if info, err := os.Stat(l.registriesFile()); err == nil && c.Passwords() && info.Mode().Perm()&0o077 != 0 {
		a.warnf("%[1]s has passwords, and others than root can read it: chmod 600 %[1]s", l.registriesFile())
	}
	return nil
}

func (l *localCluster) registriesFile() string { return filepath.Join(l.home, registries.File) }

// proxyLine says which proxy the daemon uses, started at a time if it runs.
func (l *localCluster) proxyLine(since *time.Time) string {
	p, known, err := settings.LoadProxy(l.home)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return "only root may see"
	case err != nil:
		return err.Error()
	case !known:
		return "none"
	}
	if info, err := os.Stat(settings.ProxyFile(l.home)); err == nil && since != nil && info.ModTime().After(*since) {
		return p.String() + " (from the next start on)"
	}
	return p.String()
}

// proxied is the environment with the proxy that the cluster keeps.
func (l *localCluster) proxied(env func(string) string) func(string) string {
	p, known, err := settings.LoadProxy(l.home)
	if err != nil || !known {
		return env
	}
	kept := p.Environment("localhost")
	return func(name string) string {
		if value, ok := kept[name]; ok {
			return value
		}
		return env(name)
	}
}

// registriesLine says how registries are reached.
func (l *localCluster) registriesLine() string {
	if _, err := os.Stat(l.registriesFile()); errors.Is(err, fs.ErrNotExist) {
		return "directly; " + l.registriesFile() + " would name mirrors, credentials, CAs"
	}
	c, err := registries.Load(l.registriesFile())
	if errors.Is(err, fs.ErrPermission) {
		return l.registriesFile() + ", which only root may see"
	}
	if err != nil {
		return err.Error()
	}
	return l.registriesFile() + ": " + c.String()
}
