package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/seed38700745/pkg/engine"
)

// addGlobalFlags declares the flags that every command knows.
func (a *app) addGlobalFlags(f *pflag.FlagSet) {
	g := &a.global
	f.StringVarP(&g.Namespace, "namespace", "n", "", "namespace scope for this request")
	f.BoolVar(&g.Debug, "debug", a.Env("HELM_DEBUG") == "true" || a.Env("HELM_DEBUG") == "1", "enable verbose output")
	f.StringVar(&g.Kubeconfig, "kubeconfig", "", "path to the kubeconfig file")
	f.StringVar(&g.KubeContext, "kube-context", "", "name of the kubeconfig context to use")
	f.StringVar(&g.KubeAPIServer, "kube-apiserver", "", "the address and the port for the Kubernetes API server")
	f.StringVar(&g.KubeToken, "kube-token", "", "bearer token used for authentication")
	f.StringVar(&g.KubeAsUser, "kube-as-user", "", "username to impersonate for the operation")
	f.StringArrayVar(&g.KubeAsGroups, "kube-as-group", nil, "group to impersonate for the operation, this flag can be repeated to specify multiple groups.")
	f.StringVar(&g.KubeCAFile, "kube-ca-file", "", "the certificate authority file for the Kubernetes API server connection")
	f.StringVar(&g.KubeTLSName, "kube-tls-server-name", "", "server name to use for Kubernetes API server certificate validation")
	f.BoolVar(&g.KubeInsecure, "kube-insecure-skip-tls-verify", false, "if true, the Kubernetes API server's certificate will not be checked for validity")
	f.StringVar(&g.RegistryConfig, "registry-config", "", "path to the registry config file")
	f.StringVar(&g.RepositoryConfig, "repository-config", "", "path to the file containing repository names and URLs")
	f.StringVar(&g.RepositoryCache, "repository-cache", "", "path to the directory containing cached repository indexes")
	f.BoolVar(&g.Offline, "offline", a.Env("PKG_OFFLINE") == "1" || a.Env("PKG_OFFLINE") == "true", "take charts only from what is cached; no repository or registry is asked")
	f.IntVar(&g.BurstLimit, "burst-limit", 100, "requests that --qps lets go at once")
	f.Float32Var(&g.QPS, "qps", 0, "queries per second used when communicating with the Kubernetes API, not including bursting; 0 is no limit")
}

// chartFlags say where a chart comes from.
type chartFlags struct {
	Version            string
	Devel              bool
	Repo               string
	Username           string
	Password           string
	Token              string
	CertFile           string
	KeyFile            string
	CAFile             string
	Insecure           bool
	PlainHTTP          bool
	PassCredentialsAll bool
	DependencyUpdate   bool
	Verify             bool
	Keyring            string
}

// add declares the flags of commands that take a chart.
func (c *chartFlags) add(f *pflag.FlagSet) {
	f.StringVar(&c.Version, "version", "", "specify a version constraint for the chart version to use. This constraint can be a specific tag (e.g. 1.1.1) or it may reference a valid range (e.g. ^2.0.0). If this is not specified, the latest version is used")
	f.BoolVar(&c.Devel, "devel", false, "use development versions, too. Equivalent to version '>0.0.0-0'. If --version is set, this is ignored")
	f.StringVar(&c.Repo, "repo", "", "chart repository url where to locate the requested chart")
	c.addAccess(f)
	f.BoolVar(&c.PassCredentialsAll, "pass-credentials", false, "pass credentials to all domains")
	f.BoolVar(&c.Verify, "verify", false, "verify the package before using it")
	f.StringVar(&c.Keyring, "keyring", "", "location of public keys used for verification; default $GNUPGHOME/pubring.gpg, else ~/.gnupg/pubring.gpg")
}

// addAccess declares how a server is reached.
func (c *chartFlags) addAccess(f *pflag.FlagSet) {
	f.StringVar(&c.Username, "username", "", "chart repository username where to locate the requested chart")
	f.StringVar(&c.Password, "password", "", "chart repository password where to locate the requested chart")
	f.StringVar(&c.Token, "token", "", "bearer token for the chart's repository, instead of username and password")
	f.StringVar(&c.CertFile, "cert-file", "", "identify HTTPS client using this SSL certificate file")
	f.StringVar(&c.KeyFile, "key-file", "", "identify HTTPS client using this SSL key file")
	f.StringVar(&c.CAFile, "ca-file", "", "verify certificates of HTTPS-enabled servers using this CA bundle")
	f.BoolVar(&c.Insecure, "insecure-skip-tls-verify", false, "skip tls certificate checks for the chart download")
	f.BoolVar(&c.PlainHTTP, "plain-http", false, "use insecure HTTP connections for the chart download")
}

// addDependencyUpdate declares the flag by which helm fetches missing dependencies;
// pkg does that anyway.
func (c *chartFlags) addDependencyUpdate(f *pflag.FlagSet) {
	f.BoolVar(&c.DependencyUpdate, "dependency-update", false, "update dependencies if they are missing before installing the chart")
}

