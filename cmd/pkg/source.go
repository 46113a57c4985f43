package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/seed38700745/pkg/chart"
	"github.com/seed38700745/pkg/charts"
	"github.com/seed38700745/pkg/repo"
)

// repositories is the resolver of charts, on the folders that flags, environment
// and defaults give, in this order.
func (a *app) repositories() *repo.Resolver {
	r := &repo.Resolver{
		ConfigFile:     a.repositoryConfig(),
		SystemConfig:   filepath.Join(a.SystemDir, "repositories.yaml"),
		CacheDir:       a.repositoryCache(),
		RegistryConfig: a.registryConfig(),
		Bundled:        charts.FS,
		UserAgent:      "pkg/" + programVersion(),
		Offline:        a.global.Offline,
		Policies:       []string{filepath.Join(a.SystemDir, policyName), a.policyFile()},
	}
	r.CheckProvenance = func(keyring string, archive *repo.Archive) error { return a.verifier(keyring)(archive) }
	if a.global.RepositoryConfig != "" || a.Env("HELM_REPOSITORY_CONFIG") != "" {
		r.SystemConfig = "" // exactly this file
	}
	return r
}

func (a *app) repositoryConfig() string {
	return firstOf(a.global.RepositoryConfig, a.Env("HELM_REPOSITORY_CONFIG"), filepath.Join(a.ConfigDir, "repositories.yaml"))
}

func (a *app) repositoryCache() string {
	return firstOf(a.global.RepositoryCache, a.Env("HELM_REPOSITORY_CACHE"), filepath.Join(a.CacheDir, "repository"))
}

// registryConfig is the file with the credentials for registries.
func (a *app) registryConfig() string {
	return firstOf(a.global.RegistryConfig, a.Env("HELM_REGISTRY_CONFIG"), filepath.Join(a.ConfigDir, "registry", "config.json"))
}

// policyName is the file that says which charts have to be signed.
const policyName = "policy.yaml"

func (a *app) policyFile() string { return filepath.Join(a.ConfigDir, policyName) }

func firstOf(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

// request asks for a chart; with --verify, for one that is signed.
func (a *app) request(c chartFlags, ref string) repo.Request {
	req := repo.Request{Ref: ref, Version: c.Version, Devel: c.Devel, RepoURL: c.Repo, Access: c.access()}
	if c.Verify {
		req.Verify = a.verifier(c.Keyring)
	}
	return req
}

func (c chartFlags) access() repo.Access {
	return repo.Access{
		Username: c.Username, Password: c.Password, Token: c.Token,
		CertFile: c.CertFile, KeyFile: c.KeyFile, CAFile: c.CAFile,
		InsecureSkipTLSVerify: c.Insecure,
		PassCredentialsAll:    c.PassCredentialsAll,
		PlainHTTP:             c.PlainHTTP,
	}
}

// bundleScheme begins the source of a release that came from a bundle: a path or a
// reference of a registry follows.
const bundleScheme = "bundle:"

// resolveChart finds a chart and, unless called as helm, completes the charts that
// it depends on. Helm wants those in charts/ beforehand. With vals, the chart is for being
// rendered with these alone.
func (a *app) resolveChart(ctx context.Context, ref string, src chartFlags, vals map[string]any) (*repo.Resolved, error) {
	if inside, ok := strings.CutPrefix(ref, bundleScheme); ok {
		return a.resolveBundle(ctx, inside, src)
	}
	for _, file := range []string{ref, a.repositoryConfig()} {
		if err := rereadable(file); err != nil {
			return nil, err
		}
	}
	r := a.repositories()
	req := a.request(src, ref)
	req.Values = vals
	res, err := r.Resolve(ctx, req)
	if err != nil {
		return nil, a.bundleHint(ref, err)
	}
	if res.Note != "" && !a.asHelm {
		fmt.Fprintln(a.Err, res.Note)
	}
	if !a.asHelm || src.DependencyUpdate {
		if err := r.Complete(ctx, res.Chart, res.Dir); err != nil {
			return nil, err
		}
	}
	return res, nil
}

// loadForRelease finds a chart that is to be rendered, with the values given for
// it, in Helm's order, which decides which error comes first.
func (a *app) loadForRelease(ctx context.Context, ref string, src chartFlags, v chart.Values) (*repo.Resolved, map[string]any, error) {
	return a.load(ctx, ref, src, v, false)
}

// loadForRendering is loadForRelease for a chart that meets no other values: those files
// may be missing that these leave out.
func (a *app) loadForRendering(ctx context.Context, ref string, src chartFlags, v chart.Values) (*repo.Resolved, map[string]any, error) {
	return a.load(ctx, ref, src, v, true)
}

func (a *app) load(ctx context.Context, ref string, src chartFlags, v chart.Values, settled bool) (*repo.Resolved, map[string]any, error) {
	v.ReadFile = func(name string) ([]byte, error) { return a.readFile(ctx, name) }
	vals, err := v.Merge()
	if err != nil {
		return nil, nil, err
	}
	var only map[string]any
	if settled {
		only = vals
	}
	res, err := a.resolveChart(ctx, ref, src, only)
	if err != nil {
		return nil, nil, err
	}
	if err := chart.CheckInstallable(res.Chart); err != nil {
		return nil, nil, err
	}
	if res.Chart.Metadata.Deprecated {
		a.warnf("This chart is deprecated")
	}
	if err := chart.CheckDependencies(res.Chart); err != nil {
		return nil, nil, fmt.Errorf("An error occurred while checking for chart dependencies. You may need to run `helm dependency build` to fetch missing dependencies: %w", err)
	}
	return res, vals, nil
}