// nameFlags decide a release's name.
type nameFlags struct {
	generate bool
	template string
}

func (n *nameFlags) add(f *pflag.FlagSet) {
	f.BoolVarP(&n.generate, "generate-name", "g", false, "generate the name (and omit the NAME parameter)")
	f.StringVar(&n.template, "name-template", "", "specify template used to name the release")
}

// nameAndChart reads the arguments [NAME] CHART. Without a NAME it is fallback,
// unless the name is generated or rendered.
func (n *nameFlags) nameAndChart(args []string, fallback string, now func() time.Time) (name, ref string, err error) {
	switch {
	case len(args) > 2:
		return "", "", fmt.Errorf("expected at most two arguments, unexpected arguments: %v", strings.Join(args[2:], ", "))
	case len(args) == 2 && n.generate:
		return "", "", errors.New("cannot set --generate-name and also specify a name")
	case len(args) == 2 && n.template != "":
		return "", "", errors.New("cannot set --name-template and also specify a name")
	case len(args) == 2:
		return args[0], args[1], nil
	case n.template != "":
		name, err := engine.ReleaseName(n.template)
		return name, args[0], err
	case n.generate:
		return generatedName(args[0], now()), args[0], nil
	}
	return fallback, args[0], nil
}

// generatedName is Helm's: the chart's base name and the time in seconds.
func generatedName(ref string, now time.Time) string {
	base := filepath.Base(ref)
	if base == "." || base == "" {
		base = "chart"
	}
	if i := strings.IndexByte(base, '.'); i >= 0 {
		base = base[:i]
	}
	return fmt.Sprintf("%s-%d", base, now.Unix())
}

// renderFlags change how templates run.
type renderFlags struct {
	subchartNotes bool
	enableDNS     bool
	skipSchema    bool
	limits        engine.Limits
}

func (r *renderFlags) add(f *pflag.FlagSet) {
	addLimits(f, &r.limits)
	f.BoolVar(&r.subchartNotes, "render-subchart-notes", false, "if set, render subchart notes along with the parent")
	f.BoolVar(&r.enableDNS, "enable-dns", false, "enable DNS lookups when rendering templates")
	f.BoolVar(&r.skipSchema, "skip-schema-validation", false, "if set, disables JSON schema validation")
}

// addLimits declares what bounds a rendering.
func addLimits(f *pflag.FlagSet, l *engine.Limits) {
	f.DurationVar(&l.Time, "max-render-time", engine.DefaultMaxTime, "how long templates may run; negative for no limit")
	f.Int64Var(&l.Output, "max-render-output", engine.DefaultMaxOutput, "how many bytes templates may write; negative for no limit")
	f.Int64Var(&l.Memory, "max-render-memory", engine.DefaultMaxMemory, "how many bytes of memory rendering may take; negative for no limit")
}

// postRenderer is an executable that sees the manifests on stdin and prints others.
type postRenderer struct {
	command string
	args    []string
}

func (p *postRenderer) add(f *pflag.FlagSet) {
	f.StringVar(&p.command, "post-renderer", "", "the path to an executable to be used for post rendering. If it exists in $PATH, the binary will be used, otherwise it will try to look for the executable at the given path")
	f.StringArrayVar(&p.args, "post-renderer-args", nil, "an argument to the post-renderer (can specify multiple)")
}

func (p *postRenderer) run(ctx context.Context, a *app, manifests []byte) ([]byte, error) {
	if p.command == "" {
		return manifests, nil
	}
	cmd := exec.CommandContext(ctx, p.command, p.args...)
	var out, talk bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(manifests), &out, &talk
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("error while running post render on files: error while running command %s. error output:\n%s: %w", p.command, talk.String(), err)
	}
	if len(bytes.TrimSpace(out.Bytes())) == 0 {
		return nil, fmt.Errorf("error while running post render on files: post-renderer %q produced empty output", p.command)
	}
	return out.Bytes(), nil
}

// ignoredFlags are those of install that helm's template command also takes and
// that change nothing without a cluster.
type ignoredFlags struct {
	bools    [11]bool
	strings  [2]string
	duration time.Duration
	labels   map[string]string
}

func (i *ignoredFlags) addInstall(f *pflag.FlagSet) {
	for n, name := range []string{
		"create-namespace", "force", "replace", "wait", "wait-for-jobs", "disable-openapi-validation",
		"atomic", "skip-crds", "hide-notes", "take-ownership", "hide-secret",
	} {
		f.BoolVar(&i.bools[n], name, false, "accepted for helm's sake; without effect here")
	}
	for n, name := range []string{"description", "dry-run"} {
		f.StringVar(&i.strings[n], name, "", "accepted for helm's sake; without effect here")
	}
	f.Lookup("dry-run").NoOptDefVal = "client"
	f.DurationVar(&i.duration, "timeout", 5*time.Minute, "accepted for helm's sake; without effect here")
	f.StringToStringVarP(&i.labels, "labels", "l", nil, "accepted for helm's sake; without effect here")
}
